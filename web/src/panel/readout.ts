/** Where the pointer is: WGS 84 at once, and VN-2000 from the server as soon as the pointer rests. */

import { api, type LonLat, type Vn2000 } from "../api";
import { copyButton, formatPlainLonLat, formatPlainVn2000 } from "../clipboard";
import { debounce, el, replaceChildren } from "../dom";
import { t } from "../i18n";
import { formatLonLat, formatVn2000 } from "../numbers";

const REST_MS = 150;

export class Readout {
  readonly element = el("output", { class: "position" });
  private place: LonLat | null = null;
  private national: Vn2000 | null = null;
  private readonly copy = copyButton("", () => this.plain());
  private readonly ask = debounce(() => void this.fetch(), REST_MS);

  /** `middle`: of the map. A pointer that comes to copy leaves the place it pointed at: then it is the middle that is told. */
  constructor(middle: () => LonLat | null) {
    this.element.addEventListener("pointerenter", () => {
      const place = middle();
      if (place) this.show(...place);
    });
  }

  show(lon: number, lat: number): void {
    if (this.place?.[0] === lon && this.place[1] === lat) return this.write(this.national);
    this.place = [lon, lat];
    this.write(null);
    this.ask();
  }

  private write(national: Vn2000 | null): void {
    if (!this.place) return;
    this.national = national;
    // the second line keeps its height while it is asked for
    const second = national ? formatVn2000(national) : "\u00a0";
    const whose = national && el("small", {}, national.province ?? t("nearestMeridian"));
    this.copy.title = t("copyPlace");
    this.copy.setAttribute("aria-label", t("copyPlace"));
    replaceChildren(this.element, this.copy, el("span", {}, formatLonLat(...this.place)), el("span", {}, second, whose));
  }

  private plain(): string {
    if (!this.place) return "";
    return [formatPlainLonLat(...this.place), this.national && formatPlainVn2000(this.national)].filter(Boolean).join("\n");
  }

  private async fetch(): Promise<void> {
    const asked = this.place;
    if (!asked) return;
    const found = await api.vn2000(...asked).catch(() => null);
    if (asked === this.place) this.write(found);
  }
}
