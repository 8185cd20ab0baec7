/** Times as officials read them: 24 h, dd/MM/yyyy, in the house's zone wherever the computer stands. */

import { language, t } from "./i18n";

const VIETNAM = "Asia/Ho_Chi_Minh";
const VIETNAM_MS = 7 * 3600 * 1000;

/** Of the house's zone; null: Viet Nam's, of which nothing need be asked. */
let clock: Intl.DateTimeFormat | null = null;

/** In which zone times are said from now on, by its IANA name, as the server tells it. */
export function setTimeZone(name: string): void {
  clock = name === VIETNAM ? null : new Intl.DateTimeFormat("en", { timeZone: name, timeZoneName: "longOffset" });
}

/** "UTC+7": of a zone that changes its clocks, at that moment. */
export function formatZone(iso: string | number): string {
  const minutes = Math.round(offsetMs(new Date(iso).getTime()) / 60_000);
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest ? `:${two(rest)}` : ""}`;
}

/** As `zoneAt` for who may not take it for granted: officials in Viet Nam know theirs. */
export function formatZoneNote(iso: string | number): string {
  return clock === null && language() === "vi" ? "" : formatZone(iso);
}

const two = (n: number): string => String(n).padStart(2, "0");

function offsetMs(ms: number): number {
  if (clock === null) return VIETNAM_MS;
  const said = clock.formatToParts(ms).find(({ type }) => type === "timeZoneName")?.value ?? "";
  const [, sign, hours, minutes] = /GMT([+-])(\d+)(?::(\d+))?/.exec(said) ?? [];
  return (sign === "-" ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60_000;
}

function local(iso: string | number): Date {
  const ms = new Date(iso).getTime();
  return new Date(ms + offsetMs(ms));
}

export function formatDate(iso: string | number): string {
  const d = local(iso);
  return `${two(d.getUTCDate())}/${two(d.getUTCMonth() + 1)}/${d.getUTCFullYear()}`;
}

/** "2024-09-10": the day in the house's zone, as the server takes days. */
export function formatIsoDay(iso: string | number): string {
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

/** "10/09/2024 10:15–10:32", with the zone for who may not take it for granted, or both dates where a flight crosses midnight. */
export function formatPeriod(first: string, last: string): string {
  const zone = formatZoneNote(last) && ` ${formatZoneNote(last)}`;
  if (formatTime(first) === formatTime(last)) return `${formatTime(first)}${zone}`;
  if (formatDate(first) === formatDate(last)) return `${formatTime(first)}–${formatClock(last)}${zone}`;
  return `${formatTime(first)} – ${formatTime(last)}${zone}`;
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
