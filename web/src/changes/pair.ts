/** The two pictures that a change was found in, side by side; what of them this map has not, and what they are called. */

import type { FlightInfo } from "../api";
import type { Comparison, Mode, Side } from "../compare/sides";
import { sideOf, type ChangeLine } from "./changes";
import { middleShare } from "./going";
import { t } from "./words";

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
