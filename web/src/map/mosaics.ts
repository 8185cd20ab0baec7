/** One tile layer for each mosaic shown, stacked by capture time: the newest lies on top. */

import type Map from "ol/Map";
import TileLayer from "ol/layer/Tile";
import XYZ from "ol/source/XYZ";
import { createXYZ } from "ol/tilegrid";
import { transformExtent } from "ol/proj";
import { tileUrl, type FlightInfo, type MosaicInfo } from "../api";
import { visibleFlights, type State } from "../state";
import * as versions from "../versions";
import { Z } from "./view";

interface Shown {
  layer: TileLayer<XYZ>;
  seq: number;
}

/** The mosaic of a flight that is drawn: colour unless the reader chose another layer. */
export function chosenMosaic(state: State, flight: FlightInfo): MosaicInfo | null {
  const wanted = state.spectral[flight.flight_id] ?? "colour";
  return flight.mosaics.find((mosaic) => mosaic.layer === wanted) ?? flight.mosaics[0] ?? null;
}

export class MosaicLayers {
  private shown: Record<string, Shown> = {};

  constructor(private readonly map: Map) {}

  update(state: State): void {
    const flights = visibleFlights(state);
    const wanted = new Set<string>();
    flights.forEach((flight, age) => {
      const mosaic = chosenMosaic(state, flight);
      if (!mosaic || !flight.bounds) return;
      wanted.add(mosaic.mosaic_id);
      versions.open(mosaic);
      const shown = (this.shown[mosaic.mosaic_id] ??= this.add(flight, mosaic));
      shown.layer.setZIndex(Z.mosaics + flights.length - age);
      const seq = versions.latest(mosaic.mosaic_id);
      if (shown.seq !== seq) {
        shown.seq = seq;
        shown.layer.getSource()?.setTileUrlFunction(urlOf(mosaic), `${mosaic.mosaic_id}@${seq}`);
        shown.layer.setExtent(extentOf(flight));
      }
    });
    for (const [id, shown] of Object.entries(this.shown)) {
      if (wanted.has(id)) continue;
      this.map.removeLayer(shown.layer);
      delete this.shown[id];
    }
  }

  private add(flight: FlightInfo, mosaic: MosaicInfo): Shown {
    const source = new XYZ({
      tileGrid: createXYZ({ minZoom: mosaic.min_zoom, maxZoom: mosaic.base_zoom, tileSize: 256 }),
      transition: 0,
      interpolate: true,
    });
    const seq = versions.latest(mosaic.mosaic_id);
    source.setTileUrlFunction(urlOf(mosaic), `${mosaic.mosaic_id}@${seq}`);
    const layer = new TileLayer({
      source,
      extent: extentOf(flight),
      useInterimTilesOnError: false,
      preload: 1,
      cacheSize: 256,
    });
    this.map.addLayer(layer);
    return { layer, seq };
  }
}

function urlOf(mosaic: MosaicInfo) {
  const id = mosaic.mosaic_id;
  return ([z = 0, x = 0, y = 0]: number[]): string => tileUrl(id, z, x, y, versions.versionOf(id, z, x, y));
}

function extentOf(flight: FlightInfo): number[] | undefined {
  return flight.bounds ? transformExtent(flight.bounds, "EPSG:4326", "EPSG:3857") : undefined;
}
