/** Outlines over the imagery: extents of flights, footprints and gaps of the chosen flight, the picked point. */

import type Map from "ol/Map";
import Feature from "ol/Feature";
import GeoJSON from "ol/format/GeoJSON";
import Point from "ol/geom/Point";
import { fromExtent } from "ol/geom/Polygon";
import type Geometry from "ol/geom/Geometry";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { getCenter } from "ol/extent";
import { fromLonLat, transformExtent } from "ol/proj";
import type { FeatureCollection, PixelSource } from "../api";
import { drawnRevision, visibleFlights, type State } from "../state";
import { formatTime } from "../time";
import { COLOURS, hatchTile } from "./colours";
import { findDrawnMosaic } from "./mosaics";
import { Z } from "./view";

export const FONT = '700 16px "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
/** Smaller than this on screen, a flight is a labelled dot: an outline of four pixels tells nobody anything. */
export const SMALL_PX = 70;
/** A name of more letters is broken between words: a phone is 390 pixels wide. */
const LABEL_LETTERS = 24;
const LABEL_OFFSET_PX = 18;
const LETTER_PX = 9.5;

const reader = new GeoJSON({ featureProjection: "EPSG:3857" });

function vectors(map: Map, zIndex: number, style: Style | Style[]): VectorSource {
  const source = new VectorSource();
  map.addLayer(new VectorLayer({ source, style, zIndex, updateWhileInteracting: false }));
  return source;
}

function cased(colour: string, width: number, dash?: number[]): Style[] {
  return [
    new Style({ stroke: new Stroke({ color: "rgba(10, 22, 32, 0.75)", width: width + 2.5 }) }),
    new Style({ stroke: new Stroke({ color: colour, width, lineDash: dash }) }),
  ];
}

export class Overlays {
  private readonly footprints: VectorSource;
  private readonly gaps: VectorSource;
  private readonly picked: VectorSource;
  private readonly extents: VectorSource;
  private readonly extentLayer: VectorLayer;
  private outlines: Record<string, Geometry> = {};

  constructor(private readonly map: Map) {
    const pen = document.createElement("canvas").getContext("2d");
    const gapFill = pen?.createPattern(hatchTile(COLOURS.gap, 10, 2, true), "repeat");
    this.gaps = vectors(map, Z.gaps, [
      new Style({ fill: new Fill({ color: gapFill ?? "transparent" }) }),
      ...cased(COLOURS.gap, 2),
    ]);
    this.footprints = vectors(map, Z.footprints, cased(COLOURS.footprint, 1));
    this.picked = vectors(map, Z.picked, [
      ...cased(COLOURS.picked, 3),
      new Style({
        image: new CircleStyle({
          radius: 8,
          fill: new Fill({ color: COLOURS.picked }),
          stroke: new Stroke({ color: "#14202b", width: 3 }),
        }),
      }),
    ]);
    this.extents = new VectorSource();
    this.extentLayer = new VectorLayer({
      source: this.extents,
      zIndex: Z.flights,
      declutter: true,
      style: (feature, resolution) => flightStyle(feature as Feature, resolution, this.sideOf(feature as Feature)),
    });
    map.addLayer(this.extentLayer);
    // on which side of its dot a label has room depends on where the view stands
    map.on("moveend", () => this.extentLayer.changed());
  }

  /** Where a flight's label fits beside its dot; under the dot where it fits on neither side. */
  private sideOf(feature: Feature): Side {
    const at = this.map.getPixelFromCoordinate(getCenter(feature.getGeometry()?.getExtent() ?? [0, 0, 0, 0]));
    const [width = 0] = this.map.getSize() ?? [];
    if (!at) return "right";
    const lines = String(feature.get("label")).split("\n");
    const needed = LABEL_OFFSET_PX + 10 + LETTER_PX * Math.max(...lines.map((line) => line.length));
    const [x = 0] = at;
    if (x + needed <= width) return "right";
    return x >= needed ? "left" : "under";
  }

