/** Where the pointer is: WGS 84 at once, and VN-2000 from the server as soon as the pointer rests. */

import { api, type Vn2000 } from "../api";
import { debounced, el, replace } from "../dom";
import { t } from "../i18n";
import { formatLonLat, formatVn2000 } from "../numbers";

const REST_MS = 150;

export class Readout {
  readonly element = el("output", { class: "position" });
  private place: [number, number] | null = null;
  private readonly ask = debounced(() => void this.fetch(), REST_MS);

  show(lon: number, lat: number): void {
    this.place = [lon, lat];
    this.write(null);
    this.ask();
  }

  private write(national: Vn2000 | null): void {
    if (!this.place) return;
    // the second line keeps its height while it is asked for
    const second = national ? formatVn2000(national) : "\u00a0";
    const whose = national && el("small", {}, national.province ?? t("nearestMeridian"));
    replace(this.element, el("span", {}, formatLonLat(...this.place)), el("span", {}, second, whose));
  }

  private async fetch(): Promise<void> {
    const asked = this.place;
    if (!asked) return;
    const found = await api.vn2000(...asked).catch(() => null);
    if (asked === this.place) this.write(found);
  }
}
