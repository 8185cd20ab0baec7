import { expect, test } from "vitest";
import { buildCaption, commonShiftM, formatErrorM, formatPixelError, withNoBreakSpaces } from "./caption";
import { t } from "./i18n";
import type { ImagedPoint } from "./imagingFlight";
import { makeFlight, makePixel } from "./testData";

const NOW = Date.parse("2024-09-10T04:15:00Z");
const imaged = (pixel = makePixel(), flight = makeFlight()): ImagedPoint => ({ flight, pixel, unknown: null });
const plain = (text: string | null): string => (text ?? "").replace(/\u00a0/g, " ");

test.each([
  ["± 0,30 m", "±_0,30_m"], ["Bản Lầu 2 lúc 10/09/2024 10:15", "Bản Lầu_2_lúc_10/09/2024_10:15"], ["cách đây 5 phút", "cách đây_5_phút"], ["< 1 %", "<_1_%"],
  ["không đổi gì", "không đổi gì"],
])("no line of a caption ends within %s", (text, tied) => expect(withNoBreakSpaces(text)).toBe(tied.replace(/_/g, "\u00a0")));

test.each([
  [0.049, "0,05"], [0.994, "0,99"], [1, "1,0"], [12.34, "12,3"],
])("an error of %f m has the decimals it has in packs (`briefing.texts.format_flight_error`)", (metres, said) => expect(formatErrorM(metres)).toBe(said));

test("the error on the ground has the shift of the whole sheet in it, and an unknown one is not none", () => {
  const finished = { pose_state: null, ties: 9, shift_sigma_m: [0.3, 0.4, 9] };
  expect([commonShiftM(makePixel({ finished })), commonShiftM(makePixel())]).toEqual([0.5, 0]);
  expect(formatPixelError(makePixel({ sigma_m: 1.2, finished }))).toBe(t("captionError", "1,3"));
  expect(formatPixelError(makePixel({ sigma_m: null, finished }))).toBe(t("captionErrorUnknown"));
});

test("time, age, revision and error are said in that order; a wall leaves the revision out first", () => {
  const caption = buildCaption("Bản Lầu", imaged(makePixel({ revision: 2 }), makeFlight({ classification: "restricted", is_drill: true })), NOW, true);
  expect(caption.facts.map(plain)).toEqual(["10/09/2024 10:15", t("ageMinutes", 60), t("revisionNumber", 2), t("captionError", "0,30")]);
  expect(plain(caption.lesser)).toBe(t("revisionNumber", 2));
  expect([caption.name, caption.level, caption.isDrill]).toEqual(["Bản Lầu", "restricted", true]);
});

test("revision 0 is live only where the flight came from the air", () => {
  const lesserOf = (is_streamed: boolean): string => plain(buildCaption("", imaged(makePixel(), makeFlight({ is_streamed })), NOW, true).lesser);
  expect([lesserOf(true), lesserOf(false)]).toEqual([t("revisionLive"), t("revisionQuick")]);
  expect(buildCaption("", imaged(), NOW, false).lesser).toBeNull();
});

test("being asked, not answered, not flown, and flown beside the middle are four things", () => {
  const nothing = { flight: null, pixel: null, unknown: null };
  const of = (point: ImagedPoint | null, isBeside = false, spot: "middle" | "change" = "middle"): string[] => buildCaption("", point, NOW, true, spot, isBeside).facts.map(plain);
  expect([of(null), of({ ...nothing, unknown: { message: null } }), of({ ...nothing, unknown: { message: "hỏng" } })]).toEqual([[t("looking")], [t("noAnswerTitle")], ["hỏng"]]);
  expect([of(nothing), of(nothing, true), of(nothing, true, "change")]).toEqual([[t("evidenceNone")], [t("captionNone_middle")], [t("captionNone_change")]]);
  expect(of(imaged(), true, "change")[0]).toBe(t("captionAtChange"));
});
