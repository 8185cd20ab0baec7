/** The map itself: view, controls, and the order in which layers lie on each other. */

import type Map from "ol/Map";
import View from "ol/View";
import Zoom from "ol/control/Zoom";
import ScaleLine from "ol/control/ScaleLine";
import { defaults as defaultInteractions } from "ol/interaction/defaults";
import { fromLonLat, toLonLat, transformExtent } from "ol/proj";
import type { Extent } from "ol/extent";
import { t } from "../i18n";
import { readLink, writeLink } from "../state";
import { TilePriorityMap } from "./tilePriority";

export const Z = { hillshade: 1, notFlown: 5, mosaics: 100, gaps: 900, footprints: 910, communes: 920, names: 925, flights: 930, specialist: 935, marks: 938, picked: 940, aircraft: 950 };

/** Where Web Mercator ends. */
const FARTHEST_LAT = 85;
const NORTHERN_VIETNAM: [number, number, number, number] = [102.1, 20.0, 108.1, 23.4];

export function createMap(target: HTMLElement): Map {
  const map = new TilePriorityMap({
    target,
    controls: [],
    // An old PC redraws in software: no animation that is not asked for, no rotation by accident.
    interactions: defaultInteractions({ altShiftDragRotate: false, pinchRotate: false }),
    pixelRatio: Math.min(window.devicePixelRatio || 1, 2),
    maxTilesLoading: 12,
    view: new View({
      center: fromLonLat([105.1, 21.7]),
      zoom: 7.5,
      minZoom: 0,
      // a phone held upright sees flights on both sides of the world only so
      multiWorld: true,
      maxZoom: 24,
      enableRotation: false,
      constrainResolution: false,
    }),
  });
  if (!restoreFromLink(map)) map.getView().fit(transformExtent(NORTHERN_VIETNAM, "EPSG:4326", "EPSG:3857"));
  map.on("moveend", () => rememberInLink(map));
  target.setAttribute("aria-busy", "true");
  map.on(["movestart", "loadstart"], () => target.setAttribute("aria-busy", "true"));
  map.on("rendercomplete", () => target.setAttribute("aria-busy", "false"));
  labelControls(map);
  return map;
}

/** Controls carry words, so they are made again when the language changes. */
export function labelControls(map: Map): void {
  map.getControls().clear();
  map.addControl(new Zoom({ zoomInTipLabel: t("zoomIn"), zoomOutTipLabel: t("zoomOut"), duration: 0 }));
  map.addControl(new ScaleLine({ units: "metric", minWidth: 74, maxWidth: 186 }));
}

export function hasLinkedView(): boolean {
  return linkedView() !== null;
}

/** Zoom, latitude and longitude that the address bar asks for, if it names a place on the map. */
function linkedView(): [number, number, number] | null {
  const [zoom, lat, lon] = (readLink().map ?? "").split("/").map((part) => (part ? Number(part) : NaN));
  if (zoom === undefined || lat === undefined || lon === undefined) return null;
  const isPlace = Number.isFinite(zoom) && Math.abs(lat) <= FARTHEST_LAT && Math.abs(lon) <= 180;
  return isPlace ? [zoom, lat, lon] : null;
}

function restoreFromLink(map: Map): boolean {
  const linked = linkedView();
  if (!linked) return false;
  const [zoom, lat, lon] = linked;
  map.getView().setZoom(zoom);
  map.getView().setCenter(fromLonLat([lon, lat]));
  return true;
}

export function rememberInLink(map: Map): void {
  const view = map.getView();
  const centre = view.getCenter();
  if (!centre) return;
  const [lon = 0, lat = 0] = toLonLat(centre);
  writeLink({ map: `${(view.getZoom() ?? 0).toFixed(2)}/${lat.toFixed(6)}/${lon.toFixed(6)}` });
}

/** `coveredPx`: how much of the map's lower part lies under what is said there. */
export function fitLonLat(map: Map, bounds: Extent, maxZoom = 20, coveredPx = 0): void {
  const size = map.getSize() ?? [800, 600];
  const margin = Math.min(60, (size[0] ?? 800) / 10);
  const below = Math.min(Math.max(coveredPx + 10, 110), (size[1] ?? 600) / 2.5); // the scale, the coordinates
  map.getView().fit(transformExtent(bounds, "EPSG:4326", "EPSG:3857"), {
    padding: [margin, margin, below, margin],
    maxZoom,
    duration: 0,
  });
}

export function unionBounds(all: Extent[]): [number, number, number, number] | null {
  if (!all.length) return null;
  const side = (k: number, of: (...values: number[]) => number): number => of(...all.map((one) => one[k] ?? 0));
  return [side(0, Math.min), side(1, Math.min), side(2, Math.max), side(3, Math.max)];
}

/** Bounds to open on: the newest flight (the first), with those others beside which it is still seen as a picture. */
export function openingBounds(
  map: Map,
  newestFirst: [number, number, number, number][],
  smallestPx: number,
): [number, number, number, number] | null {
  const [newest, ...others] = newestFirst;
  if (!newest) return null;
  const times = Math.min(...(map.getSize() ?? [800, 600])) / smallestPx;
  return others.reduce((chosen, other) => {
    const both = unionBounds([chosen, other]) ?? chosen;
    return sideOf(both) <= times * sideOf(newest) ? both : chosen;
  }, newest);
}

/** The longer side of bounds in degrees, in metres of the map. */
function sideOf(bounds: Extent): number {
  const [west = 0, south = 0, east = 0, north = 0] = transformExtent(bounds, "EPSG:4326", "EPSG:3857");
  return Math.max(east - west, north - south);
}
