/** Field marks on the map, and putting a new one there: a tap for a point, corners for a sector. */

import type Map from "ol/Map";
import Feature from "ol/Feature";
import GeoJSON from "ol/format/GeoJSON";
import LineString from "ol/geom/LineString";
import MultiPoint from "ol/geom/MultiPoint";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { fromLonLat, toLonLat } from "ol/proj";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import type { LonLat } from "../api";
import type { MarkLine } from "../marks";
import type { State } from "../state";
import { markStyle } from "./markSymbols";
import { Z } from "./view";

const HIT_PX = 8;
const SKETCH = [
  new Style({ stroke: new Stroke({ color: "#ffffff", width: 6 }) }),
  new Style({
    stroke: new Stroke({ color: "#0072b2", width: 3 }),
    image: new CircleStyle({ radius: 7, fill: new Fill({ color: "#0072b2" }), stroke: new Stroke({ color: "#fff", width: 2 }) }),
  }),
];

export class MarkLayer {
  private readonly source = new VectorSource();
  private readonly layer = new VectorLayer({
    source: this.source,
    zIndex: Z.marks,
    style: (feature) => markStyle(feature.get("kind"), feature.get("status")),
  });
  private drawn: readonly MarkLine[] = [];
  private readonly sketch = new VectorSource();
  /** Corners tapped so far, in the map's metres; null while no sector is drawn. */
  private corners: number[][] | null = null;
  private onCorner: (count: number) => void = () => undefined;

  private map: Map | null = null;

  addTo(map: Map): void {
    this.map = map;
    map.addLayer(this.layer);
    map.addLayer(new VectorLayer({ source: this.sketch, zIndex: Z.marks, style: SKETCH, updateWhileInteracting: true }));
    // a click is heard at once and never lost; a tap that comes soon after another must not zoom the map away
    map.on("click", (event) => this.addCorner(event.coordinate));
    map.on("dblclick", () => this.corners === null);
  }

  update(state: State): void {
    this.layer.setVisible(state.layers.marks);
    if (this.drawn === state.marks) return;
    this.drawn = state.marks;
    this.source.clear(true);
    const collection = { type: "FeatureCollection", features: state.marks };
    this.source.addFeatures(new GeoJSON().readFeatures(collection, { featureProjection: "EPSG:3857" }));
  }

  /** The mark under the pointer; a point before the sector it lies in. */
  at(pixel: number[]): string | null {
    const hits: Feature[] = [];
    this.map?.forEachFeatureAtPixel(pixel, (feature) => void hits.push(feature as Feature), {
      layerFilter: (layer) => layer === this.layer,
      hitTolerance: HIT_PX,
    });
    const hit = hits.find((one) => one.get("kind") !== "sector") ?? hits[0];
    return hit ? String(hit.get("mark_id")) : null;
  }

  /** Lets a sector be drawn, a corner with every tap; `onCorner` hears how many there are. */
  drawSector(onCorner: (count: number) => void): void {
    this.corners = [];
    this.onCorner = onCorner;
    this.sketch.clear(true);
  }

  /** Takes the last corner of what is drawn back; whether there was one. */
  takeBack(): boolean {
    if (!this.corners?.pop()) return false;
    this.outline(this.corners);
    this.onCorner(this.corners.length);
    return true;
  }

  /** Ends the drawing: the corners in order, longitude and latitude. */
  stopDrawing(): LonLat[] {
    const places = (this.corners ?? []).map((corner) => toLonLat(corner) as LonLat);
    this.corners = null;
    this.sketch.clear(true);
    return places;
  }

  /** The outline that a form is open for: where it lies is to be seen until it is kept or given up. */
  holdSector(places: readonly LonLat[]): void {
    this.outline(places.map((place) => fromLonLat(place)));
  }

  letGo(): void {
    if (!this.corners) this.sketch.clear(true);
  }

  private addCorner(corner: number[]): void {
    if (!this.corners) return;
    this.corners.push(corner);
    this.outline(this.corners);
    this.onCorner(this.corners.length);
  }

  private outline(corners: number[][]): void {
    this.sketch.clear(true);
    this.sketch.addFeature(new Feature(new MultiPoint(corners)));
    this.sketch.addFeature(new Feature(new LineString([...corners, ...corners.slice(0, 1)])));
  }
}
