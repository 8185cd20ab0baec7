import { describe, expect, test } from "vitest";
import { setLanguage, t } from "./i18n";
import { formatAge, formatAgo, formatClock, formatDate, formatIsoDay, formatPeriod, formatSeconds, formatTime, formatZone, formatZoneNote, setTimeZone } from "./time";

const THEN = "2024-09-10T03:15:00Z";
const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];
const ageAfter = (seconds: number): string => formatAge(THEN, Date.parse(THEN) + 1000 * seconds);

describe("ages", () => {
  test.each([
    [61, "ageMinutes", 2], [119 * MINUTE + 30, "ageMinutes", 120], [2 * HOUR + MINUTE, "ageHours", 3], [79 * DAY + MINUTE, "ageDays", 80],
    [731 * DAY, "ageYears", 2], [1096 * DAY, "ageYears", 3],
  ] as const)("after %i s as in packs (`briefing.texts.format_age`)", (seconds, word, count) => expect(ageAfter(seconds)).toBe(t(word, count)));

  test.each([
    [MINUTE, "ageMinutes", 1], [2 * HOUR - 1, "ageMinutes", 120], [2 * HOUR, "ageHours", 2], [2 * DAY - 1, "ageHours", 48], [2 * DAY, "ageDays", 2],
    [2 * DAY + MINUTE, "ageDays", 3], [730 * DAY, "ageDays", 730], [730 * DAY + MINUTE, "ageYears", 2], [1095 * DAY, "ageYears", 2], [1460 * DAY, "ageYears", 3],
    [1461 * DAY, "ageYears", 4],
  ] as const)("after %i s, where the unit changes", (seconds, word, count) => expect(ageAfter(seconds)).toBe(t(word, count)));

  test.each([
    [0, "ageNow"], [59, "ageNow"],
    [-60, "ageNow"], // the page's last look at the clock was earlier
    [-61, "ageFuture"], [-DAY, "ageFuture"],
  ] as const)("after %i s", (seconds, word) => expect(ageAfter(seconds)).toBe(t(word)));

  test("a picture never grows younger, nor looks newer than it is by a minute", () => {
    const lengths = { ageMinutes: MINUTE, ageHours: HOUR, ageDays: DAY } as const;
    let last = 0;
    for (let seconds = MINUTE; seconds < 720 * DAY; seconds = Math.ceil(seconds * 1.003)) {
      const said = ageAfter(seconds);
      const count = Number(/\d+/.exec(said)?.[0]);
      const unit = (Object.keys(lengths) as (keyof typeof lengths)[]).find((one) => t(one, count) === said);
      const saidS = count * lengths[unit ?? "ageMinutes"];
      expect(unit).toBeDefined();
      expect(saidS).toBeGreaterThanOrEqual(last);
      expect(saidS).toBeGreaterThan(seconds - MINUTE);
      last = saidS;
    }
  });
});

test.each([
  [-5, "seconds", 1], [0, "seconds", 1], [0.2, "seconds", 1], [59.1, "seconds", 60], [119.9, "seconds", 120], [120, "minutes", 2], [121, "minutes", 3],
  [7199, "minutes", 120], [7200, "hours", 2], [7201, "hours", 3],
] as const)("a duration of %f s is rounded up", (seconds, word, count) => expect(formatAgo(seconds)).toBe(t(word, count)));

describe("in the house's zone, wherever the computer stands", () => {
  test("Viet Nam's", () => {
    const late = "2024-09-10T17:05:03.900Z";
    expect(new Date(late).getTimezoneOffset()).not.toBe(-420);
    expect([formatDate(late), formatClock(late), formatTime(late), formatSeconds(late)]).toEqual(["11/09/2024", "00:05", "11/09/2024 00:05", "11/09/2024 00:05:03"]);
    expect([formatIsoDay(late), formatIsoDay("2024-12-31T16:59:59Z"), formatIsoDay("2024-12-31T17:00:00Z")]).toEqual(["2024-09-11", "2024-12-31", "2025-01-01"]);
    expect(formatTime(Date.parse(late))).toBe(formatTime(late));
  });

  test.each([
    ["Asia/Ho_Chi_Minh", THEN, "UTC+7", "10/09/2024 10:15"], ["Asia/Bangkok", THEN, "UTC+7", "10/09/2024 10:15"],
    ["Asia/Kathmandu", THEN, "UTC+5:45", "10/09/2024 09:00"], ["UTC", THEN, "UTC+0", "10/09/2024 03:15"], ["America/St_Johns", THEN, "UTC-2:30", "10/09/2024 00:45"],
    ["America/St_Johns", "2024-12-10T03:15:00Z", "UTC-3:30", "09/12/2024 23:45"], // it changes its clocks
    ["Europe/Berlin", "2024-10-27T00:59:00Z", "UTC+2", "27/10/2024 02:59"], ["Europe/Berlin", "2024-10-27T01:00:00Z", "UTC+1", "27/10/2024 02:00"],
  ])("%s at %s is %s (`model.time.format_utc_offset`)", (zone, moment, offset, said) => {
    setTimeZone(zone);
    expect([formatZone(moment), formatTime(moment)]).toEqual([offset, said]);
  });

  test("the zone is noted for who may not take it for granted", () => {
    expect(formatZoneNote(THEN)).toBe("");
    setLanguage("en");
    expect(formatZoneNote(THEN)).toBe("UTC+7");
    setLanguage("vi");
    setTimeZone("Asia/Bangkok");
    expect(formatZoneNote(THEN)).toBe("UTC+7");
  });
});

test.each([
  [THEN, "2024-09-10T03:15:40Z", "10/09/2024 10:15"], [THEN, "2024-09-10T03:32:00Z", "10/09/2024 10:15–10:32"],
  ["2024-09-10T16:50:00Z", "2024-09-10T17:10:00Z", "10/09/2024 23:50 – 11/09/2024 00:10"],
])("the period from %s to %s", (first, last, said) => {
  expect(formatPeriod(first, last)).toBe(said);
  setLanguage("en");
  expect(formatPeriod(first, last)).toBe(`${said} UTC+7`);
});
