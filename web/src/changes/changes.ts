/** Changes under review, as the server tells of them. */

import type { FlightInfo, LonLat, MosaicInfo, Session } from "../api";
import type { Side } from "../compare/sides";
import { t } from "../i18n";
import { formatNumber } from "../numbers";

export const CHANGE_KINDS = ["landslide", "flood", "other"] as const;

export type ChangeKind = (typeof CHANGE_KINDS)[number];
export type ChangeStatus = "proposed" | "accepted" | "rejected" | "replaced" | "removed";
export type ChangeAction = "found" | "draw" | "accept" | "reject" | "redraw" | "split" | "merge" | "comment" | "undo";
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
    /** Null: drawn by hand. */
    score: number | null;
    area_m2: number;
    length_m: number;
    slope_deg: number | null;
    commune: string;
    commune_name: string;
    tie_m: number | null;
    rmse_m: number | null;
    /** 1 sigma: of where it lies on the picture before, and of its area; null: nobody knows. */
    error_m: number | null;
    area_error_m2: number | null;
    /** "mosaic@revision", or a picture's name; "" of what was drawn. */
    before: string;
    after: string;
    /** It waits, and a newer revision of its pictures was compared there and did not show it. */
    not_found_again: boolean;
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

export interface ChangeLines {
  features: ChangeLine[];
  known: boolean;
  numberMatched: number;
  numberReturned: number;
}

/** A decision. `changes`: the version that was seen, by change. */
export interface StepAsked {
  action: Exclude<ChangeAction, "found">;
  changes?: Record<string, number>;
  event_id?: string;
  kind?: ChangeKind;
  note?: string;
  outlines?: Outline[];
  /** A line across the change that it splits. */
  cut?: LonLat[];
  undoes?: string;
}

export function kindSaid(kind: ChangeKind): string {
  return t(`change_${kind}`);
}

export function hectares(areaM2: number): string {
  return t("hectares", formatNumber(areaM2 / 10_000, 2));
}

/** How large, and how sure that is. */
export function sizeSaid({ area_m2, area_error_m2 }: { area_m2: number; area_error_m2: number | null }): string {
  if (area_error_m2 === null) return hectares(area_m2);
  const [size, error] = [area_m2, Math.max(area_error_m2, 50)].map((value) => formatNumber(value / 10_000, 2)); // less than a hundredth is not written as none
  return t("hectares", `${size} ± ${error}`);
}

/** Files of confirmed changes: the format as the server calls it, and as people do. */
export const EXPORTS = [
  ["gpkg", "GeoPackage"],
  ["geojson", "GeoJSON"],
  ["kmz", "KMZ"],
  ["csv", "CSV"],
  ["xml", "CAP"],
] as const;

export function exportAddress(eventId: string, form: (typeof EXPORTS)[number][0]): string {
  return `./api/changes/export?${new URLSearchParams({ event: eventId, format: form }).toString()}`;
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
export function flightShown(shown: string): { mosaicId: string; revision: number } | null {
  const [mosaicId = "", revision] = shown.split("@");
  return revision !== undefined && /^\d{1,9}$/.test(revision) ? { mosaicId, revision: Number(revision) } : null;
}

/** The picture that a change was found in; one that is not on this map by its name, null of what was drawn. */
export function sideOf(shown: string, flights: readonly FlightInfo[]): Side | null {
  return shown ? (flightSide(shown, flights) ?? { kind: "picture", name: flightShown(shown) ? t("flightElsewhere") : shown }) : null;
}

function flightSide(shown: string, flights: readonly FlightInfo[]): Side | null {
  const named = flightShown(shown);
  const of = (one: FlightInfo): MosaicInfo | undefined => one.mosaics.find((mosaic) => mosaic.mosaic_id === named?.mosaicId);
  const flight = flights.find(of);
  if (!flight || !named) return null;
  const isOnShow = of(flight)?.revision === named.revision;
  return { kind: "flight", flightId: flight.flight_id, revision: isOnShow ? null : named.revision };
}
