import { expect, test } from "vitest";
import type { CommuneRow, PendingChanges } from "./api";
import { countsTwice } from "./panel/communeBoard";

const waiting = (count: number): PendingChanges => ({ count, area_m2: 1000 * count, area_at_least: false });
const row = (count: number): CommuneRow => ({
  code: "99001", name: "Mường Đăng", bounds: [104, 21, 105, 22], imaged_pct: null, under_way: [], newest: null, newest_flight: null, newest_pct: null,
  flights: 0, marks: {}, changes: null, waiting: count ? waiting(count) : null, compared_pct: null, aloft: [], troubles: null,
});

test.each([
  [[2, 2, 3, 2], 6, true],
  [[2, 4, 0], 6, false],
  [[2], 6, false], // the rest lies outside of all communes
])("what waits by commune (%j) beside %i in all", (counts, total, isTwice) => {
  expect(countsTwice(counts.map(row), waiting(total))).toBe(isTwice);
  expect(countsTwice(counts.map(row), null)).toBe(false);
});
