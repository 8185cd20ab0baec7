/** What the server might say, for tests: each with what a test is about in place of these. */

import type { EventInfo, FlightInfo, MosaicInfo, PixelSource } from "./api";
import { initialState, type State } from "./state";

export function makeMosaic(change: Partial<MosaicInfo> = {}): MosaicInfo {
  return { mosaic_id: "f1-colour", layer: "colour", revision: 0, base_zoom: 20, min_zoom: 10, seq: 1, revisions: [], ...change };
}

export function makeFlight(change: Partial<FlightInfo> = {}): FlightInfo {
  const called = { flight_id: "f1", name: "Bay 1", event_id: "e1", operator: null };
  const taken = { first: "2024-09-10T03:00:00Z", last: "2024-09-10T03:15:00Z", gsd_m: 0.05, recorded_s: 0, vertical_datum: "EGM2008", work_crs: "EPSG:32648" };
  const shown = { is_drill: false, state: "ready", is_streamed: false, classification: "open" } as const;
  return { ...called, ...taken, ...shown, bounds: [104, 21, 105, 22], warnings: [], mosaics: [makeMosaic()], communes: [], ...change };
}

export function makeEvent(change: Partial<EventInfo> = {}): EventInfo {
  return { event_id: "e1", name: "Bão số 3", kind: "storm", is_drill: false, risk_level: null, starts: null, ends: null, takes_unnamed: false, ...change };
}

export function makeState(change: Partial<State> = {}): State {
  return { ...initialState(), events: [makeEvent()], flights: [makeFlight()], eventId: "e1", ...change };
}

export function makePixel(change: Partial<PixelSource> = {}): PixelSource {
  const photo = { frame_id: null, source_name: null, source_sha256: null, camera: null, operator: null, settled: null, pose_source: null, spot: null, let_go: null };
  const place = { flight_id: "f1", layer: "colour", revision: 0, captured: "2024-09-10T03:15:00Z", gsd_m: 0.05, pixel_m: 0.05, sigma_m: 0.3, footprint: null };
  return { ...photo, ...place, finished: null, ground: "dem", ...change };
}
