/** How widely what is on the screen may be shown: the strictest of all that is drawn. */

import { intersects } from "ol/extent";
import type { Classification } from "./api";
import { el } from "./dom";
import { t } from "./i18n";
import { visibleFlights, type State } from "./state";

const ORDER: readonly Classification[] = ["open", "internal", "restricted"];

export function strictestClassification(levels: readonly Classification[]): Classification {
  return levels.reduce<Classification>((worst, one) => (ORDER.indexOf(one) > ORDER.indexOf(worst) ? one : worst), "open");
}

/** Of the flights drawn within bounds (degrees), and of the layers that are switched on. */
export function classificationWithin(state: State, bounds: readonly number[]): Classification {
  const flights = visibleFlights(state).filter((one) => one.bounds && intersects(one.bounds, [...bounds]));
  const layers = state.specialist.filter((one) => state.shownLayers.has(one.layer_id));
  return strictestClassification([...flights, ...layers].map((one) => one.classification));
}

/** The word, where there is something to say. */
export function classificationBadge(level: Classification): HTMLElement | false {
  return level !== "open" && el("strong", { class: "level-badge" }, t(level));
}
