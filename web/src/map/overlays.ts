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
import type { FeatureCollection, FlightInfo, PixelSource } from "../api";
import { formatTime } from "../time";
import { COLOURS, hatchTile } from "./colours";
import { Z } from "./view";

const FONT = '700 16px "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
/** Smaller than this on screen, a flight is a labelled dot: an outline of four pixels tells nobody anything. */
const SMALL_PX = 70;

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
      style: (feature, resolution) => flightStyle(feature as Feature, resolution),
    });
    map.addLayer(this.extentLayer);
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

  /** What each flight imaged; until it is known, a flight is drawn by its bounds. */
  setOutlines(collection: FeatureCollection): void {
    this.outlines = {};
    for (const feature of reader.readFeatures(collection)) {
      const geometry = feature.getGeometry();
      if (geometry) this.outlines[String(feature.get("flight_id"))] = geometry;
    }
  }

  setFlights(flights: FlightInfo[]): void {
    this.extents.clear(true);
    for (const flight of flights) {
      if (!flight.bounds) continue;
      const extent = transformExtent(flight.bounds, "EPSG:4326", "EPSG:3857");
      const geometry = this.outlines[flight.flight_id] ?? fromExtent(extent);
      const feature = new Feature({ geometry, flight: flight.flight_id });
      feature.set("label", `${flight.name}\n${formatTime(flight.last)}`);
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

function flightStyle(feature: Feature, resolution: number): Style[] {
  if (!isSmall(feature, resolution)) return cased(COLOURS.flight, 1.5, [9, 6]);
  const extent = feature.getGeometry()?.getExtent() ?? [0, 0, 0, 0];
  return [
    new Style({
      geometry: new Point(getCenter(extent)),
      image: new CircleStyle({
        radius: 9,
        fill: new Fill({ color: COLOURS.flightCasing }),
        stroke: new Stroke({ color: COLOURS.flight, width: 3 }),
      }),
      text: new Text({
        text: String(feature.get("label")),
        font: FONT,
        textAlign: "left",
        offsetX: 18,
        fill: new Fill({ color: "#14202b" }),
        backgroundFill: new Fill({ color: "rgba(255,255,255,0.94)" }),
        backgroundStroke: new Stroke({ color: COLOURS.flightCasing, width: 1 }),
        padding: [4, 7, 3, 7],
      }),
    }),
  ];
}
