import { expect, test } from "vitest";
import { t } from "./i18n";
import { formatCondition, formatLayerAge, isStale, isTrouble, type Condition, type SpecialistFeature } from "./specialistLayers";

const NOW = Date.parse("2024-09-10T03:15:00Z");
const before = (seconds: number): string => new Date(NOW - 1000 * seconds).toISOString();

test.each([
  [null, true], [before(0), false], [before(3600), false], [before(3601), true],
  [before(-600), false], // two clocks may differ
  [before(-601), true], // what is still to come is never fresh
])("what stood so at %s is old after an hour: %s", (valid, isOld) => expect(isStale(valid, 3600, NOW)).toBe(isOld));

test.each([
  [null, t("validUnknown")], [before(-601), t("validFuture")], [before(-300), t("ageNow")], [before(7260), t("ageHours", 3)],
])("the age of %s", (valid, said) => expect(formatLayerAge(valid, NOW)).toBe(said));

test.each(["no_power", "no_signal", "blocked", "damaged"] as Condition[])("%s is trouble (`model.board.Condition.is_trouble`)", (condition) => expect(isTrouble(condition)).toBe(true));
test.each(["unknown", "working", "other"] as Condition[])("%s is none", (condition) => expect(isTrouble(condition)).toBe(false));

test.each([
  [null, "no_power", t("statusUnknown")], ["Sự cố trạm", "no_power", `Sự cố trạm (${t("condition_no_power")})`],
  ["MẤT ĐIỆN từ 3 giờ", "no_power", "MẤT ĐIỆN từ 3 giờ"], // says so itself
  ["Đang vận hành", "working", "Đang vận hành"], ["?", "of_a_newer_server" as Condition, "?"],
] as [string | null, Condition, string][])("the owner's words %s, that come to %s", (status, condition, said) => {
  expect(formatCondition({ status, condition } as SpecialistFeature)).toBe(said);
});
