/** What the machine that serves this map runs on, shown only while it runs on its battery, and the room on its disk, shown
 * only while that is low. */

import { api, type Machine } from "../api";
import { el, setText } from "../dom";
import { t } from "../i18n";
import { formatNumber } from "../numbers";

const FIRST_MS = 5_000; // the map comes first
const EVERY_MS = 60_000;
const SCARCE_PERCENT = 20;

export class MachineBadges {
  readonly battery = el("span", { class: "battery", role: "status", hidden: true });
  readonly disk = el("span", { class: "disk-room scarce", role: "status", hidden: true });
  private told: Machine | null = null;

  constructor(private readonly mayAsk: () => boolean) {
    window.setTimeout(() => void this.look(), FIRST_MS);
  }

  /** Also after a change of language. */
  render(): void {
    this.renderDisk();
    const battery = this.told?.battery;
    this.battery.hidden = !battery?.in_use;
    if (!battery?.in_use) return;
    this.battery.classList.toggle("scarce", battery.percent < SCARCE_PERCENT);
    setText(this.battery, t("battery", String(battery.percent)));
    const hours = battery.left_s === null ? "" : `; ${t("batteryLeft", formatNumber(battery.left_s / 3600, 1))}`;
    const low = this.told?.low_power ? `; ${t("lowPower")}` : "";
    this.battery.title = `${t("batteryNote")}${hours}${low}`;
  }

  private renderDisk(): void {
    const disk = this.told?.disk;
    this.disk.hidden = !disk?.is_low;
    if (!disk?.is_low) return;
    setText(this.disk, t("diskLow", formatNumber(disk.free_bytes / 1e9, 1)));
    this.disk.title = t("diskLowNote");
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
