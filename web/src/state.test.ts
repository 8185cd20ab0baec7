import { describe, expect, test } from "vitest";
import type { LiveFlight } from "./liveFlights";
import { buildLink, defaultEvent, drawnRevision, initialState, isCapturedBy, isFlyingAt, readLink, stateFromLink, visibleFlights, writeLink, type Link, type State } from "./state";
import { makeEvent, makeFlight, makeMosaic, makeState } from "./testData";

const DEFAULTS = stateFromLink({});

describe("a link", () => {
  const kept = (state: State): Partial<State> => {
    const { hidden, spectral, revisions, dataLayer, opacity, layers, shownLayers, asOf, compare, picked, tab, review } = state;
    return { hidden, spectral, revisions, dataLayer, opacity, layers, shownLayers, asOf, compare, picked, tab, review };
  };

  test.each([
    {}, { hidden: new Set(["f1", "f2"]), shownLayers: new Set(["grid"]) }, { revisions: { "f1-colour": 3, "f2-thermal": 0 }, spectral: { f1: "thermal" } },
    { dataLayer: "error", opacity: 0.35 }, { opacity: 0 }, { layers: { ...DEFAULTS.layers, hillshade: false, gaps: true } },
    { asOf: "2024-09-10T03:15:00.000Z" }, { picked: [104.8009491, -21.9000531] }, { tab: "board", review: "" }, { review: "c1" },
    { compare: { mode: "side", before: { kind: "picture", name: "ngày 2/ảnh~@#&=.tif" }, after: { kind: "until", moment: "2024-09-10T03:15:00.000Z" }, share: 20 } },
  ] satisfies Partial<State>[])("keeps what is shown: %j", (change) => {
    const state = makeState(change);
    writeLink({ event: "e1", ...buildLink(state) });
    expect(kept(initialState())).toEqual(kept(state));
    expect(initialState().eventId).toBe("e1");
  });

  test("holds only what is not as at first, and what is written to it stays beside what was there", () => {
    writeLink({ map: "12/21.9/104.8" });
    writeLink(buildLink(makeState()));
    expect(location.hash).toBe("#map=12%2F21.9%2F104.8");
    writeLink({ map: "", lang: "en" });
    expect(readLink()).toEqual({ lang: "en" });
    expect(initialState().language).toBe("en");
  });

  test.each([
    [{ op: "250" }, { opacity: 1 }], [{ op: "-5" }, { opacity: 1 }], [{ op: "x" }, { opacity: 1 }], [{ data: "heat" }, { dataLayer: null }],
    [{ rev: "f1-colour:x,f2-colour:2,f3-colour" }, { revisions: { "f2-colour": 2 } }], [{ band: "f1:,:thermal,f2:night" }, { spectral: { f2: "night" } }],
    [{ hidden: ",f1,," }, { hidden: new Set(["f1"]) }], [{ turned: "gaps,of_a_newer_page" }, { layers: { ...DEFAULTS.layers, gaps: true } }],
    [{ asof: "yesterday" }, { asOf: null }], [{ asof: "2024-09-10T10:15:00+07:00" }, { asOf: "2024-09-10T03:15:00.000Z" }], [{ cmp: "swipe~f1" }, { compare: null }],
  ] as [Link, Partial<State>][])("that was cut or is of another page, %j, shows %j", (link, shown) => {
    expect(stateFromLink(link)).toEqual({ ...DEFAULTS, ...shown });
  });

  test.each([
    ["21.9/104.8", [104.8, 21.9]], ["91/104.8", null], ["21.9/181", null], ["21.9/", null], ["21.9", null], ["x/y", null],
  ])("to the place %s", (at, picked) => {
    writeLink({ at });
    expect(initialState().picked).toEqual(picked);
  });
});

describe("flights on the screen", () => {
  const early = makeFlight({ flight_id: "early" });
  const late = makeFlight({ flight_id: "late", first: "2024-09-11T17:30:00Z", last: "2024-09-11T18:00:00Z" });
  const shown = (change: Partial<State>): string[] => visibleFlights(makeState({ flights: [late, early], ...change })).map((one) => one.flight_id);

  test("are of the event, not withdrawn, not switched off, and captured by the moment on show", () => {
    expect([shown({}), shown({ asOf: "2024-09-11T18:00:00Z" })]).toEqual([["late", "early"], ["late", "early"]]);
    expect([shown({ hidden: new Set(["late"]) }), shown({ asOf: "2024-09-11T17:59:59Z" }), shown({ eventId: "e2" })]).toEqual([["early"], ["early"], []]);
    expect(shown({ flights: [makeFlight({ state: "withdrawn" }), early] })).toEqual(["early"]);
  });

  test.each([
    ["2024-09-11T17:29:59Z", false, false], ["2024-09-11T17:30:00Z", false, true], ["2024-09-11T18:00:00Z", true, false], [null, true, false],
  ])("at %s: captured %s, in the air %s", (asOf, isCaptured, isFlying) => {
    expect([isCapturedBy(late, asOf), isFlyingAt(late, asOf)]).toEqual([isCaptured, isFlying]);
  });

});

test.each([
  [undefined, 2], [0, 0], [1, 1],
  [3, 2], // still being built
  [9, 2],
])("of a mosaic whose revision 2 is on show, the chosen %s is drawn as %i", (chosen, drawn) => {
  const revision = (n: number, state: "published" | "building") => ({ revision: n, state, made: "", has_surface: false, stats: {}, reports: {} });
  const mosaic = makeMosaic({ revision: 2, revisions: [revision(1, "published"), revision(2, "published"), revision(3, "building")] });
  const revisions: Record<string, number> = chosen === undefined ? {} : { [mosaic.mosaic_id]: chosen };
  expect(drawnRevision(makeState({ revisions }), mosaic)).toBe(drawn);
});

describe("the event that opens without a link", () => {
  const events = [makeEvent({ event_id: "drill", is_drill: true }), makeEvent({ event_id: "old" }), makeEvent({ event_id: "new" })];
  const flight = (event_id: string, last: string) => makeFlight({ event_id, last });
  const aloft = (event_id: string, state: string) => ({ said: { event_id, state } }) as LiveFlight;

  test.each([
    ["nothing there", [], [], [], null], ["no flight", events, [], [], "drill"], ["a drill alone", events, [flight("drill", "2024-09-12")], [], "drill"],
    ["a real one before a newer drill", events, [flight("old", "2024-09-10"), flight("drill", "2024-09-12")], [], "old"],
    ["the one flown last", events, [flight("old", "2024-09-10"), flight("new", "2024-09-11")], [], "new"],
    ["one that is flown now", events, [flight("new", "2024-09-11")], [aloft("old", "flying")], "old"],
    ["not one that has landed", events, [flight("new", "2024-09-11")], [aloft("old", "ended")], "new"],
    ["no drill for its being flown", events, [flight("new", "2024-09-11")], [aloft("drill", "flying")], "new"],
  ])("%s", (_, known, flights, airborne, opened) => expect(defaultEvent(known, flights, airborne)).toBe(opened));
});