  /** The flight whose dot or label is at a screen position; null where flights are drawn as outlines. */
  dotAt(pixel: number[]): string | null {
    const hit = this.map.forEachFeatureAtPixel(pixel, (feature) => feature as Feature, {
      layerFilter: (layer) => layer === this.extentLayer,
      hitTolerance: 6,
    });
    const isDot = hit && isSmall(hit, this.map.getView().getResolution() ?? 1);
    return isDot ? String(hit.get("flight")) : null;
  }

  /** What each revision of a flight shows; until it is known, a flight is drawn by its bounds. */
  setOutlines(collection: FeatureCollection): void {
    this.outlines = {};
    for (const feature of reader.readFeatures(collection)) {
      const geometry = feature.getGeometry();
      const key = `${feature.get("mosaic_id")}/${feature.get("revision")}`;
      if (geometry) this.outlines[key] = geometry;
    }
  }

  /** The flights on the screen, each with the outline of the revision that is drawn. */
  setFlights(state: State): void {
    this.extents.clear(true);
    for (const flight of visibleFlights(state)) {
      if (!flight.bounds) continue;
      const mosaic = findDrawnMosaic(state, flight);
      const drawn = mosaic ? this.outlines[`${mosaic.mosaic_id}/${drawnRevision(state, mosaic)}`] : undefined;
      const extent = transformExtent(flight.bounds, "EPSG:4326", "EPSG:3857");
      const feature = new Feature({ geometry: drawn ?? fromExtent(extent), flight: flight.flight_id });
      feature.set("label", `${broken(flight.name)}\n${formatTime(flight.last)}`);
      this.extents.addFeature(feature);
    }
  }

  setFootprints(collection: FeatureCollection | null): void {
    this.footprints.clear(true);
    if (collection) this.footprints.addFeatures(reader.readFeatures(collection));
  }

  setGaps(collection: FeatureCollection | null): void {
    this.gaps.clear(true);
    if (collection) this.gaps.addFeatures(reader.readFeatures(collection));
  }

  setPicked(lon: number, lat: number, pixel: PixelSource | null): void {
    this.picked.clear(true);
    if (pixel?.footprint) this.picked.addFeature(new Feature(reader.readGeometry(pixel.footprint) ?? undefined));
    this.picked.addFeature(new Feature(new Point(fromLonLat([lon, lat]))));
  }

  clearPicked(): void {
    this.picked.clear(true);
  }
}

function isSmall(feature: Feature, resolution: number): boolean {
  const [west = 0, , east = 0] = feature.getGeometry()?.getExtent() ?? [];
  return (east - west) / resolution <= SMALL_PX;
}

type Side = "right" | "left" | "under";

/** A name in lines of at most so many letters, broken between words. */
function broken(name: string): string {
  const lines: string[] = [];
  for (const word of name.split(" ")) {
    const last = lines[lines.length - 1]; // .at(-1) is younger than old office browsers
    if (last !== undefined && last.length + 1 + word.length <= LABEL_LETTERS) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}

function flightStyle(feature: Feature, resolution: number, side: Side): Style[] {
  if (!isSmall(feature, resolution)) return cased(COLOURS.flight, 1.5, [9, 6]);
  const extent = feature.getGeometry()?.getExtent() ?? [0, 0, 0, 0];
  return [
    new Style({
      geometry: new Point(getCenter(extent)),
      image: new CircleStyle({
        radius: 9,
        // labels make way for each other; a dot is a flight, and none may vanish
        declutterMode: "none",
        fill: new Fill({ color: COLOURS.flightCasing }),
        stroke: new Stroke({ color: COLOURS.flight, width: 3 }),
      }),
      text: new Text({
        text: String(feature.get("label")),
        font: FONT,
        textAlign: side === "under" ? "center" : side === "left" ? "right" : "left",
        textBaseline: side === "under" ? "top" : "middle",
        offsetX: side === "under" ? 0 : side === "left" ? -LABEL_OFFSET_PX : LABEL_OFFSET_PX,
        offsetY: side === "under" ? LABEL_OFFSET_PX : 0,
        fill: new Fill({ color: "#14202b" }),
        backgroundFill: new Fill({ color: "rgba(255,255,255,0.94)" }),
        backgroundStroke: new Stroke({ color: COLOURS.flightCasing, width: 1 }),
        padding: [4, 7, 3, 7],
      }),
    }),
  ];
}
