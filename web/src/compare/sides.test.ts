import { describe, expect, test } from "vitest";
import { makeEvent, makeFlight, makeMosaic, makeState } from "../testData";
import { findPairDoubt } from "./pairCheck";
import { defaultComparison, listComparableFlights, readComparison, readSide, sideExists, stateForSide, writeComparison, writeSide, type Comparison, type Side } from "./sides";

const flight = (flightId: string, revision: number | null = null): Side => ({ kind: "flight", flightId, revision });
const until = (moment: string): Side => ({ kind: "until", moment });
const picture = (name: string): Side => ({ kind: "picture", name });
const pair = (before: Side, after: Side): Comparison => ({ mode: "swipe", before, after, share: 50 });

test.each([
  [flight("f1"), "f1"], [flight("f1", 0), "f1@0"], [flight("f1", 12), "f1@12"], [until("2024-09-10T03:15:00.000Z"), "until@2024-09-10T03:15:00.000Z"],
  [picture("ngày 2/a~b@3.tif#0a1b2c3d"), "picture@ng%C3%A0y%202%2Fa%7Eb%403.tif%230a1b2c3d"],
])("a side %j is %s in a link, and is read from it", (side, text) => {
  expect(writeSide(side)).toBe(text);
  expect(readSide(text)).toEqual(side);
});

test.each([undefined, "", "f1@", "f1@x", "f1@-1", "until@", "until@soon", "picture@", "picture@%E1%BA"])("%s is no side", (text) => expect(readSide(text)).toBeNull());

test.each([
  ["swipe~f1~f2~50", 50], ["swipe~f1~f2~0", 0], ["swipe~f1~f2", 50], ["swipe~f1~f2~", 50], ["swipe~f1~f2~x", 50], ["swipe~f1~f2~-3", 0], ["swipe~f1~f2~300", 100],
])("the line of %s stands at %i", (text, share) => {
  const compared = { ...pair(flight("f1"), flight("f2")), share };
  expect([readComparison(text), readComparison(writeComparison(compared))]).toEqual([compared, compared]);
});

test.each([undefined, "", "~~", "blink~f1~f2~50", "swipe~f1", "swipe~~f2~50"])("%s is no comparison", (text) => expect(readComparison(text)).toBeNull());

describe("of what is on the map", () => {
  const published = (revision: number, state: "published" | "retired" = "published") => ({ revision, state, made: "", has_surface: false, stats: {}, reports: {} });
  const old = makeFlight({ flight_id: "old" });
  const mosaics = [makeMosaic({ mosaic_id: "new-colour", revision: 2, revisions: [published(1), published(2), published(3, "retired")] })];
  const fresh = makeFlight({ flight_id: "new", first: "2024-09-12T03:00:00Z", last: "2024-09-12T03:15:00Z", mosaics });
  const away = makeFlight({ flight_id: "away", event_id: "e2", last: "2024-09-11T03:15:00Z", bounds: [106, 21, 107, 22] });
  const drill = makeFlight({ flight_id: "drill", event_id: "d", is_drill: true });
  const gone = makeFlight({ flight_id: "gone", state: "withdrawn" });
  const state = makeState({ events: [makeEvent(), makeEvent({ event_id: "d", is_drill: true })], flights: [fresh, away, old, drill, gone] });

  test("drills stand beside drills only, and the event's own flights come first", () => {
    expect(listComparableFlights(state).map((one) => one.flight_id)).toEqual(["new", "old", "away"]);
    expect(listComparableFlights({ ...state, eventId: "d" }).map((one) => one.flight_id)).toEqual(["drill"]);
  });

  test("the newest in sight is compared with the newest older one over the same ground", () => {
    expect(defaultComparison(state, [fresh])).toEqual(pair(flight("old"), flight("new")));
    expect(defaultComparison(state, [away])).toEqual(pair(flight("away"), flight("away")));
    const alone = { ...state, flights: [fresh] };
    expect(defaultComparison(alone, [])).toEqual(pair(flight("new", 0), flight("new"))); // as it came, and finished
    expect(defaultComparison({ ...state, flights: [] }, [])).toBeNull();
  });

  test.each([
    [flight("new"), true], [flight("new", 0), true], [flight("new", 2), true], [flight("new", 3), false], [flight("drill"), false], [flight("gone"), false],
    [until("2024-09-10T03:15:00Z"), true], [picture("a.tif"), false],
  ])("%j is there: %s", (side, isThere) => expect(sideExists(state, side)).toBe(isThere));

  test("a map of one side shows that alone", () => {
    const own = stateForSide({ ...state, hidden: new Set(["new"]), asOf: "2024-09-10T00:00:00Z" }, flight("new", 1));
    expect([own?.flights, own?.revisions, own?.asOf, own?.hidden.size]).toEqual([[fresh], { "new-colour": 1 }, null, 0]);
    expect(stateForSide(state, picture("a.tif"))).toBeNull();
    expect(stateForSide(state, until("2024-09-10T03:15:00Z"))?.asOf).toBe("2024-09-10T03:15:00Z");
  });

  test.each([
    [flight("old"), flight("new"), null], [flight("new"), flight("old"), "compareReversed"], [flight("new"), flight("new"), "compareSame"],
    [flight("new", 1), flight("new", 2), "compareOneFlight"], [until("2024-09-10T04:00:00Z"), flight("new"), null],
    [flight("new"), until("2024-09-10T04:00:00Z"), "compareReversed"],
    [picture("a.tif"), flight("old"), null], // of when a file is nothing is known
    [picture("a.tif"), picture("a.tif"), "compareSame"],
  ])("what must be said of %j and %j: %s", (before, after, doubt) => expect(findPairDoubt(state, pair(before, after))).toBe(doubt));
});
