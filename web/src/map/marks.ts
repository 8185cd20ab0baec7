/** Field marks on the map, and putting a new one there: a tap for a point, corners for a sector. */

import type Map from "ol/Map";
import type Feature from "ol/Feature";
import GeoJSON from "ol/format/GeoJSON";
import type Polygon from "ol/geom/Polygon";
import Draw from "ol/interaction/Draw";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { toLonLat } from "ol/proj";
import type { LonLat } from "../api";
import type { MarkLine } from "../marks";
import type { State } from "../state";
import { markStyle } from "./markSigns";
import { Z } from "./view";

const HIT_PX = 8;

export class MarkLayer {
  private readonly source = new VectorSource();
  private readonly layer = new VectorLayer({
    source: this.source,
    zIndex: Z.marks,
    style: (feature) => markStyle(feature.get("kind"), feature.get("status")),
  });
  private drawn: readonly MarkLine[] = [];
  private draw: Draw | null = null;

  private map: Map | null = null;

  addTo(map: Map): void {
    this.map = map;
    map.addLayer(this.layer);
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

  /** Lets a sector be drawn, corner by corner; the last is tapped twice, or the first again. */
  drawSector(onDrawn: (corners: LonLat[]) => void): void {
    this.stopDrawing();
    const draw = new Draw({ type: "Polygon", stopClick: true });
    draw.on("drawend", ({ feature }) => {
      const ring = (feature.getGeometry() as Polygon).getCoordinates()[0] ?? [];
      this.stopDrawing();
      onDrawn(ring.slice(0, -1).map((place) => toLonLat(place) as LonLat));
    });
    this.draw = draw;
    this.map?.addInteraction(draw);
  }

  /** On a phone a double tap is hard to hit: a button ends the outline, too. */
  finishSector(): void {
    this.draw?.finishDrawing();
  }

  stopDrawing(): void {
    if (this.draw) this.map?.removeInteraction(this.draw);
    this.draw = null;
  }
}
