/** Pairs of pictures that are no before and after, or not in their order. */

import type { MessageKey } from "../i18n";
import { visibleFlights, type State } from "../state";
import { stateForSide, writeSide, type Comparison, type Side } from "./sides";

/** What must be said of a pair on both its pictures; null: it is two times in their order. */
export function findPairDoubt(state: State, { before, after }: Comparison): MessageKey | null {
  if (writeSide(before) === writeSide(after)) return "compareSame";
  if (before.kind === "flight" && after.kind === "flight" && before.flightId === after.flightId) return "compareOneFlight";
  const [first, second] = [lastOf(state, before), lastOf(state, after)];
  return first !== null && second !== null && first >= second ? "compareReversed" : null;
}

/** When a side's newest picture was taken, Unix ms; null where it shows none. */
function lastOf(state: State, side: Side): number | null {
  const own = stateForSide(state, side);
  const lasts = (own ? visibleFlights(own) : []).map((flight) => Date.parse(flight.last));
  return lasts.length ? Math.max(...lasts) : null;
}
