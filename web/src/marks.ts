/** Field marks and search sectors, as the server tells of them. */

import type { LonLat, Session } from "./api";
import { t, translateOr } from "./i18n";

export const MARK_INK = "#14202b";
/** Kinds of points in the order of the form, each with the drawing on its plate. */
export const POINT_SIGNS = {
  rescue: { plate: "#d55e00", ink: "#fff", glyph: "M12 4a2.6 2.6 0 1 1 0 5.2A2.6 2.6 0 0 1 12 4zM5.5 5l2.3 5.2c1 .6 7.4.6 8.4 0L18.5 5l1.9.9-2.8 6.3-2.6 1V21h-2.2v-5h-1.6v5H9v-7.8l-2.6-1L3.6 5.9z" },
  blocked: { plate: "#f0e442", ink: MARK_INK, glyph: "M4 9.5h16v5H4zM6 16h2.5v5H6zM15.5 16H18v5h-2.5z" },
  crack: { plate: "#cc79a7", ink: MARK_INK, glyph: "M13.5 3 8 11h4l-3 4h3.5L9 21l7.5-8h-4l3.5-4.5h-4z" },
  landing: { plate: "#0072b2", ink: "#fff", glyph: "M6 4h3.5v6h5V4H18v16h-3.5v-6.5h-5V20H6z" },
  assembly: { plate: "#009e73", ink: "#fff", glyph: "M6 3h2v1h11l-3 4.5L19 13H8v8H6z" },
  other: { plate: "#fff", ink: MARK_INK, glyph: "M10.4 4h3.2l-.5 10h-2.2zM10.4 16.5h3.2V20h-3.2z" },
};
const POINT_KINDS = Object.keys(POINT_SIGNS) as (keyof typeof POINT_SIGNS)[];
export const MARK_STATUSES = ["open", "doing", "done", "removed"] as const;

export type MarkKind = keyof typeof POINT_SIGNS | "sector";
export type MarkStatus = (typeof MARK_STATUSES)[number];

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
export interface MarkRequest {
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

export function canWrite(session: Session | null): boolean {
  return session !== null && (session.open || (session.account !== null && !["guest", "viewer"].includes(session.account.role)));
}

export function canAdminister(session: Session | null): boolean {
  return session !== null && (session.open || session.account?.role === "admin");
}

/** Whoever came by a link: the map alone is theirs, and what is not is not offered. */
export function isGuest(session: Session | null): boolean {
  return session?.account?.role === "guest";
}

/** The places of a mark, as they are sent: an outline without its last corner, which is its first. */
export function markVertices({ geometry }: MarkLine): LonLat[] {
  return geometry.type === "Point" ? [geometry.coordinates] : (geometry.coordinates[0] ?? []).slice(0, -1);
}

export function markCentre(line: MarkLine): LonLat {
  const places = markVertices(line);
  const mean = (k: 0 | 1): number => places.reduce((sum, place) => sum + place[k], 0) / Math.max(places.length, 1);
  return [mean(0), mean(1)];
}

/** As packs tell them (`model.board.rank_mark`): people to be rescued first, what nobody has taken up before what somebody has, what is done last. */
export function compareUrgency(a: MarkLine, b: MarkLine): number {
  const rank = ({ properties: { kind, status } }: MarkLine): number => (status === "done" ? 4 : 0) + (kind === "rescue" ? 0 : 2) + (status === "open" ? 0 : 1);
  return rank(a) - rank(b);
}

/** People to be rescued that somebody still has to see to, and what else was only reported: told first, for work status is no confirmation. */
export function listUrgent(lines: readonly MarkLine[]): string[] {
  const marks = lines.map(({ properties }) => properties);
  const rescue = marks.filter(({ kind, status }) => kind === "rescue" && (status === "open" || status === "doing"));
  const isNew = ({ status }: { status: MarkStatus }): boolean => status === "open";
  const others = marks.filter((one) => isNew(one) && one.kind !== "rescue").length;
  return [
    ...(rescue.length ? [t(rescue.some(isNew) ? "rescueNew" : "rescueKnown", rescue.length, rescue.filter(isNew).length)] : []),
    ...(others ? [t("marksNew", others)] : []),
  ];
}

export function formatMarkKind(kind: MarkKind): string {
  return translateOr(`mark_${kind}`, kind);
}

/** Kinds that a mark may be given; what it is already stays among them, though only a newer server knows it. */
export function listMarkKinds(isSector: boolean, kind?: MarkKind): readonly MarkKind[] {
  return [...new Set<MarkKind>([...(isSector ? (["sector"] as const) : POINT_KINDS), ...(kind ? [kind] : [])])];
}

export function formatMarkStatus(status: MarkStatus): string {
  return t(`markStatus_${status}`);
}
