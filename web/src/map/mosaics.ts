/** One tile layer for each mosaic shown, stacked by capture time: the newest lies on top. */

import type Map from "ol/Map";
import TileLayer from "ol/layer/Tile";
import XYZ from "ol/source/XYZ";
import { createXYZ } from "ol/tilegrid";
import { buffer } from "ol/extent";
import { transformExtent } from "ol/proj";
import { dataTileUrl, tileUrl, type DataLayer, type FlightInfo, type MosaicInfo } from "../api";
import { isLive, drawnRevision, visibleFlights, type State } from "../state";
import * as versions from "../tileVersions";
import { TileRetry } from "./tileRetry";
import { TilePriorityMap } from "./tilePriority";
import { Z } from "./view";

/** Levels below the finest whose tiles are drawn under it while a flight is on its way from another box: views of
 * them come over a thin line long before what they were made of. */
const AHEAD = [2, 4];

/** One drawn layer: a mosaic's picture, what came ahead of it under that, or what is known about its pixels on top. */
interface Wanted {
  key: string;
  flight: FlightInfo;
  mosaic: MosaicInfo;
  revision: number;
  data: DataLayer | null;
  coarser: number;
  zIndex: number;
}

interface Shown {
  layer: TileLayer<XYZ>;
  failed: TileRetry;
  seq: number;
}

/** The mosaic of a flight that is drawn: colour unless the reader chose another layer. */
export function findDrawnMosaic(state: State, flight: FlightInfo): MosaicInfo | null {
  const wanted = state.spectral[flight.flight_id] ?? "colour";
  return flight.mosaics.find((mosaic) => mosaic.layer === wanted) ?? flight.mosaics[0] ?? null;
}

/** Whether a finished revision of the flight is drawn. */
export function drawsFinishedRevision(state: State, flight: FlightInfo): boolean {
  const mosaic = findDrawnMosaic(state, flight);
  return mosaic !== null && drawnRevision(state, mosaic) > 0;
}

export class MosaicLayers {
  private shown: Record<string, Shown> = {};

  constructor(private readonly map: Map) {}

  update(state: State): void {
    const wanted = this.wanted(state);
    for (const one of wanted) {
      versions.trackMosaic(one.mosaic);
      const shown = (this.shown[one.key] ??= this.add(one));
      shown.layer.setZIndex(one.zIndex);
      if (one.data === null) shown.layer.setOpacity(state.opacity);
      const seq = versions.latestVersion(one.mosaic.mosaic_id);
      if (shown.seq !== seq) {
        shown.seq = seq;
        shown.layer.getSource()?.setTileUrlFunction(urlOf(one), `${one.key}@${seq}`);
        shown.layer.setExtent(extentOf(one.flight));
      }
    }
    const keys = new Set(wanted.map((one) => one.key));
    for (const [key, shown] of Object.entries(this.shown)) {
      if (keys.has(key)) continue;
      this.map.removeLayer(shown.layer);
      if (this.map instanceof TilePriorityMap) this.map.forget(shown.layer.getSource());
      delete this.shown[key];
    }
  }

  private wanted(state: State): Wanted[] {
    const flights = visibleFlights(state);
    return flights.flatMap((flight, age) => {
      const mosaic = findDrawnMosaic(state, flight);
      if (!mosaic || !flight.bounds) return [];
      const revision = drawnRevision(state, mosaic);
      const isOnItsWay = flight.state === "ingesting" && revision === 0 && !isLive(state, flight);
      const ahead = isOnItsWay ? AHEAD.filter((levels) => mosaic.base_zoom - levels >= mosaic.min_zoom) : [];
      const layers: [DataLayer | null, number][] = [0, ...ahead].map((coarser) => [null, coarser]);
      if (state.dataLayer) layers.push([state.dataLayer, 0]);
      const level = Z.mosaics + 2 * (flights.length - age);
      return layers.map(([data, coarser]) => ({
        // under other rules nothing stays that was drawn under these
        key: `${mosaic.mosaic_id}/${revision}/${data ?? ""}/${coarser}/${revision === mosaic.revision}/${versions.getAccessVersion()}`,
        flight,
        mosaic,
        revision,
        data,
        coarser,
        zIndex: level + (data ? 1 : -0.1 * coarser),
      }));
    });
  }

  private add(wanted: Wanted): Shown {
    const { mosaic, coarser } = wanted;
    const source = new XYZ({
      tileGrid: createXYZ({ minZoom: mosaic.min_zoom, maxZoom: mosaic.base_zoom - coarser, tileSize: 256 }),
      transition: 0,
      // Classes have no values between them.
      interpolate: wanted.data === null,
    });
    const seq = versions.latestVersion(mosaic.mosaic_id);
    source.setTileUrlFunction(urlOf(wanted), `${wanted.key}@${seq}`);
    if (wanted.data === null && this.map instanceof TilePriorityMap) this.map.order(source);
    const layer = new TileLayer({
      source,
      extent: extentOf(wanted.flight),
      useInterimTilesOnError: false,
      preload: wanted.data === null && coarser === 0 ? 1 : 0,
      cacheSize: 256,
    });
    this.map.addLayer(layer);
    return { layer, failed: new TileRetry(source), seq };
  }

  /** The server is back: tiles it did not answer are asked for again. */
  askAgain(): void {
    for (const shown of Object.values(this.shown)) shown.failed.askAgain();
  }
}

function urlOf({ mosaic, revision, data }: Wanted) {
  const id = mosaic.mosaic_id;
  const onShow = data === null && revision === mosaic.revision;
  return ([z = 0, x = 0, y = 0]: number[]): string =>
    onShow
      ? tileUrl(id, z, x, y, versions.tileVersion(id, z, x, y), revision)
      : dataTileUrl(id, z, x, y, revision, data);
}

/** Metres, of the grid: a finished revision lies up to that far beside the bounds that telemetry gave. */
const SHIFTED_M = 60;

/** Where tiles are asked for. */
function extentOf(flight: FlightInfo): number[] | undefined {
  return flight.bounds ? buffer(transformExtent(flight.bounds, "EPSG:4326", "EPSG:3857"), SHIFTED_M) : undefined;
}
