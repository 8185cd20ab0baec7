import { expect, test } from "vitest";
import type { AirborneFlight, LinkInfo, LonLat } from "./api";
import { setLanguage, t } from "./i18n";
import { durationNowS, findTrouble, lostDurationS, lostSinceMs, mergeReports, secondsSinceReport, type LiveFlight } from "./liveFlights";
import { formatLoss } from "./panel/liveFlights";

const HEARD_MS = 50_000;
const [good, lost, never]: LinkInfo[] = [[false, 0.2], [true, 20.5], [true, null]].map(([isLost, silent_s]) => ({ lost: isLost, silent_s, connections: 1 }) as LinkInfo);

function makeLive(change: object = {}, track: LonLat[] = []): LiveFlight {
  const said = { flight_id: "f1", event_id: "e1", run: "r1", state: "flying", told: "2024-09-10T03:15:10Z", told_s: 0.5, aircraft: null, video: good, telemetry: good, ...change };
  return { said: said as AirborneFlight, track, heardMs: HEARD_MS };
}

test.each([
  [{}, 0, null], [{}, 1500, null], [{}, 1501, "server"], [{ video: lost }, 0, "video"], [{ telemetry: lost }, 0, "telemetry"], [{ video: lost, telemetry: lost }, 0, "video"],
  [{ video: lost }, 1501, "server"], // who hears nothing does not know of a link
  [{ state: "silent", video: lost }, 0, "program"], [{ state: "silent" }, 60_000, "program"], [{ state: "ended", video: lost }, 60_000, null],
])("of %j after %i ms the trouble is %s", (change, afterMs, trouble) => expect(findTrouble(makeLive(change), HEARD_MS + afterMs)).toBe(trouble));

test("durations go on from what the server said, and never backwards", () => {
  const one = makeLive({ video: lost, telemetry: never });
  expect([durationNowS(3, one, HEARD_MS + 4500), durationNowS(null, one, HEARD_MS), secondsSinceReport(one, HEARD_MS - 1000)]).toEqual([7.5, null, 0]);
  expect((["server", "program", "video", "telemetry"] as const).map((trouble) => lostDurationS(one, trouble, HEARD_MS + 2000))).toEqual([2, 2.5, 22.5, null]);
});

test("since when is said by the calendar of the aircraft's program, not by this computer's", () => {
  const one = makeLive({ video: lost });
  expect((["video", "program", "server"] as const).map((trouble) => lostSinceMs(one, trouble))).toEqual([Date.parse("2024-09-10T03:14:50Z"), Date.parse("2024-09-10T03:15:10Z"), null]);
  expect(formatLoss(one, HEARD_MS)).toBe(t("lostSignalSince", "10:14"));
  setLanguage("en");
  expect([makeLive({ telemetry: never }), makeLive()].map((each) => formatLoss(each, HEARD_MS))).toEqual([t("lostSignal"), null]);
  expect(formatLoss(makeLive(), HEARD_MS + 5000)).toBe(t("noAnswer"));
});

test.each([
  [{ lon: 105 }, [104, 105]], [{ lon: 104 }, [104]], [{}, [104]],
  [{ lon: 105, run: "r2" }, [105]], // another run begins anew
  [{ lon: 105, track: [[1, 21], [2, 21]] }, [1, 2]], // one that the server tells whole is taken
])("a track that hears %j has %j", ({ lon, ...change }: { lon?: number }, lons) => {
  const aircraft = lon === undefined ? null : { lonlat: [lon, 21] };
  expect(mergeReports([makeLive({}, [[104, 21]])], [makeLive({ aircraft, ...change }).said], 0)[0]?.track.map(([one]) => one)).toEqual(lons);
});
