/** Outlines of changes over one map or both of a comparison: drawn, dragged by their corners, cut by a line. */

import type Feature from "ol/Feature";
import type Map from "ol/Map";
import GeoJSON from "ol/format/GeoJSON";
import LineString from "ol/geom/LineString";
import MultiPolygon from "ol/geom/MultiPolygon";
import Polygon from "ol/geom/Polygon";
import Draw from "ol/interaction/Draw";
import type Interaction from "ol/interaction/Interaction";
import Modify from "ol/interaction/Modify";
import VectorLayer from "ol/layer/Vector";
import { toLonLat } from "ol/proj";
import VectorSource from "ol/source/Vector";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import type { LonLat } from "../api";
import { Z } from "../map/view";
import type { ChangeLine, Outline } from "./changes";

/** Told apart by dashes too, not by the colour alone. */
const COLOURS: Record<string, string> = { proposed: "#ffb000", accepted: "#d1300b", rejected: "#5b6770" };
const DASHES: Record<string, number[] | undefined> = { proposed: [10, 6], rejected: [2, 6] };
const SKETCH_COLOUR = "#0072b2";
const SKETCH = [
  new Style({ stroke: new Stroke({ color: "#ffffff", width: 6 }) }),
  new Style({
    stroke: new Stroke({ color: SKETCH_COLOUR, width: 3 }),
    image: new CircleStyle({ radius: 7, fill: new Fill({ color: SKETCH_COLOUR }), stroke: new Stroke({ color: "#fff", width: 2 }) }),
  }),
];

interface On {
  map: Map;
  layers: VectorLayer[];
  interactions: Interaction[];
}

export class ChangeDrawing {
  private readonly source = new VectorSource();
  private readonly sketch = new VectorSource();
  private on: On[] = [];
  private chosen: string | null = null;
  /** Puts what is in hand on the maps that there are now; null: nothing is in hand. */
  private take: (() => void) | null = null;
  /** What is being drawn and not ended. */
  private begun: { draw: Draw; feature: Feature } | null = null;

  /** Draws on these maps from now on, on no other; an outline that was begun is begun anew on them. */
  attach(maps: readonly Map[]): void {
    if (maps.length === this.on.length && maps.every((map, n) => map === this.on[n]?.map)) return;
    this.detach();
    this.on = maps.map((map) => {
      const style = (feature: { get: (name: string) => unknown }): Style[] => styleOf(String(feature.get("status")), feature.get("change_id") === this.chosen);
      const layers = [
        new VectorLayer({ source: this.source, zIndex: Z.marks, style }),
        new VectorLayer({ source: this.sketch, zIndex: Z.picked, style: SKETCH, updateWhileInteracting: true }),
      ];
      for (const layer of layers) map.addLayer(layer);
      return { map, layers, interactions: [] };
    });
    this.take?.();
  }

  detach(): void {
    for (const { map, layers, interactions } of this.on) {
      for (const one of interactions) map.removeInteraction(one);
      for (const layer of layers) {
        map.removeLayer(layer);
        layer.dispose(); // which the outlines would hold on to
      }
    }
    this.on = [];
  }

  update(changes: readonly ChangeLine[], chosen: string | null): void {
    this.chosen = chosen;
    this.source.clear(true);
    this.source.addFeatures(featuresOf(changes));
  }

  /** The corners of a change can be dragged. */
  edit(change: ChangeLine): void {
    this.stop();
    this.sketch.addFeatures(featuresOf([change]));
    this.letModify();
  }

  /** A new outline, on whichever map it is begun; `onClosed` hears when it can be saved. */
  draw(onClosed: () => void): void {
    this.begin("Polygon", onClosed);
  }

  /** A line across a change, in the same way. */
  cut(onClosed: () => void): void {
    this.begin("LineString", onClosed);
  }

  private begin(type: "Polygon" | "LineString", onClosed: () => void): void {
    this.stop();
    this.take = () => this.letDraw(type, onClosed);
    this.take();
  }

  private letDraw(type: "Polygon" | "LineString", onClosed: () => void): void {
    for (const one of this.on) {
      const draw = new Draw({ source: this.sketch, type, style: SKETCH });
      draw.on("drawstart", ({ feature }) => (this.begun = { draw, feature }));
      draw.on("drawabort", () => (this.begun = null));
      draw.on("drawend", () => {
        this.begun = null;
        // the outline is in the source, and the tap is over, when this has been heard
        window.setTimeout(() => {
          this.letModify();
          onClosed();
        }, 0);
      });
      one.map.addInteraction(draw);
      one.interactions.push(draw);
    }
  }

  /** Ends what is being drawn at its last corner, as a double tap does; whether that is enough for a line or an outline. */
  end(): boolean {
    const { begun } = this;
    if (!begun || corners(begun.feature) < (begun.feature.getGeometry() instanceof Polygon ? 3 : 2)) return false;
    begun.draw.finishDrawing();
    return true;
  }

  /** What is drawn or dragged now; null: nothing is, or it is not closed yet. */
  outline(): Outline | null {
    const polygons = this.sketch.getFeatures().flatMap((feature) => {
      const geometry = feature.getGeometry();
      if (geometry instanceof Polygon) return [geometry.getCoordinates()];
      return geometry instanceof MultiPolygon ? geometry.getCoordinates() : [];
    });
    if (!polygons.length) return null;
    return polygons.map((rings) => rings.map((ring) => ring.map((corner) => lonLat(corner))));
  }

  /** The line across a change; null: there is none yet. */
  line(): LonLat[] | null {
    const geometry = this.sketch.getFeatures()[0]?.getGeometry();
    return geometry instanceof LineString ? geometry.getCoordinates().map((corner) => lonLat(corner)) : null;
  }

  stop(): void {
    this.letNothing();
    this.sketch.clear(true);
  }

  private letModify(): void {
    this.letNothing();
    this.take = () => this.letModify();
    for (const one of this.on) {
      const modify = new Modify({ source: this.sketch, style: SKETCH });
      one.map.addInteraction(modify);
      one.interactions.push(modify);
    }
  }

  private letNothing(): void {
    [this.take, this.begun] = [null, null];
    for (const one of this.on) {
      for (const interaction of one.interactions) one.map.removeInteraction(interaction);
      one.interactions = [];
    }
  }
}

/** Of what is being drawn those that were tapped: the last is the pointer's, and an outline repeats its first. */
function corners(feature: Feature): number {
  const geometry = feature.getGeometry();
  if (geometry instanceof Polygon) return (geometry.getCoordinates()[0]?.length ?? 0) - 2;
  return geometry instanceof LineString ? geometry.getCoordinates().length - 1 : 0;
}

function featuresOf(changes: readonly ChangeLine[]) {
  return new GeoJSON().readFeatures({ type: "FeatureCollection", features: changes }, { featureProjection: "EPSG:3857" });
}

/** To the millimetre. */
function lonLat(corner: number[]): LonLat {
  const [lon = 0, lat = 0] = toLonLat(corner);
  return [Number(lon.toFixed(8)), Number(lat.toFixed(8))];
}

function styleOf(status: string, isChosen: boolean): Style[] {
  const width = isChosen ? 4 : 2;
  return [
    new Style({ stroke: new Stroke({ color: "#ffffffcc", width: width + 3 }) }),
    new Style({ stroke: new Stroke({ color: COLOURS[status] ?? "#5b6770", width, lineDash: DASHES[status] }) }),
  ];
}
