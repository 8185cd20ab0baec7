/** The VN-2000 grid on a sheet: its lines as the server tells them, and where they meet the sheet's edges. */

import type Map from "ol/Map";
import Feature from "ol/Feature";
import LineString from "ol/geom/LineString";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { fromLonLat } from "ol/proj";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import type { GridLine } from "../api";
import { Z } from "../map/view";

export type Edge = "top" | "bottom" | "left" | "right";

export interface EdgeLabel {
  edge: Edge;
  /** Along the edge, from the left or from the top. */
  atPx: number;
  valueM: number;
}

const STYLE = [
  new Style({ stroke: new Stroke({ color: "rgba(255, 255, 255, 0.55)", width: 2.4 }) }),
  new Style({ stroke: new Stroke({ color: "rgba(0, 0, 0, 0.8)", width: 0.8 }) }),
];

export class GridLayer {
  private readonly source = new VectorSource();
  private lines: readonly GridLine[] = [];

  constructor(private readonly map: Map) {
    // under marks and what stands on the ground, over pictures and boundaries
    map.addLayer(new VectorLayer({ source: this.source, style: STYLE, zIndex: Z.names, updateWhileInteracting: true }));
  }

  draw(lines: readonly GridLine[]): void {
    this.lines = lines;
    this.source.clear(true);
    this.source.addFeatures(lines.map((one) => new Feature(new LineString(one.lonlat.map((place) => fromLonLat(place))))));
  }

  /** Where the lines drawn cross the edges of the map as it stands. */
  labels(): EdgeLabel[] {
    const [width = 0, height = 0] = this.map.getSize() ?? [];
    return this.lines.flatMap(({ axis, value_m: valueM, lonlat }) => {
      const line = lonlat.map((place) => this.map.getPixelFromCoordinate(fromLonLat(place)) ?? []);
      const at = (edge: Edge, across: 0 | 1, valuePx: number, longPx: number): EdgeLabel[] =>
        crossings(line, across, valuePx).flatMap((atPx) => (atPx >= 0 && atPx <= longPx ? [{ edge, atPx, valueM }] : []));
      return axis === "y"
        ? [...at("top", 1, 0, width), ...at("bottom", 1, height, width)]
        : [...at("left", 0, 0, height), ...at("right", 0, width, height)];
    });
  }
}

/** Where a line of pixels crosses a value of its coordinate `across`: the other coordinate. */
function crossings(line: number[][], across: 0 | 1, value: number): number[] {
  return line.slice(1).flatMap((to, n) => {
    const from = line[n] ?? to;
    const [a, b] = [(from[across] ?? NaN) - value, (to[across] ?? NaN) - value];
    if (!(a * b <= 0) || a === b) return [];
    const other = across === 0 ? 1 : 0;
    return [(from[other] ?? 0) + (((to[other] ?? 0) - (from[other] ?? 0)) * a) / (a - b)];
  });
}
