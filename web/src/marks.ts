/** Field marks and search sectors, as the server tells of them. */

import type { LonLat, Session } from "./api";
import { t } from "./i18n";

export const POINT_KINDS = ["rescue", "blocked", "crack", "landing", "assembly", "other"] as const;
export const STATUSES = ["open", "doing", "done", "removed"] as const;

export type MarkKind = (typeof POINT_KINDS)[number] | "sector";
export type MarkStatus = (typeof STATUSES)[number];

export interface MarkLine {
  type: "Feature";
  geometry: { type: "Point"; coordinates: LonLat } | { type: "Polygon"; coordinates: LonLat[][] };
  properties: {
    mark_id: string;
    version: number;
    event_id: string;
    kind: MarkKind;
    status: MarkStatus;
    note: string;
    author: string;
    time: string;
    photo: string | null;
    vn2000?: { x_north_m: number; y_east_m: number; crs: string; central_meridian_deg: number } | null;
  };
}

export interface MarkLines {
  features: MarkLine[];
}

/** A mark as it is to be. */
export interface MarkAsked {
  based_on: number;
  event_id: string;
  kind: MarkKind;
  status: MarkStatus;
  note: string;
  places: LonLat[];
}

/** Made here, so that what is sent twice over a bad line is written once. */
export function newMarkId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID is not there without https
  return `mark-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export function mayWrite(session: Session | null): boolean {
  return session !== null && (session.open || (session.account !== null && !["guest", "viewer"].includes(session.account.role)));
}

export function mayAdminister(session: Session | null): boolean {
  return session !== null && (session.open || session.account?.role === "admin");
}

/** Whoever came by a link: the map alone is theirs, and what is not is not offered. */
export function isGuest(session: Session | null): boolean {
  return session?.account?.role === "guest";
}

/** The places of a mark, as they are sent: an outline without its last corner, which is its first. */
export function placesOf({ geometry }: MarkLine): LonLat[] {
  return geometry.type === "Point" ? [geometry.coordinates] : (geometry.coordinates[0] ?? []).slice(0, -1);
}

export function middleOf(line: MarkLine): LonLat {
  const places = placesOf(line);
  const mean = (k: 0 | 1): number => places.reduce((sum, place) => sum + place[k], 0) / Math.max(places.length, 1);
  return [mean(0), mean(1)];
}

/** What was only reported is not confirmed; whoever deals with it, or is done with it, has confirmed that it is there. */
export function isConfirmed(status: MarkStatus): boolean {
  return status === "doing" || status === "done";
}

export function kindSaid(kind: MarkKind): string {
  return t(`mark_${kind}`);
}

export function statusSaid(status: MarkStatus): string {
  return t(`markStatus_${status}`);
}
