/**
 * Two pictures to compare, and how. Each is one flight in one revision, all that was captured by a moment, or a
 * picture that this map has not (its side stays empty, and says so). In a link: `mode~before~after~share`, a picture as
 * `flight`, `flight@revision`, `until@moment` or `picture@name`.
 */

import type { FlightInfo, MosaicInfo } from "../api";
import type { State } from "../state";

export const MODES = ["swipe", "flicker", "side"] as const;
export type Mode = (typeof MODES)[number];

/** `revision` null: the one on show. */
export type Side = { kind: "flight"; flightId: string; revision: number | null } | { kind: "until"; moment: string } | { kind: "picture"; name: string };

export interface Comparison {
  mode: Mode;
  before: Side;
  after: Side;
  /** Where the line stands in percent of the width, left of it the picture before; for flicker 0 shows before, 100 after. */
  share: number;
}

const BETWEEN = "~";
const MIDDLE = 50;

export function writeSide(side: Side): string {
  if (side.kind === "until") return `until@${side.moment}`;
  if (side.kind === "picture") return `picture@${encodeURIComponent(side.name).replace(/~/g, "%7E")}`;
  return side.revision === null ? side.flightId : `${side.flightId}@${side.revision}`;
}

export function readSide(text: string | undefined): Side | null {
  if (!text) return null;
  const [name = "", rest] = text.split("@");
  if (name === "until") {
    const ms = Date.parse(rest ?? "");
    return Number.isNaN(ms) ? null : { kind: "until", moment: new Date(ms).toISOString() };
  }
  if (name === "picture") return pictureNamed(rest ?? "");
  if (rest !== undefined && !/^\d{1,9}$/.test(rest)) return null;
  return { kind: "flight", flightId: name, revision: rest === undefined ? null : Number(rest) };
}

function pictureNamed(text: string): Side | null {
  try {
    return text ? { kind: "picture", name: decodeURIComponent(text) } : null;
  } catch {
    return null; // a link that was cut
  }
}

export function writeComparison(compare: Comparison | null): string {
  if (!compare) return "";
  const { mode, before, after, share } = compare;
  return [mode, writeSide(before), writeSide(after), Math.round(share)].join(BETWEEN);
}

/** Null for what is no comparison: a link that was cut shows the map. */
export function readComparison(text: string | undefined): Comparison | null {
  const [mode, first, second, share] = (text ?? "").split(BETWEEN);
  const known = MODES.find((one) => one === mode);
  const [before, after] = [readSide(first), readSide(second)];
  if (!known || !before || !after) return null;
  const percent = share ? Number(share) : MIDDLE;
  return { mode: known, before, after, share: Number.isFinite(percent) ? Math.min(100, Math.max(0, percent)) : MIDDLE };
}

/** Flights that may stand beside each other on this screen: those of drills beside drills only. */
export function listComparableFlights(state: State): FlightInfo[] {
  const isDrill = state.events.find((event) => event.event_id === state.eventId)?.is_drill ?? false;
  const offered = state.flights.filter((one) => one.is_drill === isDrill && one.state !== "withdrawn" && one.bounds);
  const here = (one: FlightInfo): number => (one.event_id === state.eventId ? 0 : 1);
  return [...offered].sort((a, b) => here(a) - here(b));
}

/** The state as a map draws it that shows one side alone; null where the link names what is not there. */
export function stateForSide(state: State, side: Side): State | null {
  if (side.kind === "until") return { ...state, asOf: side.moment, hidden: new Set() };
  if (side.kind === "picture") return null;
  const flight = listComparableFlights(state).find((one) => one.flight_id === side.flightId);
  if (!flight) return null;
  const revision = side.revision;
  const chosen = (mosaic: MosaicInfo): [string, number] => [mosaic.mosaic_id, revision ?? mosaic.revision];
  return {
    ...state,
    eventId: flight.event_id,
    flights: [flight],
    hidden: new Set(),
    asOf: null,
    revisions: revision === null ? {} : Object.fromEntries(flight.mosaics.map(chosen)),
  };
}

/** Whether a side names a picture that there is: a flight on the map, in a revision that may be shown. */
export function sideExists(state: State, side: Side): boolean {
  if (side.kind !== "flight") return side.kind === "until";
  const flight = listComparableFlights(state).find((one) => one.flight_id === side.flightId);
  return flight !== undefined && (!side.revision || publishedRevisions(flight).includes(side.revision));
}

/** Finished revisions of a flight that may be shown, the newest first. */
export function publishedRevisions(flight: FlightInfo): number[] {
  const published = flight.mosaics.flatMap((mosaic) => mosaic.revisions.filter((one) => one.state === "published").map((one) => one.revision));
  return [...new Set(published)].sort((a, b) => b - a);
}

/** What is compared when nobody has chosen: the newest flight in sight, and the newest older one over the same ground. */
export function defaultComparison(state: State, inSight: FlightInfo[]): Comparison | null {
  const offered = listComparableFlights(state);
  const newest = inSight.find((one) => offered.includes(one)) ?? offered[0];
  if (!newest) return null;
  const older = offered.find((one) => one !== newest && Date.parse(one.last) <= Date.parse(newest.last) && overlap(one, newest));
  const after: Side = { kind: "flight", flightId: newest.flight_id, revision: null };
  const share = MIDDLE;
  if (older) return { mode: "swipe", before: { kind: "flight", flightId: older.flight_id, revision: null }, after, share };
  const isFinished = newest.mosaics.some((mosaic) => mosaic.revision > 0);
  return { mode: "swipe", before: isFinished ? { ...after, revision: 0 } : after, after, share };
}

function overlap({ bounds: a }: FlightInfo, { bounds: b }: FlightInfo): boolean {
  return a !== null && b !== null && a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}
