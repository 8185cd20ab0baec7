/** Which of the flights on the screen imaged a point: asked from the newest down, as they lie on each other. */

import { api, ApiError, type FlightInfo, type MosaicInfo, type PixelSource } from "./api";
import { findDrawnMosaic } from "./map/mosaics";
import type { PickFailure } from "./panel/photoCard";
import { drawnRevision, visibleFlights, type State } from "./state";

export interface ImagedPoint {
  flight: FlightInfo | null;
  pixel: PixelSource | null;
  unknown: PickFailure | null;
}

/**
 * What is seen at a place of the map, in a word: another word means that what was known of the one must not be said of
 * the other.
 */
export function visibleKey(state: State, centre: readonly number[]): string {
  const seen = (flight: FlightInfo, mosaic: MosaicInfo | null): unknown[] => [flight.flight_id, mosaic?.layer, mosaic && drawnRevision(state, mosaic)];
  return JSON.stringify([state.eventId, state.asOf, centre, visibleFlights(state).map((flight) => seen(flight, findDrawnMosaic(state, flight)))]);
}

/** A flight that is not answered for ends the search: an older one below it is not what lies on top. */
export async function findImagingFlight(state: State, lon: number, lat: number): Promise<ImagedPoint> {
  for (const flight of visibleFlights(state).filter((one) => holds(one.bounds, lon, lat))) {
    const mosaic = findDrawnMosaic(state, flight);
    if (!mosaic) continue;
    try {
      const pixel = await api.pixel(flight.flight_id, mosaic.layer, drawnRevision(state, mosaic), lon, lat);
      if (pixel) return { flight, pixel, unknown: null };
    } catch (error) {
      const message = error instanceof ApiError ? error.message : null;
      return { flight: null, pixel: null, unknown: { message } };
    }
  }
  return { flight: null, pixel: null, unknown: null };
}

/** Whether any of the flights on the screen may be seen within bounds (west, south, east, north). */
export function mayShowImagery(state: State, [west, south, east, north]: readonly [number, number, number, number]): boolean {
  return visibleFlights(state).some(({ bounds }) => bounds !== null && bounds[0] < east && bounds[2] > west && bounds[1] < north && bounds[3] > south);
}

function holds(bounds: FlightInfo["bounds"], lon: number, lat: number): boolean {
  return bounds !== null && lon >= bounds[0] && lon <= bounds[2] && lat >= bounds[1] && lat <= bounds[3];
}
