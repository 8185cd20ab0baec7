/** Where the pointer is: WGS 84 at once, and VN-2000 from the server as soon as the pointer rests. */

import { api } from "../api";
import { debounced, el, replace } from "../dom";
import { formatLonLat, formatVn2000 } from "../numbers";

const REST_MS = 150;

export class Readout {
  readonly element = el("output", { class: "position" });
  private place: [number, number] | null = null;
  private readonly ask = debounced(() => void this.fetch(), REST_MS);

  show(lon: number, lat: number): void {
    this.place = [lon, lat];
    this.write("");
    this.ask();
  }

  private write(national: string): void {
    if (!this.place) return;
    // the second line keeps its height while it is asked for
    const lines = [formatLonLat(...this.place), national || "\u00a0"];
    replace(this.element, ...lines.map((line) => el("span", {}, line)));
  }

  private async fetch(): Promise<void> {
    const asked = this.place;
    if (!asked) return;
    const found = await api.vn2000(...asked).catch(() => null);
    if (asked === this.place) this.write(found ? formatVn2000(found) : "");
  }
}
