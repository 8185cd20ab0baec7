/** Changes under review, as the server tells of them. */

import type { FlightInfo, LonLat, MosaicInfo, Session, PendingChanges } from "../api";
import type { Side } from "../compare/sides";
import { language, t } from "../i18n";
import { formatAreaM2 } from "../numbers";

export const CHANGE_KINDS = ["landslide", "flood", "other"] as const;

export type ChangeKind = (typeof CHANGE_KINDS)[number];
export type ChangeStatus = "proposed" | "accepted" | "rejected" | "replaced" | "removed";
export type ChangeAction = "found" | "draw" | "accept" | "reject" | "redraw" | "comment" | "undo";
/** A multipolygon's coordinates. */
export type Outline = LonLat[][][];

export interface ChangeLine {
  type: "Feature";
  bbox: [number, number, number, number];
  geometry: { type: "MultiPolygon"; coordinates: Outline };
  properties: {
    change_id: string;
    version: number;
    event_id: string;
    action: ChangeAction;
    status: ChangeStatus;
    kind: ChangeKind;
    /** A probability; null: `no_score` says why there is none. */
    score: number | null;
    no_score: "drawn" | "kind_changed" | "no_terrain" | null;
    area_m2: number;
    /** It reaches the rim of what was compared: the area is a lower bound. */
    area_at_least: boolean;
    length_m: number;
    slope_deg: number | null;
    commune: string;
    commune_name: string;
    tie_m: number | null;
    rmse_m: number | null;
    /** 1 sigma: of where it lies on the picture before, null: nobody knows; and of its area. */
    error_m: number | null;
    area_error_m2: number;
    /** "mosaic@revision", or a picture's name; "" of what was drawn. */
    before: string;
    after: string;
    /** By which two pictures were compared for it; null: not on record. */
    comparison_id: string | null;
    /** It waits, and a newer revision of its pictures was compared there and did not show it. */
    not_found_again: boolean;
    /** Of an outline that a person drew what lies on ground that the two pictures do not both show; null: none, or nobody knows. */
    not_compared_pct: number | null;
    /** While it waits: what was decided on the same ground, the last decided first; not in the answer to a decision. */
    decided_beside: OverlappingDecision[];
    note: string;
    /** Whoever wrote the note, which later lines carry on. */
    note_by: string | null;
    /** Who decided as it stands; null while it waits. */
    decided_by: string | null;
    decided: string | null;
    /** Of this line, be it a comment. */
    author: string;
    time: string;
  };
}

/** A decision on another change, mostly of other two pictures, that lies on the same ground. */
export interface OverlappingDecision {
  change_id: string;
  kind: ChangeKind;
  status: "accepted" | "rejected";
  before: string;
  after: string;
  decided_by: string;
  decided: string;
}

/** Two pictures as they were compared: why all that was found between them is less sure than elsewhere, and what else has to be known. */
export interface ComparedPair {
  comparison_id: string;
  doubts: string[];
  doubts_vi: string[];
  warnings: string[];
  warnings_vi: string[];
}

export interface ChangeLines {
  features: ChangeLine[];
  comparisons: ComparedPair[];
  known: boolean;
  /** Whether two pictures were compared in the event; absent in the answer to a decision. */
  compared?: boolean;
  /** What waits in the event, told to everybody; absent in the answer to a decision. */
  waiting?: PendingChanges | null;
  numberMatched: number;
  numberReturned: number;
}

/** A decision. `changes`: the version that was seen, by change. */
export interface DecisionRequest {
  action: Exclude<ChangeAction, "found">;
  changes?: Record<string, number>;
  event_id?: string;
  kind?: ChangeKind;
  note?: string;
  outlines?: Outline[];
  undoes?: string;
  /** Of what is drawn the two pictures that it was drawn over, as `ChangeLine` has them. */
  before?: string;
  after?: string;
}

export function formatChangeKind(kind: ChangeKind): string {
  return t(`change_${kind}`);
}

/** How large, and how sure that is. */
export function formatChangeSize({ area_m2, area_error_m2, area_at_least }: ChangeLine["properties"]): string {
  return formatAreaM2(area_m2, area_error_m2, area_at_least);
}

/** Files of confirmed changes: the format as the server calls it, and as people do. */
export const EXPORTS = [
  ["gpkg", "GeoPackage"],
  ["geojson", "GeoJSON"],
  ["kmz", "KMZ"],
  ["csv", "CSV"],
  ["xml", "CAP"],
] as const;

export function exportUrl(eventId: string, form: (typeof EXPORTS)[number][0]): string {
  return `./api/changes/export?${new URLSearchParams({ event: eventId, format: form, lang: language() }).toString()}`;
}

/** Made here, so that what is sent twice over a bad line is decided once. */
export function newStepId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID is not there without https
  return `step-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export function mayDecide(session: Session | null): boolean {
  const role = session?.account?.role;
  return session !== null && (session.open || role === "analyst" || role === "admin");
}

/** "mosaic@revision" taken apart; null: a picture's name. */
export function parseShownMosaic(shown: string): { mosaicId: string; revision: number } | null {
  const [, mosaicId = "", revision] = /^(.+)@(\d{1,9})$/.exec(shown) ?? [];
  return revision !== undefined ? { mosaicId, revision: Number(revision) } : null;
}

/** What makes a picture what it is: a mosaic whatever its revision, a file wherever it lay ("ngay-2/odm.tif, 10/09/2024 10:15#1f2e3d4c" is "odm.tif#1f2e3d4c"). */
export function imageSource(shown: string): string {
  const [, name, digest] = /^(?:[^/]+\/)?([^/]+?)(?:, \d{2}\/\d{2}\/\d{4} \d{2}:\d{2})?(#[0-9a-f]{8})$/.exec(shown) ?? [];
  return parseShownMosaic(shown)?.mosaicId ?? (name && digest ? name + digest : shown);
}

/** The picture that a change was found in; one that is not on this map by its name, null of what was drawn. */
export function findSide(shown: string, flights: readonly FlightInfo[]): Side | null {
  return shown ? (flightSide(shown, flights) ?? { kind: "picture", name: parseShownMosaic(shown) ? t("flightElsewhere") : shown }) : null;
}

function flightSide(shown: string, flights: readonly FlightInfo[]): Side | null {
  const named = parseShownMosaic(shown);
  const of = (one: FlightInfo): MosaicInfo | undefined => one.mosaics.find((mosaic) => mosaic.mosaic_id === named?.mosaicId);
  const flight = flights.find(of);
  if (!flight || !named) return null;
  const isOnShow = of(flight)?.revision === named.revision;
  return { kind: "flight", flightId: flight.flight_id, revision: isOnShow ? null : named.revision };
}
