/** What stands under a picture: where it is, when it was taken, how old that is, how far off it may be. */

import type { Classification, PixelSource } from "./api";
import { t } from "./i18n";
import type { ImagedPoint } from "./imagingFlight";
import { formatNumber } from "./numbers";
import { formatRevision } from "./revisions";
import { formatAge, formatTime } from "./time";

export interface Caption {
  name: string;
  /** In the order in which they are said: time, age, revision, expected error. */
  facts: string[];
  /** Of the facts the one that a wall has no room for; null: none. */
  lesser: string | null;
  /** How widely the picture may be shown. */
  level: Classification;
  isDrill: boolean;
}

/** What a caption speaks of: the window's middle, of which nothing need be said while it is imaged, or the change under review. */
export type CaptionSubject = "middle" | "change";

const TIE = "\u00a0";

/**
 * Of the picture at a place; null: that is being asked. `name` is said first: the place, or the flight. `isSeenBeside`:
 * whether the window shows a picture elsewhere, which nobody may read as none.
 */
export function buildCaption(name: string, imaged: ImagedPoint | null, nowMs: number, withRevision: boolean, spot: CaptionSubject = "middle", isSeenBeside = false): Caption {
  const said = wordsOf(name, imaged, nowMs, withRevision, spot, isSeenBeside);
  return { ...said, name: withNoBreakSpaces(said.name), facts: said.facts.map(withNoBreakSpaces), lesser: said.lesser && withNoBreakSpaces(said.lesser) };
}

/** No line ends between a number and its unit, or what it numbers, or between a date and its time. */
export function withNoBreakSpaces(text: string): string {
  return text.replace(/ (?=[±<>]? ?\d)/g, TIE).replace(/([\d±<>]) (?=[\p{L}%°])/gu, `$1${TIE}`);
}

function wordsOf(name: string, imaged: ImagedPoint | null, nowMs: number, withRevision: boolean, spot: CaptionSubject, isSeenBeside: boolean): Caption {
  const nothing = { lesser: null, level: "open", isDrill: false } as const;
  if (!imaged) return { ...nothing, name, facts: [t("looking")] };
  const { flight, pixel, unknown } = imaged;
  if (unknown) return { name, facts: [unknown.message ?? t("noAnswerTitle")], ...nothing };
  if (!pixel || !flight) return { name, facts: [t(isSeenBeside ? `captionNone_${spot}` : "evidenceNone")], ...nothing };
  const revision = withRevision ? formatRevision(flight, pixel.revision) : null;
  const facts = [
    ...(spot === "change" ? [t("captionAtChange")] : []),
    formatTime(pixel.captured),
    formatAge(pixel.captured, nowMs),
    ...(revision ? [revision] : []),
    formatPixelError(pixel),
  ];
  return { name, facts, lesser: revision, level: flight.classification, isDrill: flight.is_drill };
}

/** The expected error of a pixel, with what the whole revision may be shifted by; nobody may read an unknown one as none. */
export function formatPixelError(pixel: PixelSource): string {
  if (pixel.sigma_m === null) return t("captionErrorUnknown");
  return t("captionError", formatErrorM(Math.hypot(pixel.sigma_m, commonShiftM(pixel))));
}

/** What the whole revision may be shifted by, metres; 0 where it has no shift of its own. */
export function commonShiftM(pixel: PixelSource): number {
  return Math.hypot(...(pixel.finished?.shift_sigma_m ?? []).slice(0, 2));
}

export function formatErrorM(metres: number): string {
  return formatNumber(metres, metres < 1 ? 2 : 1);
}
