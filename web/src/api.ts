/** What the server says, typed. Times are ISO 8601 in UTC; only `time.ts` turns them into words. */

import type { AccountInfo, SignInCode, SetupResult, TokenInfo, NewToken, TokenRequest, TokenScope } from "./account/types";
import type { ChangeLines, DecisionRequest } from "./changes/types";
import type { ImpactAnswer } from "./changes/impact";
import type { RegistrationWindows } from "./changes/registrationWindows";
import type { Redaction, RedactionRequest, PhotoRedactions } from "./redactions/types";
import type { Access, SettlementsSaid } from "./panel/settlements";
import type { MarkRequest, MarkKind, MarkLine, MarkLines } from "./marks";
import type { GuestLink, NewGuestLink, RestrictedArea, RetentionConfirmed, RetentionState } from "./sharing/types";
import type { SpecialistLayer } from "./specialistLayers";
import { setTimeZone } from "./time";
import { waitForTiles } from "./requestOrder";
import { getAccessVersion } from "./tileVersions";

export interface Session {
  account: { name: string; role: string } | null;
  /** What the token is for that it came by. */
  scope: TokenScope;
  open: boolean;
  version: string;
  /** The word for what is withheld from this reader. */
  withheld: string;
  /** In which times are said, by its IANA name. */
  time_zone: string;
}

export interface Machine {
  battery: { percent: number; in_use: boolean; left_s: number | null } | null;
  low_power: boolean;
  disk: { free_bytes: number; is_low: boolean } | null;
}

export interface EventInfo {
  event_id: string;
  name: string;
  kind: string;
  is_drill: boolean;
  risk_level: number | null;
  starts: string | null;
  ends: string | null;
  /** Flights for which nobody names an event go into it. */
  takes_unnamed: boolean;
}

export interface MosaicInfo {
  mosaic_id: string;
  layer: string;
  revision: number;
  base_zoom: number;
  min_zoom: number;
  seq: number;
  /** Finished ones, oldest first; the live one is revision 0 and always there. */
  revisions: RevisionInfo[];
}

export interface RevisionInfo {
  revision: number;
  state: "building" | "published" | "retired";
  made: string;
  has_surface: boolean;
  stats: {
    reprojection_px?: number | null;
    sigma_xy_m?: number | null;
    sigma_z_m?: number | null;
    shift_sigma_m?: number[] | null;
    accepted?: boolean;
  };
  reports: Record<string, string>;
}

/** Metres in a 3-degree zone of VN-2000, the province's where it is known: X counts north, Y counts east. */
export interface Vn2000 {
  x_north_m: number;
  y_east_m: number;
  crs: string;
  central_meridian_deg: number;
  /** Whose meridian it is; null where it is only the nearest one. */
  province: string | null;
}

/** Lines of the VN-2000 grid: axis "x" where X (north) is the same all along, "y" where Y (east) is. */
export interface GridLine {
  axis: "x" | "y";
  value_m: number;
  lonlat: [number, number][];
}

export interface NationalGrid extends Pick<Vn2000, "crs" | "central_meridian_deg" | "province"> {
  step_m: number;
  lines: GridLine[];
}

/** A place of a meeting: a view with a name. */
export interface BriefingPlaceInfo {
  name: string;
  view: Record<string, string>;
  bounds: [number, number, number, number];
}

/** version 0: nobody made a list. */
export interface BriefingPlaceList {
  version: number;
  places: BriefingPlaceInfo[];
  author: string | null;
  time: string | null;
}

/** Colours and classes of what is known about pixels, as the server paints them. */
export interface Legend {
  title: string;
  title_vi: string;
  classes: { colour: string; up_to: number | null; label: string; label_vi: string }[];
}

export type DataLayer = "error" | "age" | "gsd" | "surface";

export interface CommuneCoverage {
  code: string;
  name: string;
  covered_pct: number;
  covered_m2: number;
}

/**
 * Something that must be said beside a flight's map, in both languages; `brief` fits on the live map, `finished` on
 * a finished revision.
 */
export interface Warning {
  code: string | null;
  sentence: string;
  sentence_vi: string;
  brief: string;
  brief_vi: string;
  finished: string;
  finished_vi: string;
}

export type Classification = "open" | "internal" | "restricted";

