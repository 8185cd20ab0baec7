/** A view of the map as a link has it, taken over by this page: what is shown, and the ground that is seen. */

import type Map from "ol/Map";
import { getCenter, getHeight, getWidth } from "ol/extent";
import { transformExtent } from "ol/proj";
import { stateFromLink, buildLink, writeLink, type Link, type State, type Store } from "./state";

export type Bounds = [number, number, number, number];

export interface SharedMapView {
  view: Record<string, string>;
  bounds: Bounds;
}

/** What a map shows now; null before it has been drawn. */
export function readSharedView(state: State, map: Map): SharedMapView | null {
  const size = map.getSize();
  if (!size || !size[0] || !size[1]) return null;
  const extent = transformExtent(map.getView().calculateExtent(size), "EPSG:3857", "EPSG:4326");
  const [west = 0, south = 0, east = 0, north = 0] = extent;
  const sides: Bounds = [Math.max(west, -180), Math.max(south, -90), Math.min(east, 180), Math.min(north, 90)];
  const said = Object.entries({ ...buildLink(state), event: state.eventId ?? "", at: "", tab: "", review: "" }).filter(([, value]) => value);
  return { view: Object.fromEntries(said) as Record<string, string>, bounds: sides };
}

/** Shows what a view says; where it is seen from is for `look` once its maps are there. */
export function applySharedView(store: Store, view: Link): void {
  const linked = stateFromLink(view);
  writeLink({ event: linked.eventId ?? "" });
  store.set({ ...linked, eventId: linked.eventId ?? store.state.eventId, picked: null, selectedFlight: null });
}

/** How far a screen may be from a place and still be at it: part of its width. */
const BESIDE = 0.04;

/** Whether a screen of whatever shape sees a place as `look` shows it. */
export function isSameView(place: Bounds, here: Bounds): boolean {
  const [one, other] = [place, here].map((bounds) => transformExtent(bounds, "EPSG:4326", "EPSG:3857")) as [number[], number[]];
  const width = getWidth(other);
  const [x0 = 0, y0 = 0] = getCenter(one);
  const [x1 = 0, y1 = 0] = getCenter(other);
  const filled = Math.max(getWidth(one) / width, getHeight(one) / getHeight(other));
  return Math.hypot(x0 - x1, y0 - y1) < BESIDE * width && Math.abs(filled - 1) < BESIDE;
}

/** All of that ground, whatever the shape of this screen, in one cut: a video of a pan would smear. */
export function fitToGround(map: Map, bounds: Bounds): void {
  map.getView().fit(transformExtent(bounds, "EPSG:4326", "EPSG:3857"), { size: map.getSize(), padding: [0, 0, 0, 0], duration: 0 });
}
