/** The two pictures that a change was found in, side by side; what of them this map has not, and what they are called. */

import type { FlightInfo } from "../api";
import { isMissingImage } from "../compare/localImages";
import type { Comparison, Mode, Side } from "../compare/sides";
import { t as said } from "../i18n";
import { formatClock, formatDate, formatTime } from "../time";
import { parseShownMosaic, findSide, imageSource, type ChangeLine } from "./types";
import { dividerShare } from "./navigation";
import { t } from "./texts";

const DAY_LETTERS = 5; // of dd/MM/yyyy
/** The layer that changes are looked for in. */
const COLOUR = "colour";
/** For what was drawn, which is of no pair. */
export const DRAWN_PAIR = "-";

/** What to compare for a change; null: what is compared stays, be it for the change was drawn, be it that it is shown already. */
export function choosePair(change: ChangeLine, flights: readonly FlightInfo[], now: Comparison | null, width: number): Comparison | null {
  const [before, after] = sidesOf(change, flights);
  if (!before || !after || JSON.stringify([now?.before, now?.after]) === JSON.stringify([before, after])) return null;
  const mode = now?.mode ?? "swipe";
  return { mode, share: shareOf(mode, before, after, now, width), before, after };
}

/** Where only one picture is on the map, all of that one; where both are, the line stays where the reader put it. */
function shareOf(mode: Mode, before: Side, after: Side, now: Comparison | null, width: number): number {
  if (isMissingImage(before) !== isMissingImage(after)) return isMissingImage(before) === (mode === "flicker") ? 100 : 0;
  const isKept = now !== null && !isMissingImage(now.before) && !isMissingImage(now.after);
  return isKept ? now.share : mode === "flicker" ? 100 : dividerShare(width);
}

function sidesOf({ properties }: ChangeLine, flights: readonly FlightInfo[]): [Side | null, Side | null] {
  return [findSide(properties.before, flights), findSide(properties.after, flights)];
}

/** Where to stand once both are seen that were not before. */
export function dividerShareForBoth(now: Comparison, width: number): number {
  return shareOf(now.mode, now.before, now.after, null, width);
}

/** Files that what is seen of a change was found in, and that nobody opened here, by what they are called on record. */
export function listMissingFiles(change: ChangeLine, flights: readonly FlightInfo[]): string[] {
  const names = sidesOf(change, flights).flatMap((side) => (side?.kind === "picture" && isMissingImage(side) && side.name !== said("flightElsewhere") ? [side.name] : []));
  return [...new Set(names)];
}

/** Which of the two is not on this map, so that nobody decides on what they do not see; "": both are, or it was drawn. */
export function describeMissing(change: ChangeLine, flights: readonly FlightInfo[]): string {
  const [before, after] = sidesOf(change, flights).map((side) => (side?.kind === "picture" && isMissingImage(side) ? side.name : null));
  if (before && after) return t("bothElsewhere", before, after);
  return before ? t("beforeElsewhere", before) : after ? t("afterElsewhere", after) : "";
}

/** The two pictures that are compared now, as a change keeps them; nothing where either has no name of its own (all there was by a moment, a flight that is gone). */
export function digitisingContext(compare: Comparison | null, flights: readonly FlightInfo[]): { before?: string; after?: string } {
  if (!compare) return {};
  const [before, after] = [compare.before, compare.after].map((side) => {
    if (side.kind === "picture") return side.name;
    const mosaic = side.kind === "flight" ? flights.find((one) => one.flight_id === side.flightId)?.mosaics.find((one) => one.layer === COLOUR) : undefined;
    return mosaic && side.kind === "flight" ? `${mosaic.mosaic_id}@${side.revision ?? mosaic.revision}` : "";
  });
  return before && after ? { before, after } : {};
}

/** Which of the two that are compared is none of the event's, so that nothing can be drawn over them; "": none. `known`: those of which the server says that they are. */
export function describeForeignSide(eventId: string | null, compare: Comparison | null, flights: readonly FlightInfo[], known: readonly string[]): string {
  const { before, after } = digitisingContext(compare, flights);
  if (!compare || !before || !after) return "";
  const isStrange = (name: string, side: Side): boolean => {
    const own = side.kind === "flight" && flights.some((one) => one.flight_id === side.flightId && one.event_id === eventId);
    return !own && !known.includes(name);
  };
  const strange = isStrange(before, compare.before) ? compare.before : isStrange(after, compare.after) ? compare.after : null;
  if (!strange || strange.kind === "until") return "";
  return strange.kind === "picture" ? strange.name : (flights.find((one) => one.flight_id === strange.flightId)?.name ?? "");
}

/** Which two pictures a change was found between, whatever their revisions; "" of what was drawn. */
export function pairKey({ properties: { before, after } }: ChangeLine): string {
  return before || after ? [before, after].map(imageSource).join(" → ") : "";
}

/** When these pictures were taken (a file by its name), short for a row or in full; "" of what was drawn. */
export function formatPairDates(pictures: { before: string; after: string }, flights: readonly FlightInfo[], isShort: boolean): string {
  const [before, after] = [takenOf(pictures.before, flights), takenOf(pictures.after, flights)];
  if (!before || !after) return "";
  const isDay = isShort && typeof before === "number" && (typeof after !== "number" || formatDate(before) !== formatDate(after));
  const last = typeof after === "string" ? after : formatTime(after);
  if (typeof before === "string") return `${before} → ${last}`;
  const date = formatDate(before);
  const isOneYear = typeof after === "number" && date.slice(DAY_LETTERS) === formatDate(after).slice(DAY_LETTERS);
  const day = isOneYear ? date.slice(0, DAY_LETTERS) : date;
  return `${isDay ? day : `${day} ${formatClock(before)}`} → ${last}`;
}

/** When a flight ended, Unix ms; a file by its name, "" where there is none. */
function takenOf(shown: string, flights: readonly FlightInfo[]): number | string {
  const named = parseShownMosaic(shown);
  if (!named) return shown;
  const flight = flights.find((one) => one.mosaics.some((mosaic) => mosaic.mosaic_id === named.mosaicId));
  return flight ? Date.parse(flight.last) : said("flightElsewhere");
}

/** The pairs that changes were found between, by what they are called. */
export function listPairs(changes: readonly ChangeLine[], flights: readonly FlightInfo[]): [string, string][] {
  const called = new Map(changes.map((one) => [pairKey(one), pairKey(one) ? formatPairDates(one.properties, flights, false) : t("byHand")]));
  return [...called].map(([pair, text]): [string, string] => [pair || DRAWN_PAIR, text]).sort(([, a], [, b]) => a.localeCompare(b, "vi"));
}
