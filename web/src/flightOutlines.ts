/** Footprints and gaps of the flights they are asked for, and whether all of them were answered. */

import { api, type FeatureCollection, type FlightInfo } from "./api";
import { drawsFinishedRevision } from "./map/mosaics";
import { visibleFlights, type LayerName, type State } from "./state";

type Outlined = Extract<LayerName, "footprints" | "gaps">;

/** Drawn from the poses a photo was ingested with: a finished revision lies elsewhere, which must be said. */
export const OUTLINE_LAYERS: readonly LayerName[] = ["footprints", "gaps"];

export interface FlightOutlines {
  drawn: Record<Outlined, FeatureCollection>;
  /** Layers of which a flight was not answered: an empty one does not say that nothing is missing. */
  unread: Outlined[];
}

/** The flight that is open in the list, else all on the screen. */
function outlinedFlights(state: State): FlightInfo[] {
  const shown = state.selectedFlight ? state.flights : visibleFlights(state);
  return shown.filter((flight) => !state.selectedFlight || flight.flight_id === state.selectedFlight);
}

/** Whether imagery of an outlined flight is drawn as a finished revision. */
export function showsFinished(state: State): boolean {
  return outlinedFlights(state).some((flight) => drawsFinishedRevision(state, flight));
}

/** When this changes, other outlines are wanted. */
export function outlinesKey(state: State): string {
  return `${state.selectedFlight}/${state.layers.footprints}/${state.layers.gaps}/${state.eventId}`;
}

export async function fetchOutlines(state: State): Promise<FlightOutlines> {
  const [footprints, gaps] = await Promise.all([gather(state, "footprints"), gather(state, "gaps")]);
  const all = { footprints, gaps };
  const names = Object.keys(all) as Outlined[];
  return {
    drawn: { footprints: collected(footprints), gaps: collected(gaps) },
    unread: names.filter((name) => all[name].includes(null)),
  };
}

async function gather(state: State, layer: Outlined): Promise<(FeatureCollection | null)[]> {
  if (!state.layers[layer]) return [];
  return Promise.all(outlinedFlights(state).map(({ flight_id }) => api[layer](flight_id).catch(() => null)));
}

function collected(answers: (FeatureCollection | null)[]): FeatureCollection {
  return { type: "FeatureCollection", features: answers.flatMap((one) => one?.features ?? []) };
}
