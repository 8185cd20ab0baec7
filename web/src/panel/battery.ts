/** What the machine that serves this map runs on: shown only while it runs on its battery. */

import { api, type Machine } from "../api";
import { el, write } from "../dom";
import { t } from "../i18n";
import { formatNumber } from "../numbers";

const FIRST_MS = 5_000; // the map comes first
const EVERY_MS = 60_000;
const SCARCE_PERCENT = 20;

export class BatteryBadge {
  readonly element = el("span", { class: "battery", role: "status", hidden: true });
  private told: Machine | null = null;

  constructor(private readonly mayAsk: () => boolean) {
    window.setTimeout(() => void this.look(), FIRST_MS);
  }

  /** Also after a change of language. */
  render(): void {
    const battery = this.told?.battery;
    this.element.hidden = !battery?.in_use;
    if (!battery?.in_use) return;
    this.element.classList.toggle("scarce", battery.percent < SCARCE_PERCENT);
    write(this.element, t("battery", String(battery.percent)));
    const hours = battery.left_s === null ? "" : `; ${t("batteryLeft", formatNumber(battery.left_s / 3600, 1))}`;
    const low = this.told?.low_power ? `; ${t("lowPower")}` : "";
    this.element.title = `${t("batteryNote")}${hours}${low}`;
  }

  private async look(): Promise<void> {
    if (this.mayAsk()) {
      try {
        this.told = await api.machine();
        this.render();
      } catch {
        // who is cut off is told so by all else that the page asks for
      }
    }
    window.setTimeout(() => void this.look(), EVERY_MS);
  }
}