export interface FlightInfo {
  flight_id: string;
  name: string;
  event_id: string;
  is_drill: boolean;
  state: string;
  /** Whether its newest picture came from a stream in the air. */
  is_streamed: boolean;
  /** How widely it may be shown. */
  classification: Classification;
  gsd_m: number;
  first: string;
  last: string;
  bounds: [number, number, number, number] | null;
  operator: string | null;
  /** Seconds of its video that are kept; 0 of a flight with photos only. */
  recorded_s: number;
  vertical_datum: string;
  work_crs: string;
  warnings: Warning[];
  mosaics: MosaicInfo[];
  communes: CommuneCoverage[];
}

export interface FlightDetail extends FlightInfo {
  frames: { used: number; withdrawn: number; rejected: Record<string, number> };
}

/** Where a place lies in a photo: its pixels, corners at integers. */
export interface PhotoPoint {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A photo that shows a place from the side. */
export interface ObliquePhoto {
  source_name: string;
  source_sha256: string;
  captured: string;
  spot: PhotoPoint | null;
}

export interface PixelSource {
  flight_id: string;
  /** Null to guests, as all that names the photo, or somebody. */
  frame_id: string | null;
  layer: string;
  source_name: string | null;
  source_sha256: string | null;
  captured: string;
  camera: string | null;
  operator: string | null;
  settled: string[] | null;
  gsd_m: number | null;
  pixel_m: number;
  sigma_m: number | null;
  pose_source: string | null;
  revision: number;
  /** What only a finished revision knows; null on the live one. */
  finished: { pose_state: string | null; ties: number; shift_sigma_m: number[] | null } | null;
  /** What the pixel lies on: measured by the flight, carried on or corrected from that, the terrain model, or a plane where none is known. */
  ground: "own" | "corrected" | "dem" | "plane";
  footprint: object | null;
  /** When and by whom the original was let go under its retention term; null while it is kept. */
  let_go: { at: string; by: string; box: string } | null;
  /** null: not known. */
  spot: PhotoPoint | null;
}

/** What whoever may look at the photo is told. */
export type PhotoSource = PixelSource & { source_name: string; source_sha256: string };

export function hasPhoto(pixel: PixelSource): pixel is PhotoSource {
  return pixel.source_sha256 !== null;
}

export interface FeatureCollection {
  type: "FeatureCollection";
  features: {
    type: "Feature";
    geometry: object;
    properties: Record<string, unknown>;
    bbox?: number[];
  }[];
}

export type LonLat = [number, number];

/** One of a live flight's links; `silent_s`: since the last that came over it. */
export interface LinkInfo {
  lost: boolean;
  silent_s: number | null;
  connections: number;
}

export interface BilingualSentence {
  sentence: string;
  sentence_vi: string;
}

/** A live flight; durations (`…_s`) are counted by the server up to the moment it says them. */
export interface AirborneFlight {
  flight_id: string;
  event_id: string;
  name: string;
  is_drill: boolean;
  /** A film played again: its aircraft is not there now. */
  is_recording: boolean;
  run: string;
  /** "silent": the program that lays it died, or cannot be heard. */
  state: "flying" | "closing" | "silent" | "ended";
  /** When its program last told of it, and how long ago that was. */
  told: string;
  told_s: number;
  aircraft: { lonlat: LonLat; heading_deg: number | null; above_m: number | null; age_s: number } | null;
  /** Outline of the ground in the newest picture. */
  footprint: LonLat[] | null;
  picture: string | null;
  picture_s: number | null;
  laid: string | null;
  video: LinkInfo;
  telemetry: LinkInfo;
  left_out_said: string;
  left_out_said_vi: string;
  /** Address of its newest picture; another picture has another address. */
  picture_url: string | null;
  /** Seconds of its video that are kept; null: it is not recorded. */
  recorded_s: number | null;
  /** Nothing is laid yet: how the clocks of video and log lie to each other is still looked for. */
  is_matching: boolean;
  remarks: BilingualSentence[];
  failure: BilingualSentence | null;
  /** Only in the answer to a request; events go on from there. */
  track?: LonLat[];
}

/** A stretch of recorded video, playable alone. `url` is null for one that is not kept, or not shown to this visitor. */
export interface VideoPiece {
  began: string;
  seconds: number;
  codec: string;
  let_go: boolean;
  withheld: boolean;
  url: string | null;
}

/** What is presented in the meeting, and by whom. */
export interface Presentation {
  version: number;
  presenter: string;
  screen: string;
  since: string;
  view: Record<string, string>;
  bounds: [number, number, number, number];
}

/** How a commune stands in an event. */
/** Times are said in the zone of the house that was asked. */
function inItsZone(session: Session): Session {
  setTimeZone(session.time_zone);
  return session;
}

/** What a program suspects and nobody has decided on yet: how many places, and their ground. */
export interface PendingChanges {
  count: number;
  area_m2: number;
  /** Some of them were not seen whole: the area is a lower bound. */
  area_at_least: boolean;
}

export interface CommuneRow {
  code: string;
  name: string;
  bounds: [number, number, number, number];
  /** Of its area, by all flights together; null: not flown. */
  imaged_pct: number | null;
  /** Flights that were over it, and not over yet, at the time asked for. */
  under_way: string[];
  newest: string | null;
  newest_flight: string | null;
  newest_pct: number | null;
  flights: number;
  /** Open marks by kind. */
  marks: Partial<Record<MarkKind, number>>;
  /** Confirmed changes; 0: none stands on what was compared of it; null: nobody has said yet. */
  changes: number | null;
  /** Changes in it that nobody has decided on yet; null: none. */
  waiting: PendingChanges | null;
  /** Of its area, on which changes were looked for; null: nowhere. */
  compared_pct: number | null;
  /** Flights in the air over it. */
  aloft: string[];
  /** Things of layers that their owner says to be in trouble; null: of an earlier time that is not known. */
  troubles: { layer_id: string; name: string; kind: string; count: number }[] | null;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Nobody answered, or something between here and the server did in its place: nothing is known of what was asked. */
export class NetworkError extends Error {}

let onNoAnswer = (): void => undefined;
let onRefused = (): Promise<boolean> => Promise.resolve(false);

/** Who hears of every request that is not answered. */
export function onNetworkError(listener: () => void): void {
  onNoAnswer = listener;
}

/** Who hears of every answer that nobody is signed in, and says whether somebody is now: then it is asked again. */
export function onUnauthorized(listener: () => Promise<boolean>): void {
  onRefused = listener;
}

/** Who the server says is signed in here; null: what does not answer, or is no server of ours, says nothing. */
export async function fetchSession(): Promise<Session | "nobody" | null> {
  const answer = await fetch("/api/session", { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
  if (!answer || !(answer.headers.get("Content-Type") ?? "").includes("json")) return null;
  if (answer.status === 401) return "nobody";
  return answer.ok ? ((await answer.json().catch(() => null)) as Session | null) : null;
}

/** After so long a request is taken as not answered; a line that died in the middle of one says nothing by itself. */
const ANSWER_MS = 30_000;
/** Of what is said of a meeting: it is small, and who speaks must soon know that nobody hears. */
const MEETING_MS = 10_000;
/** A flight's originals may be thousands of objects of a store. */
const DELETING_MS = 600_000;

async function get<T>(path: string, params: Record<string, string | number> = {}, withinMs = ANSWER_MS): Promise<T> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) query.set(name, String(value));
  query.set("lang", document.documentElement.lang);
  return ask<T>(`${path}?${query.toString()}`, { headers: { Accept: "application/json" } }, withinMs);
}

/** What is told beside the pictures. */
async function getBeside<T>(path: string, params: Record<string, string | number>): Promise<T> {
  await waitForTiles();
  return get<T>(path, params);
}

async function post<T>(path: string, body: object): Promise<T> {
  return ask<T>(`${path}?lang=${document.documentElement.lang}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** A photo takes the time it takes. */
async function put<T>(path: string, body: object | Blob, params: Record<string, string | number> = {}, withinMs = ANSWER_MS): Promise<T> {
  const query = new URLSearchParams({ ...params, lang: document.documentElement.lang } as Record<string, string>);
  const isFile = body instanceof Blob;
  const request = {
    method: "PUT",
    headers: { "Content-Type": isFile ? body.type || "image/jpeg" : "application/json" },
    body: isFile ? body : JSON.stringify(body),
  };
  return ask<T>(`${path}?${query.toString()}`, request, isFile ? null : withinMs);
}

async function remove<T>(path: string, params: Record<string, string>, withinMs = ANSWER_MS): Promise<T> {
  const query = new URLSearchParams({ ...params, lang: document.documentElement.lang });
  return ask<T>(`${path}?${query.toString()}`, { method: "DELETE" }, withinMs);
}

/** Of these 401 is the answer to who stands at the door, not to a page whose session ended. */
const AT_THE_DOOR = /^\/api\/(login|arrival|session|setup|sign-in)\b/;

async function ask<T>(address: string, request: RequestInit, withinMs: number | null = ANSWER_MS, isAgain = false): Promise<T> {
  try {
    return await read<T>(await fetch(address, withinMs === null ? request : { ...request, signal: AbortSignal.timeout(withinMs) }));
  } catch (error) {
    if (error instanceof ApiError) {
      const isEnded = error.status === 401 && !isAgain && !AT_THE_DOOR.test(address);
      if (isEnded && (await onRefused())) return ask<T>(address, request, withinMs, true);
      throw error;
    }
    onNoAnswer();
    throw new NetworkError(String(error));
  }
}

/** What a gateway says while the server behind it is down. */
const GATEWAY = [502, 503, 504];

/** A null that was not sent would read as "there is nothing": a body cut off or not JSON is no answer. */
async function read<T>(response: Response): Promise<T> {
  if (response.ok) return (await response.json()) as T;
  const body = (await response.json().catch(() => null)) as { message?: string } | null;
  if (!body?.message && GATEWAY.includes(response.status)) throw new NetworkError(`HTTP ${response.status}`);
  throw new ApiError(response.status, body?.message ?? `HTTP ${response.status}`);
}

const inDrill = (isDrill: boolean | null): Record<string, string> => (isDrill === null ? {} : { drill: String(isDrill) });

/** Boundaries of a day; today's where none is recorded for that day (they carry the day they hold from). */
async function inForce(query: Record<string, string | number>, on: string | null): Promise<FeatureCollection> {
  const then = on ? await get<FeatureCollection>("/api/communes", { ...query, on }) : null;
  return then?.features.length ? then : get<FeatureCollection>("/api/communes", query);
}

/** GeoJSON of a layer; what is in trouble comes first where not all is sent. */
export interface LayerFeatures extends FeatureCollection {
  numberMatched: number;
  numberReturned: number;
}

export interface TerrainInfo {
  bounds: [number, number, number, number];
  name: string;
  datum: string;
  is_drill: boolean | null;
}

/** What the map begins with. */
export type InitialLists = [events: EventInfo[], flights: FlightInfo[], terrain: TerrainInfo[], airborne: AirborneFlight[]];

export const api = {
  /** Without more in its address: the page asks for it before its programs are there (vite.config.ts). */
  session: () => ask<Session>("/api/session", {}).then(inItsZone),
  waysIn: () => get<{ openid: boolean; setup: boolean }>("/api/sign-in"),
  setUp: (code: string, name: string) => post<SetupResult>("/api/setup", { code, name }),
  accounts: () => get<AccountInfo[]>("/api/accounts"),
  tokens: () => get<TokenInfo[]>("/api/tokens"),
  makeToken: (asked: TokenRequest) => post<NewToken>("/api/tokens", asked),
  revokeToken: (id: string) => remove<TokenInfo>(`/api/tokens/${encodeURIComponent(id)}`, {}),
  makeCode: (account: string) => post<SignInCode>("/api/codes", { account }),
  login: (token: string) => post<Session>("/api/login", { token }),
  /** As `login`, with what the map begins with; null for whoever came to upload only. */
  arrive: (token: string) =>
    post<{ session: Session; lists: InitialLists | null }>("/api/arrival", { token }).then((said) => ({ ...said, session: inItsZone(said.session) })),
  logout: () => post<Session>("/api/logout", {}),
  events: () => get<EventInfo[]>("/api/events"),
  flights: () => get<FlightInfo[]>("/api/flights"),
  /** Recorded pieces of a live flight's last seconds, null: all of it, oldest first. */
  video: (flightId: string, lastS: number | null) =>
    get<VideoPiece[]>(`/api/video/${encodeURIComponent(flightId)}`, lastS === null ? {} : { last_s: lastS }),
  machine: () => get<Machine>("/api/machine"),
  airborne: () => get<AirborneFlight[]>("/api/airborne"),
  flight: (id: string) => get<FlightDetail>(`/api/flights/${id}`),
  footprints: (id: string) => get<FeatureCollection>(`/api/flights/${id}/footprints`),
  gaps: (id: string) => get<FeatureCollection>(`/api/flights/${id}/gaps`),
  vn2000: (lon: number, lat: number) => getBeside<Vn2000 | null>("/api/vn2000", { lon, lat }),
  vn2000Grid: ([west = 0, south = 0, east = 0, north = 0]: number[]) => get<NationalGrid | null>("/api/vn2000/grid", { west, south, east, north }),
  outlines: (eventId: string) => getBeside<FeatureCollection>("/api/outlines", { event: eventId }),
  /** Those in which a drill, or a real event, counts its ground; of neither (null) all. */
  communes: (bounds: number[], toleranceM: number, on: string | null, isDrill: boolean | null) =>
    inForce({ bounds: bounds.join(","), tolerance_m: toleranceM, ...inDrill(isDrill) }, on),
  searchCommunes: (text: string, on: string | null, isDrill: boolean | null) => inForce({ q: text, tolerance_m: 50, ...inDrill(isDrill) }, on),
  communesExtent: () => get<[number, number, number, number] | null>("/api/communes/extent"),
  /** But for what a drill brought. */
  realCommunesExtent: () => get<[number, number, number, number] | null>("/api/communes/extent", { made_up: "false" }),
  board: (eventId: string, on: string | null, until: string | null) =>
    get<{ communes: CommuneRow[]; imaged_pct: number | null }>("/api/board", { event: eventId, ...(on && { on }), ...(until && { until }) }),
  present: (view: Pick<Presentation, "screen" | "view" | "bounds"> & { take: boolean }) => put<Presentation | null>("/api/meeting", view, {}, MEETING_MS),
  places: (eventId: string) => get<BriefingPlaceList>("/api/meeting/places", { event: eventId }),
  putPlaces: (eventId: string, basedOn: number, places: BriefingPlaceInfo[]) =>
    put<BriefingPlaceList>("/api/meeting/places", { based_on: basedOn, places: places.map(({ name, view, bounds }) => ({ name, view, bounds })) }, { event: eventId }),
  guests: () => get<GuestLink[]>("/api/guests"),
  invite: (hours: number, event: string | null, communes: string) => post<NewGuestLink>("/api/guests", { hours, event, communes }),
  revokeGuest: (id: string) => remove<GuestLink>(`/api/guests/${encodeURIComponent(id)}`, {}),
  masks: (photo: string) => get<PhotoRedactions>("/api/redactions", { photo }),
  putMask: (id: string, mask: RedactionRequest) => put<Redaction>(`/api/redactions/${id}`, mask),
  takeBackMask: (id: string) => remove<Redaction>(`/api/redactions/${id}`, {}),
  retention: () => get<RetentionState>("/api/retention"),
  confirmRetention: (digest: string) => put<RetentionConfirmed>("/api/retention/confirmed", { digest }, {}, DELETING_MS),
  restricted: () => get<RestrictedArea[]>("/api/restricted"),
  meeting: () => get<Presentation | null>("/api/meeting", {}, MEETING_MS),
  endMeeting: (screen: string) => remove<{ ended: boolean }>("/api/meeting", { screen }, MEETING_MS),
  pixel: (flight: string, layer: string, revision: number, lon: number, lat: number) =>
    get<PixelSource | null>("/api/pixel", { flight, layer, revision, lon, lat }),
  oblique: (eventId: string, lon: number, lat: number, until: string | null) =>
    get<ObliquePhoto | null>("/api/oblique", { event: eventId, lon, lat, ...(until && { until }) }),
  things: (text: string) => get<FeatureCollection>("/api/things", { q: text }),
  legends: () => get<Record<DataLayer, Legend>>("/api/legends"),
  layers: () => get<SpecialistLayer[]>("/api/layers"),
  layerFeatures: (id: string, bounds: number[], limit: number, toleranceM: number) =>
    get<LayerFeatures>(`/api/layers/${id}/features`, { bounds: bounds.join(","), limit, tolerance_m: Math.min(toleranceM, 5000) }),
  marks: (eventId: string, until: string | null) => getBeside<MarkLines>("/api/marks", { event: eventId, ...(until && { until }) }),
  markHistory: (id: string) => get<MarkLines>(`/api/marks/${id}`),
  putMark: (id: string, mark: MarkRequest) => put<MarkLine>(`/api/marks/${id}`, mark),
  putMarkPhoto: (id: string, basedOn: number, photo: Blob) => put<MarkLine>(`/api/marks/${id}/photo`, photo, { based_on: basedOn }),
  /** `event`: its id, or the name of a new one. */
  moveFlight: (id: string, event: string) => put<{ event: EventInfo }>(`/api/flights/${id}/event`, { event }),
  askPack: (flights: string[], language: string, paper: Paper) => put<PackInfo>("/api/packs", { flights, language, paper }),
  packs: () => get<PackInfo[]>("/api/packs"),
  approvePack: (id: string) => put<PackInfo>(`/api/packs/${id}/approved`, {}),
  pack: (id: string) => get<PackInfo>(`/api/packs/${id}`),
  makeDrill: () => post<DrillStatus>("/api/drill", {}),
  drill: () => get<DrillStatus>("/api/drill"),
  changes: (eventId: string) => get<ChangeLines>("/api/changes", { event: eventId }),
  confirmed: (eventId: string, until: string | null) =>
    getBeside<ChangeLines>("/api/changes", { event: eventId, status: "accepted", ...(until && { until }) }),
  impact: (changeId: string) => get<ImpactAnswer>("/api/changes/impact", { change: changeId }),
  impacts: (eventId: string) => get<ImpactAnswer>("/api/changes/impact", { event: eventId }),
  windows: (changeId: string) => get<RegistrationWindows>(`/api/changes/${changeId}/registration`),
  changeHistory: (id: string) => get<ChangeLines>(`/api/changes/${id}`),
  picturesOf: (eventId: string) => get<{ pictures: string[] }>("/api/changes/pictures", { event: eventId }),
  undoable: (eventId: string) => get<{ steps: string[] }>("/api/changes/undoable", { event: eventId }),
  decide: (stepId: string, step: DecisionRequest) => put<ChangeLines>(`/api/changes/steps/${stepId}`, step),
  settlements: (eventId: string, until: string | null) => get<SettlementsSaid>("/api/settlements", { event: eventId, ...(until && { until }) }),
  saySettlement: (id: string, word: { event_id: string; access: Access; note: string; based_on: number }) => put<{ version: number }>(`/api/settlements/${id}`, word),
  terrain: () => get<TerrainInfo[]>("/api/terrain"),
};

/** What `/events` says when tiles moved; `tiles` null means: take all of them as moved. */
export interface TilesMoved {
  mosaic_id: string;
  seq: number;
  tiles: [number, number, number, number][] | null;
}

/**
 * `version` is the log line the tile is known to be as new as, `revision` the one on show: the answer may be kept,
 * for ever where there are no accounts.
 */
export function tileUrl(mosaicId: string, z: number, x: number, y: number, version: number, revision: number): string {
  return `/tiles/${mosaicId}/${z}/${x}/${y}?v=${version}&r=${revision}&w=${getAccessVersion()}`;
}

/** A meeting pack on its way; `size` in bytes once it is made. */
export type Paper = "a4" | "a3";

export interface PackInfo {
  flights: string[];
  paper: Paper;
  owner: string;
  /** For it, or for the draft that it was approved as. */
  asked_by: string;
  /** Whoever asked approved it too; of a draft: whoever asked is who looks at it now. */
  is_one_person: boolean;
  /** Of a draft: it was approved, and its final pack is made or under way. */
  has_final: boolean;
  /** null: a draft. */
  approved_by: string | null;
  asked: string;
  /** null: it is not made (yet). */
  made: string | null;
  pack_id: string;
  state: "waiting" | "making" | "made" | "failed";
  size: number;
  sentence: string;
  sentence_vi: string;
}

/** The drill that a house without flights makes itself. */
export interface DrillStatus extends BilingualSentence {
  state: "none" | "making" | "made" | "failed";
}

export function packFileUrl(id: string): string {
  return `/api/packs/${id}/file`;
}

/** The quality report of a finished revision, in the language of the map. */
export function reportUrl(flight: string, layer: string, revision: number, kind: "html" | "pdf", language: string): string {
  const asked = new URLSearchParams({ kind, language, layer, revision: String(revision) });
  return `/api/flights/${flight}/report?${asked}`;
}

/** A tile of a named revision, or a view of what is known about its pixels. */
export function dataTileUrl(
  mosaicId: string,
  z: number,
  x: number,
  y: number,
  revision: number,
  layer: DataLayer | null,
): string {
  return `/tiles/${mosaicId}/${z}/${x}/${y}?revision=${revision}${layer ? `&layer=${layer}` : ""}&w=${getAccessVersion()}`;
}

export function markPhotoUrl(id: string, version: number): string {
  return `/api/marks/${id}/photo?version=${version}`;
}

export function evidenceUrl(sha256: string): string {
  return `/api/evidence/${sha256}`;
}

export function previewUrl(sha256: string): string {
  return `/api/evidence/${sha256}/preview?w=${getAccessVersion()}`;
}
