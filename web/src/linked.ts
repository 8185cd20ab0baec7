/** A view of the map as a link has it, taken over by this page: what is shown, and the ground that is seen. */

import type Map from "ol/Map";
import { transformExtent } from "ol/proj";
import { linkedState, linkOf, writeLink, type Link, type State, type Store } from "./state";

export type Bounds = [number, number, number, number];

export interface View {
  view: Record<string, string>;
  bounds: Bounds;
}

/** What a map shows now; null before it has been drawn. */
export function viewOf(state: State, map: Map): View | null {
  const size = map.getSize();
  if (!size || !size[0] || !size[1]) return null;
  const extent = transformExtent(map.getView().calculateExtent(size), "EPSG:3857", "EPSG:4326");
  const [west = 0, south = 0, east = 0, north = 0] = extent;
  const sides: Bounds = [Math.max(west, -180), Math.max(south, -90), Math.min(east, 180), Math.min(north, 90)];
  const said = Object.entries({ ...linkOf(state), event: state.eventId ?? "", at: "", tab: "" }).filter(([, value]) => value);
  return { view: Object.fromEntries(said) as Record<string, string>, bounds: sides };
}

/** Shows what a view says; where it is seen from is for `look` once its maps are there. */
export function show(store: Store, view: Link): void {
  const linked = linkedState(view);
  writeLink({ event: linked.eventId ?? "" });
  store.set({ ...linked, eventId: linked.eventId ?? store.state.eventId, picked: null, selectedFlight: null });
}

/** All of that ground, whatever the shape of this screen, in one cut: a video of a pan would smear. */
export function look(map: Map, bounds: Bounds): void {
  map.getView().fit(transformExtent(bounds, "EPSG:4326", "EPSG:3857"), { size: map.getSize(), padding: [0, 0, 0, 0], duration: 0 });
}
