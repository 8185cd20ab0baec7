/** Outlines of changes over one map or both of a comparison: drawn, dragged by their corners. */

import type Feature from "ol/Feature";
import type Map from "ol/Map";
import GeoJSON from "ol/format/GeoJSON";
import MultiPoint from "ol/geom/MultiPoint";
import MultiPolygon from "ol/geom/MultiPolygon";
import Polygon from "ol/geom/Polygon";
import { unByKey } from "ol/Observable";
import type { EventsKey } from "ol/events";
import type Geometry from "ol/geom/Geometry";
import Draw from "ol/interaction/Draw";
import type Interaction from "ol/interaction/Interaction";
import Modify from "ol/interaction/Modify";
import VectorLayer from "ol/layer/Vector";
import { getPointResolution, toLonLat } from "ol/proj";
import VectorSource from "ol/source/Vector";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import type { LonLat } from "../api";
import { Z } from "../map/view";
import type { ChangeLine, Outline } from "./types";
import { countVertices, simplifyRings, removeVertex, type Rings } from "./vertices";

/** Told apart by dashes too, not by the colour alone. */
const COLOURS: Record<string, string> = { proposed: "#ffb000", accepted: "#d1300b", rejected: "#5b6770" };
const DASHES: Record<string, number[] | undefined> = { proposed: [10, 6], rejected: [2, 6] };
const SKETCH_COLOUR = "#0072b2";
const CORNER = new CircleStyle({ radius: 5, fill: new Fill({ color: "#fff" }), stroke: new Stroke({ color: SKETCH_COLOUR, width: 2 }) });
/** Within so much of the pointer a corner is meant. */
const REACH_PX = 14;
/** Of an outline whose error nobody knows, metres; and of a small one so much of its width at most. */
const FEWER_M = 1;
const FEWER_SHARE = 1 / 30;
const SKETCH = [
  new Style({ stroke: new Stroke({ color: "#ffffff", width: 6 }) }),
  new Style({
    stroke: new Stroke({ color: SKETCH_COLOUR, width: 3 }),
    image: new CircleStyle({ radius: 7, fill: new Fill({ color: SKETCH_COLOUR }), stroke: new Stroke({ color: "#fff", width: 2 }) }),
  }),
  new Style({ image: CORNER, geometry: (feature) => cornersOf(feature.getGeometry()) }),
];

interface On {
  map: Map;
  layers: VectorLayer[];
  interactions: Interaction[];
  heard: EventsKey;
}

