/** What a house needs before its map is of use: what is there is ticked, what is not says how it comes. */

import { api } from "../api";
import { copyButton } from "../copying";
import { el, replace } from "../dom";
import { t as said } from "../i18n";
import type { State } from "../state";
import { t } from "./words";

const DRILL_COMMAND = "flycam demo --no-serve";

export class Checklist {
  readonly element = el("section", { class: "checklist" });
  /** null: not known. */
  private boundaries: boolean | null = null;
  private heights: boolean | null = null;
  private tellsHow = false;

  constructor(
    private readonly state: () => State,
    private readonly openEvent: (id: string) => void,
  ) {
    this.render();
    void this.read();
  }

  private async read(): Promise<void> {
    const there = <T>(asked: Promise<T>, has: (found: T) => boolean): Promise<boolean | null> => asked.then(has, () => null);
    [this.boundaries, this.heights] = await Promise.all([there(api.communesExtent(), (found) => found !== null), there(api.terrain(), (found) => found.length > 0)]);
    this.render();
  }

  render(): void {
    const row = (name: string, isThere: boolean | null, how: string): HTMLElement => {
      const sign = isThere ? "☑" : "☐";
      return el("li", { "data-there": String(isThere) }, el("span", { "aria-hidden": "true" }, sign), el("span", {}, el("strong", {}, name), el("small", {}, isThere === null ? t("unknown") : isThere ? t("done") : how)));
    };
    replace(
      this.element,
      el("h3", {}, t("title")),
      el(
        "ul",
        {},
        row(t("boundaries"), this.boundaries, t("missing", "flycam communes add FILE")),
        row(t("heights"), this.heights, t("missing", "flycam dem add FILE")),
        row(t("flight"), this.state().flights.some((one) => !one.is_drill), t("flightHow")),
      ),
      el("button", { type: "button", class: "drill-open", click: () => this.openDrill() }, t("drill")),
      this.tellsHow && el("p", { class: "drill-how" }, t("drillHow"), " ", el("code", {}, DRILL_COMMAND), copyButton(said("copy"), () => DRILL_COMMAND)),
    );
  }

  /** The newest drill that was flown; where there is none, how one is made. */
  private openDrill(): void {
    const drill = this.state().flights.find((one) => one.is_drill);
    if (drill) return this.openEvent(drill.event_id);
    this.tellsHow = true;
    this.render();
  }
}
