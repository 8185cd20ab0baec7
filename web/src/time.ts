/** Times as officials read them: 24 h, dd/MM/yyyy, UTC+7 wherever the computer stands. */

import { t } from "./i18n";

const OFFSET_MS = 7 * 3600 * 1000;

const two = (n: number): string => String(n).padStart(2, "0");

function local(iso: string | number): Date {
  return new Date(new Date(iso).getTime() + OFFSET_MS);
}

export function formatDate(iso: string | number): string {
  const d = local(iso);
  return `${two(d.getUTCDate())}/${two(d.getUTCMonth() + 1)}/${d.getUTCFullYear()}`;
}

/** "2024-09-10": the day in Việt Nam, as the server takes days. */
export function dayOf(iso: string | number): string {
  return local(iso).toISOString().slice(0, 10);
}

export function formatClock(iso: string | number): string {
  const d = local(iso);
  return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
}

export function formatTime(iso: string | number): string {
  return `${formatDate(iso)} ${formatClock(iso)}`;
}

/** "10/09/2024 10:15:03": where a second matters. */
export function formatSeconds(iso: string | number): string {
  return `${formatTime(iso)}:${two(local(iso).getUTCSeconds())}`;
}

/** A duration in whole seconds, rounded up so that nothing looks newer than it is; in minutes, in hours. */
export function formatAgo(seconds: number): string {
  if (seconds < 120) return t("seconds", Math.max(1, Math.ceil(seconds)));
  if (seconds < 7200) return t("minutes", Math.ceil(seconds / 60));
  return t("hours", Math.ceil(seconds / 3600));
}

/** "10/09/2024 10:15–10:32", or both dates where a flight crosses midnight. */
export function formatPeriod(first: string, last: string): string {
  if (formatTime(first) === formatTime(last)) return formatTime(first);
  if (formatDate(first) === formatDate(last)) return `${formatTime(first)}–${formatClock(last)}`;
  return `${formatTime(first)} – ${formatTime(last)}`;
}

/** In whole minutes, hours, days, rounded up: nothing looks newer than it is. Years are those that are complete; the date stands beside them. The pack says it alike (`pack_content.age`). */
export function formatAge(iso: string, nowMs: number): string {
  const ageMs = nowMs - new Date(iso).getTime();
  const minutes = Math.floor(ageMs / 60000);
  if (minutes < -1) return t("ageFuture"); // a picture of now is newer than the page's last look at the clock
  if (minutes < 1) return t("ageNow");
  if (minutes < 120) return t("ageMinutes", Math.ceil(ageMs / 60000));
  if (minutes < 48 * 60) return t("ageHours", Math.ceil(minutes / 60));
  const days = Math.ceil(minutes / 1440);
  return days <= 2 * 365 ? t("ageDays", days) : t("ageYears", Math.floor(days / 365.25));
}
