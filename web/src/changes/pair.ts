/** The two pictures that a change was found in, side by side; what of them this map has not, and what they are called. */

import type { FlightInfo } from "../api";
import type { Comparison, Mode, Side } from "../compare/sides";
import { t as said } from "../i18n";
import { formatClock, formatDate, formatTime } from "../time";
import { flightShown, sideOf, type ChangeLine } from "./changes";
import { middleShare } from "./going";
import { t } from "./words";

/** Between the pictures that a merged change was found on. */
const SEVERAL = " + ";
const DAY_LETTERS = 5; // of dd/MM/yyyy
/** For what was drawn, which is of no pair. */
export const DRAWN = "-";

/** What to compare for a change; null: what is compared stays, be it for the change was drawn, be it that it is shown already. */
export function pairToShow(change: ChangeLine, flights: readonly FlightInfo[], now: Comparison | null, width: number): Comparison | null {
  const [before, after] = sidesOf(change, flights);
  if (!before || !after || JSON.stringify([now?.before, now?.after]) === JSON.stringify([before, after])) return null;
  const mode = now?.mode ?? "swipe";
  return { mode, share: shareOf(mode, before, after, now, width), before, after };
}

/** Where only one picture is on the map, all of that one; where both are, the line stays where the reader put it. */
function shareOf(mode: Mode, before: Side, after: Side, now: Comparison | null, width: number): number {
  const isEmpty = (side: Side): boolean => side.kind === "picture";
  if (isEmpty(before) !== isEmpty(after)) return isEmpty(before) === (mode === "flicker") ? 100 : 0;
  const isKept = now !== null && !isEmpty(now.before) && !isEmpty(now.after);
  return isKept ? now.share : mode === "flicker" ? 100 : middleShare(width);
}

function sidesOf({ properties }: ChangeLine, flights: readonly FlightInfo[]): [Side | null, Side | null] {
  return [sideOf(properties.before, flights), sideOf(properties.after, flights)];
}

/** Which of the two is not on this map, so that nobody decides on what they do not see; "": both are, or it was drawn. */
export function missingSaid(change: ChangeLine, flights: readonly FlightInfo[]): string {
  const [before, after] = sidesOf(change, flights).map((side) => (side?.kind === "picture" ? side.name : null));
  if (before && after) return t("bothElsewhere", before, after);
  return before ? t("beforeElsewhere", before) : after ? t("afterElsewhere", after) : "";
}

/** Which two pictures a change was found between, whatever their revisions; "" of what was drawn. */
export function pairOf({ properties: { before, after } }: ChangeLine): string {
  return before || after ? [before, after].map((shown) => partsOf(shown).map((part) => flightShown(part)?.mosaicId ?? part).join(SEVERAL)).join(" → ") : "";
}

/** When these pictures were taken (a file by its name), short for a row or in full; "" of what was drawn. */
export function datesSaid({ properties }: ChangeLine, flights: readonly FlightInfo[], isShort: boolean): string {
  const [before, after] = [takenOf(properties.before, flights, Math.min), takenOf(properties.after, flights, Math.max)];
  if (!before || !after) return "";
  const isDay = isShort && typeof before === "number" && (typeof after !== "number" || formatDate(before) !== formatDate(after));
  const last = typeof after === "string" ? after : formatTime(after);
  if (typeof before === "string") return `${before} → ${last}`;
  const date = formatDate(before);
  const isOneYear = typeof after === "number" && date.slice(DAY_LETTERS) === formatDate(after).slice(DAY_LETTERS);
  const day = isOneYear ? date.slice(0, DAY_LETTERS) : date;
  return `${isDay ? day : `${day} ${formatClock(before)}`} → ${last}`;
}

/** Unix ms of the earliest or latest of several; a name where one of them has no date, "" where there is none. */
function takenOf(shown: string, flights: readonly FlightInfo[], choose: (...times: number[]) => number): number | string {
  if (!shown) return "";
  const times = partsOf(shown).map((part) => {
    const named = flightShown(part);
    const flight = named && flights.find((one) => one.mosaics.some((mosaic) => mosaic.mosaic_id === named.mosaicId));
    return flight ? Date.parse(flight.last) : null;
  });
  const known = times.filter((time) => time !== null);
  return known.length === times.length ? choose(...known) : partsOf(shown).map((part) => (flightShown(part) ? said("flightElsewhere") : part)).join(SEVERAL);
}

function partsOf(shown: string): string[] {
  return shown.split(SEVERAL);
}

/** The pairs that changes were found between, by what they are called. */
export function pairsOf(changes: readonly ChangeLine[], flights: readonly FlightInfo[]): [string, string][] {
  const called = new Map(changes.map((one) => [pairOf(one), pairOf(one) ? datesSaid(one, flights, false) : t("byHand")]));
  return [...called].map(([pair, text]): [string, string] => [pair || DRAWN, text]).sort(([, a], [, b]) => a.localeCompare(b, "vi"));
}
