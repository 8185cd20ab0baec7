/** What must be said of the imagery in sight, on the map itself, and which imagery is out of sight. */

import type Map from "ol/Map";
import { intersects } from "ol/extent";
import { transformExtent } from "ol/proj";
import type { FlightInfo } from "./api";
import { el, replaceChildren } from "./dom";
import { t, formatWarning } from "./i18n";
import { drawsFinishedRevision } from "./map/mosaics";
import { ZoomLinks } from "./panel/zoomLinks";
import { listEventFlights, isCapturedBy, isFlyingAt, visibleFlights, type State } from "./state";
import { formatTime } from "./time";

export class ViewNotices {
  readonly moves: ZoomLinks;
  readonly warnings = el("ul", { class: "map-warnings", hidden: true });
  /** Flights on the screen that the view touches, newest first. */
  inSight: FlightInfo[] = [];

  constructor(showWhole: () => void, goTo: (flight: FlightInfo) => void) {
    this.moves = new ZoomLinks(showWhole, goTo);
    // what else stands at the foot of the map stands above them: a warning under a card is not said
    new ResizeObserver(() => {
      const tall = this.warnings.offsetHeight;
      this.warnings.parentElement?.style.setProperty("--warned", tall ? `${tall + 8}px` : "0px");
    }).observe(this.warnings);
  }

  say(state: State, map: Map): void {
    const view = map.getView().calculateExtent(map.getSize());
    const lonlat = transformExtent(view, "EPSG:3857", "EPSG:4326");
    const placed = visibleFlights(state).filter((flight) => flight.bounds);
    this.inSight = placed.filter((flight) => flight.bounds && intersects(flight.bounds, lonlat));
    this.moves.render(placed.filter((flight) => !this.inSight.includes(flight)));
    const said = [...earlier(state), ...warningsOf(state, this.inSight)];
    this.warnings.hidden = said.length === 0;
    replaceChildren(this.warnings, ...said);
  }
}

/** That the map is an old one, how many newer flights it does not show, and which were in the air. */
function earlier(state: State): HTMLElement[] {
  if (state.asOf === null) return [];
  const hidden = listEventFlights(state).filter((flight) => flight.state !== "withdrawn" && !isCapturedBy(flight, state.asOf));
  const underWay = hidden.filter((flight) => isFlyingAt(flight, state.asOf)).map((flight) => flight.name);
  const said = [t("earlier", formatTime(state.asOf), hidden.length - underWay.length)];
  if (underWay.length) said.push(t("earlierUnderWay", underWay.join(", ")));
  return said.map((sentence) => el("li", { class: "earlier" }, sentence));
}

function warningsOf(state: State, inSight: FlightInfo[]): HTMLElement[] {
  const flightsBySentence: Record<string, string[]> = {};
  for (const flight of inSight) {
    for (const one of flight.warnings) {
      (flightsBySentence[formatWarning(one, drawsFinishedRevision(state, flight))] ??= []).push(flight.name);
    }
  }
  // what is said of the same flights stands in one paragraph: a phone has little room
  const sentencesByFlights: Record<string, string[]> = {};
  for (const [sentence, names] of Object.entries(flightsBySentence)) {
    (sentencesByFlights[names.join(", ")] ??= []).push(sentence);
  }
  return Object.entries(sentencesByFlights).map(([names, sentences]) =>
    el("li", {}, el("strong", {}, names), `: ${sentences.join("; ")}`),
  );
}