export class ChangeDrawing {
  private readonly source = new VectorSource();
  private readonly sketch = new VectorSource();
  private on: On[] = [];
  private chosen: string | null = null;
  /** Puts what is in hand on the maps that there are now; null: nothing is in hand. */
  private take: (() => void) | null = null;
  /** Where the pointer was last, on whichever map. */
  private pointer: { at: number[]; resolution: number } | null = null;
  /** The outline that is redrawn, while nobody has moved anything of it: as it stands, to the last corner. */
  private untouched: Outline | null = null;
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
      const heard = map.on("pointermove", ({ coordinate }) => (this.pointer = { at: coordinate, resolution: map.getView().getResolution() ?? 1 }));
      return { map, layers, interactions: [], heard };
    });
    this.take?.();
  }

  detach(): void {
    for (const { map, layers, interactions, heard } of this.on) {
      unByKey(heard);
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

  /** The corners of a change can be dragged: so few that a hand finds them, and nowhere further off than its outline may be. What became of them. */
  edit(change: ChangeLine): { from: number; to: number; offM: number } {
    this.stop();
    const [feature] = featuresOf([change]);
    const geometry = feature?.getGeometry();
    const { error_m, area_m2 } = change.properties;
    const offM = Math.min(error_m ?? FEWER_M, Math.sqrt(area_m2) * FEWER_SHARE);
    const told = { from: 0, to: 0, offM };
    if (feature && geometry instanceof MultiPolygon) {
      const all = geometry.getCoordinates();
      const metre = 1 / getPointResolution("EPSG:3857", 1, geometry.getFirstCoordinate());
      const fewer = simplifyRings(all, offM * metre);
      [told.from, told.to] = [countVertices(all), countVertices(fewer)];
      geometry.setCoordinates(fewer);
      this.sketch.addFeature(feature);
    }
    this.untouched = change.geometry.coordinates;
    this.letModify();
    return told;
  }

  /** Takes away the corner under the pointer, or the last one of what is being drawn; whether there was one. */
  dropCorner(): boolean {
    if (this.begun) {
      this.begun.draw.removeLastPoint();
      return true;
    }
    const { pointer } = this;
    for (const feature of pointer ? this.sketch.getFeatures() : []) {
      const geometry = feature.getGeometry();
      const polygons: Rings[] = geometry instanceof MultiPolygon ? geometry.getCoordinates() : geometry instanceof Polygon ? [geometry.getCoordinates()] : [];
      const fewer = pointer && removeVertex(polygons, pointer.at, REACH_PX * pointer.resolution);
      if (!fewer) continue;
      this.untouched = null;
      if (geometry instanceof MultiPolygon) geometry.setCoordinates(fewer);
      else if (geometry instanceof Polygon) geometry.setCoordinates(fewer[0] ?? []);
      return true;
    }
    return false;
  }

  /** Takes back the last corner of what is being drawn and not ended; whether there was one. */
  takeBack(): boolean {
    const { begun } = this;
    begun?.draw.removeLastPoint(); // of the first corner: with which it is begun no more
    return begun !== null;
  }

  /** Whether more is in hand than what stands: drawn, or dragged. */
  isChanged(): boolean {
    return this.untouched === null && this.sketch.getFeatures().length > 0;
  }

  /** A new outline, on whichever map it is begun; `onClosed` hears when it can be saved. */
  draw(onClosed: () => void): void {
    this.stop();
    this.take = () => this.letDraw(onClosed);
    this.take();
  }

  private letDraw(onClosed: () => void): void {
    for (const one of this.on) {
      const draw = new Draw({ source: this.sketch, type: "Polygon", style: SKETCH });
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

  /** Ends what is being drawn at its last corner, as a double tap does; whether that is enough for an outline. */
  end(): boolean {
    const { begun } = this;
    if (!begun || corners(begun.feature) < 3) return false;
    begun.draw.finishDrawing();
    return true;
  }

  /** What is drawn or dragged now; null: nothing is, or it is not closed yet. */
  outline(): Outline | null {
    if (this.untouched) return this.untouched;
    const polygons = this.sketch.getFeatures().flatMap((feature) => {
      const geometry = feature.getGeometry();
      if (geometry instanceof Polygon) return [geometry.getCoordinates()];
      return geometry instanceof MultiPolygon ? geometry.getCoordinates() : [];
    });
    if (!polygons.length) return null;
    return polygons.map((rings) => rings.map((ring) => ring.map((corner) => lonLat(corner))));
  }

  stop(): void {
    this.untouched = null;
    this.letNothing();
    this.sketch.clear(true);
  }

  private letModify(): void {
    this.letNothing();
    this.take = () => this.letModify();
    for (const one of this.on) {
      const modify = new Modify({ source: this.sketch, style: SKETCH });
      modify.on("modifystart", () => (this.untouched = null));
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

/** Each corner to take hold of. */
function cornersOf(geometry: unknown): Geometry | undefined {
  if (geometry instanceof MultiPolygon) return new MultiPoint(geometry.getCoordinates().flat(2));
  return geometry instanceof Polygon ? new MultiPoint(geometry.getCoordinates().flat()) : undefined;
}

/** Of what is being drawn those that were tapped: the last is the pointer's, and an outline repeats its first. */
function corners(feature: Feature): number {
  const geometry = feature.getGeometry();
  return geometry instanceof Polygon ? (geometry.getCoordinates()[0]?.length ?? 0) - 2 : 0;
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
