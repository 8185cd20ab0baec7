/** Where a change is looked at: in the middle of what the panel, the bar and the captions leave free. */

import type Map from "ol/Map";
import { containsExtent, intersects } from "ol/extent";
import MultiPolygon from "ol/geom/MultiPolygon";
import { transformExtent } from "ol/proj";
import type { LonLat } from "../api";
import type { Mode } from "../compare/sides";
import type { ChangeLine } from "./types";

/** The panel's width as review.css has it, and what lies beside it. */
const LEAST_PX = 330;
const MOST_PX = 400;
const SHARE = 0.38;
const BESIDE_PX = 20;
const MARGIN_PX = 70;
/** What lies over two pictures: how they are compared above, what they are below. */
const BAR_PX = 60;
const CAPTION_PX = 140;
const CLOSEST_ZOOM = 20;

/** `mode`: how two pictures are compared; null: there is one. */
export function centreOnChange(map: Map, change: ChangeLine, mode: Mode | null): void {
  const size = map.getSize();
  const [above, below] = mode ? [BAR_PX, CAPTION_PX] : [0, 0];
  const beside = mode === "side" ? 0 : covered(size?.[0] ?? 0); // the two share what the panel leaves
  map.getView().fit(extentOf(change), {
    padding: [MARGIN_PX + above, MARGIN_PX + beside, MARGIN_PX + below, MARGIN_PX],
    maxZoom: CLOSEST_ZOOM,
    duration: 0,
    ...(size && { size }),
  });
}

/**
 * The same two pictures are compared in another way: what was in the middle of what is free still is, at the same scale,
 * and a change that was in sight is gone to anew where it is not any more. `width`: of what both maps lie on, pixels.
 */
export function keepInView(map: Map, change: ChangeLine, from: Mode, to: Mode, width: number): void {
  const view = map.getView();
  const [centre, resolution, size] = [view.getCenter(), view.getResolution(), map.getSize()];
  if (!centre || !resolution || !size || (from === "side") === (to === "side")) return;
  const [x = 0, y = 0] = centre;
  const aside = (covered(width) / 2) * resolution;
  view.setCenter([to === "side" ? x - aside : x + aside, y]);
  if (to !== "side") return; // there is more in sight than before
  const wanted = extentOf(change);
  const seen = view.calculateExtent([width - covered(width), size[1] ?? 0]);
  if (intersects(seen, wanted) && !containsExtent(view.calculateExtent(size), wanted)) centreOnChange(map, change, to);
}

function extentOf({ bbox }: ChangeLine): number[] {
  return transformExtent(bbox, "EPSG:4326", "EPSG:3857");
}

/** A place on a change (longitude, latitude): its middle may lie beside it. */
export function pointInChange({ geometry }: ChangeLine): LonLat {
  const places = new MultiPolygon(geometry.coordinates).getInteriorPoints().getCoordinates();
  const [lon = 0, lat = 0] = places.reduce((best, one) => ((one[2] ?? 0) > (best[2] ?? 0) ? one : best));
  return [lon, lat];
}

/** Where the line between two pictures crosses it, percent of the width. */
export function dividerShare(width: number): number {
  return (50 * (width - covered(width))) / width;
}

/** How much of the map's width the panel takes; on a narrow screen it lies over all of it. */
function covered(width: number): number {
  const panel = Math.min(Math.max(SHARE * width, LEAST_PX), MOST_PX) + BESIDE_PX;
  return width > 2 * panel ? panel : 0;
}
