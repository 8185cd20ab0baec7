import { expect, test } from "vitest";
import type { LonLat, Session } from "./api";
import { t } from "./i18n";
import { markSvg } from "./map/markSymbols";
import { canAdminister, canWrite, compareUrgency, formatMarkKind, isGuest, listMarkKinds, listUrgent, markCentre, markVertices, type MarkKind, type MarkLine, type MarkStatus } from "./marks";

const mark = (kind: MarkKind, status: MarkStatus): MarkLine => ({ type: "Feature", geometry: { type: "Point", coordinates: [104, 21] }, properties: { kind, status } as MarkLine["properties"] });

test("marks are told in the order of packs (`model.board.rank_mark`)", () => {
  const order: [MarkKind, MarkStatus][] = [["rescue", "open"], ["rescue", "doing"], ["blocked", "open"], ["sector", "doing"], ["rescue", "done"], ["crack", "done"]];
  const lines = order.map(([kind, status]) => mark(kind, status));
  expect([...lines].reverse().sort(compareUrgency)).toEqual(lines);
  expect(compareUrgency(mark("crack", "open"), mark("other", "open"))).toBe(0);
});

test.each([
  [[], []], [[mark("rescue", "done"), mark("crack", "done"), mark("crack", "doing")], []],
  [[mark("rescue", "doing"), mark("rescue", "doing")], [t("rescueKnown", 2)]], [[mark("rescue", "doing"), mark("rescue", "open")], [t("rescueNew", 2, 1)]],
  [[mark("crack", "open"), mark("sector", "open")], [t("marksNew", 2)]], [[mark("crack", "open"), mark("rescue", "open")], [t("rescueNew", 1, 1), t("marksNew", 1)]],
])("what is urgent of case %#", (lines, said) => expect(listUrgent(lines)).toEqual(said));

test.each([
  ["guest", false, false, true], ["viewer", false, false, false], ["operator", true, false, false], ["analyst", true, false, false], ["admin", true, true, false],
  [null, false, false, false],
])("a %s may write %s, administer %s, is a guest %s", (role, writes, administers, guest) => {
  const session = { account: role && { name: "a", role }, open: false } as Session;
  expect([canWrite(session), canAdminister(session), isGuest(session)]).toEqual([writes, administers, guest]);
  expect([canWrite({ ...session, open: true }), canAdminister(null)]).toEqual([true, false]); // a computer without accounts
});

test("an outline is sent without its last corner, and stands at its middle", () => {
  const ring: LonLat[] = [[104, 21], [106, 21], [106, 23], [104, 23], [104, 21]];
  const sector: MarkLine = { ...mark("sector", "open"), geometry: { type: "Polygon", coordinates: [ring] } };
  expect([markVertices(sector), markCentre(sector)]).toEqual([ring.slice(0, -1), [105, 22]]);
  expect([markVertices(mark("crack", "open")), markCentre(mark("crack", "open"))]).toEqual([[[104, 21]], [104, 21]]);
});

test("a kind of a newer server is shown as it is called there, and a change leaves it", () => {
  const kind = "of_a_newer_server" as MarkKind;
  expect([formatMarkKind(kind), formatMarkKind("crack"), markSvg(kind, "open")]).toEqual([kind, t("mark_crack"), markSvg("other", "open")]);
  expect([listMarkKinds(false, kind), listMarkKinds(false, "crack"), listMarkKinds(true, "sector")]).toEqual([[...listMarkKinds(false), kind], listMarkKinds(false), ["sector"]]);
});
