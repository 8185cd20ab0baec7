/** Numbers and coordinates as they are written in the chosen language. */

import type { PendingChanges, Vn2000 } from "./api";
import { language, t } from "./i18n";

/** Digits of the exact value beyond those that are written: enough to know a half. */
const BEYOND = 30;

/** As documents round: halves to the even digit, and a zero has no sign (`model.text.format_number`). */
function toFixedEven(value: number, digits: number): string {
  const exact = value.toFixed(digits + BEYOND);
  const cut = exact.slice(0, -BEYOND).replace(/\.$/, "");
  const isHalf = /^50*$/.test(exact.slice(-BEYOND));
  const text = isHalf && /[02468]$/.test(cut) ? cut : value.toFixed(digits);
  return /[1-9]/.test(text) ? text : text.replace("-", "");
}

export function formatNumber(value: number, digits = 0): string {
  const text = toFixedEven(value, digits);
  const [whole = "0", fraction] = text.split(".");
  const [thousands, decimal] = language() === "vi" ? [".", ","] : [",", "."];
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, thousands);
  return fraction ? `${grouped}${decimal}${fraction}` : grouped;
}

export function formatLonLat(lon: number, lat: number, between = "   "): string {
  const latitude = `${formatNumber(Math.abs(lat), 6)}° ${t(lat < 0 ? "south" : "north")}`;
  const longitude = `${formatNumber(Math.abs(lon), 6)}° ${t(lon < 0 ? "west" : "east")}`;
  return `${latitude}${between}${longitude}`;
}

/** VN-2000 as sheets print it: X north, Y east, and the meridian, which the law ties to the province. */
export function formatVn2000(place: Vn2000): string {
  const meridian = formatDegrees(place.central_meridian_deg);
  const [x, y] = [formatNumber(place.x_north_m), formatNumber(place.y_east_m)];
  return `X ${x} ${t("north")}  Y ${y} ${t("east")}  ${t("vn2000", meridian)}`;
}

/** "104°45′" */
export function formatDegrees(value: number): string {
  const minutes = Math.round(value * 60);
  return `${Math.floor(minutes / 60)}°${String(minutes % 60).padStart(2, "0")}′`;
}

export function formatGsd(gsdM: number): string {
  return gsdM < 1 ? `${formatNumber(gsdM * 100, gsdM < 0.1 ? 1 : 0)} cm` : `${formatNumber(gsdM, 1)} m`;
}

/** Hectares, or square metres below a tenth of one, as packs and commands write areas (`model.text.format_area`); `errorM2`: one sigma, never written as none; `isAtLeast`: the rest was not seen. */
export function formatAreaM2(areaM2: number, errorM2: number | null = null, isAtLeast = false): string {
  const [unit, ofUnit, digits] = areaM2 < 1000 ? (["m²", 1, 0] as const) : (["ha", 10_000, 2] as const);
  const size = formatNumber(areaM2 / ofUnit, digits);
  const error = errorM2 === null ? "" : ` ± ${formatNumber(Math.max(errorM2 / ofUnit, 10 ** -digits), digits)}`;
  const area = `${size}${error} ${unit}`;
  return isAtLeast ? t("atLeast", area) : area;
}

export function formatWaitingArea({ area_m2, area_at_least }: PendingChanges): string {
  return formatAreaM2(area_m2, null, area_at_least);
}

/** A detector's score, of 100: "98/100" reads as no probability, and neither end as certain. */
export function formatScore(score: number): string {
  return `${Math.min(Math.max(Math.round(100 * score), 1), 99)}/100`;
}

/** Whole percent would round a sliver to "0 %" and a hole to "100 %": both would mislead. It stays on one line. */
export function formatPercent(percent: number): string {
  if (percent > 0 && percent < 1) return "<\u00a01\u00a0%";
  if (percent > 99 && percent < 100) return ">\u00a099\u00a0%";
  return `${formatNumber(percent)}\u00a0%`;
}
