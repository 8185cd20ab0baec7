/** Where to go from here: the whole event, or one of its flights that lies outside the view. */

import type { FlightInfo } from "../api";
import { el, replaceChildren } from "../dom";
import { t } from "../i18n";

export class ZoomLinks {
  readonly element: HTMLElement;
  private readonly whole = el("button", { type: "button", class: "whole" });
  private readonly others = el("select", { class: "elsewhere", hidden: true });
  private listed: FlightInfo[] = [];

  constructor(showWhole: () => void, goTo: (flight: FlightInfo) => void) {
    this.whole.addEventListener("click", showWhole);
    this.others.addEventListener("change", () => {
      const chosen = this.listed.find((flight) => flight.flight_id === this.others.value);
      this.others.selectedIndex = 0;
      if (chosen) goTo(chosen);
    });
    this.element = el("div", { class: "moves" }, this.whole, this.others);
  }

  /** The flights that are not in sight, newest first. Written anew only where they are others than before. */
  render(outOfSight: FlightInfo[]): void {
    const words = (flights: FlightInfo[]): string => flights.map((one) => `${one.flight_id}${one.name}`).join();
    const title = t("elsewhere", outOfSight.length);
    this.whole.textContent = t("wholeEvent");
    if (words(outOfSight) === words(this.listed) && this.others.options[0]?.textContent === title) return;
    this.listed = outOfSight;
    this.others.hidden = outOfSight.length === 0;
    this.others.setAttribute("aria-label", t("elsewhereTitle"));
    replaceChildren(
      this.others,
      el("option", { value: "" }, title),
      ...outOfSight.map((flight) => el("option", { value: flight.flight_id }, flight.name)),
    );
  }
}
