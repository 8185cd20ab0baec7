/**
 * Live flights as this page knows them. The server counts every duration up to the moment it speaks; from then on the
 * page's own clock counts, so that neither a wrong clock nor a silent server makes an old picture look new.
 */

import type { AirborneFlight, LonLat } from "./api";

export interface LiveFlight {
  said: AirborneFlight;
  /** Where it has been as far as this page was told, oldest first. */
  track: LonLat[];
  /** `performance.now()` when the server said it. */
  heardMs: number;
}

/** What is wrong, the worst first: who knows nothing of the flight need not say that a link of it is lost. */
export type Trouble = "server" | "program" | "video" | "telemetry";

/** A server that tells of a flight tells twice a second. */
const SERVER_SILENT_S = 1.5;
const MOST_TRACK = 1200;

/** The flights as the server said them now, each with the track it had. */
export function mergeReports(before: readonly LiveFlight[], said: AirborneFlight[], heardMs: number): LiveFlight[] {
  return said.map((one) => {
    const known = before.find(({ said: old }) => old.flight_id === one.flight_id && old.run === one.run);
    return { said: one, track: one.track ?? grown(known?.track ?? [], one.aircraft?.lonlat), heardMs };
  });
}

function grown(track: LonLat[], place: LonLat | undefined): LonLat[] {
  const last = track[track.length - 1];
  if (!place || (last && last[0] === place[0] && last[1] === place[1])) return track;
  const half = MOST_TRACK / 2;
  const kept = track.length < MOST_TRACK ? track : [...track.slice(0, half).filter((_, n) => n % 2 === 0), ...track.slice(half)];
  return [...kept, place];
}

/** Seconds since the server spoke of a flight. */
export function secondsSinceReport(one: LiveFlight, nowMs: number): number {
  return Math.max(0, (nowMs - one.heardMs) / 1000);
}

/** A duration of the server's, counted on; null stays null. */
export function durationNowS(saidS: number | null, one: LiveFlight, nowMs: number): number | null {
  return saidS === null ? null : saidS + secondsSinceReport(one, nowMs);
}

export function findTrouble(one: LiveFlight, nowMs: number): Trouble | null {
  const { state, video, telemetry } = one.said;
  if (state === "silent") return "program";
  if (state === "ended") return null;
  if (secondsSinceReport(one, nowMs) > SERVER_SILENT_S) return "server";
  if (video.lost) return "video";
  return telemetry.lost ? "telemetry" : null;
}

/** For how long what is in trouble has been lost; null: it never came. */
export function lostDurationS(one: LiveFlight, trouble: Trouble, nowMs: number): number | null {
  const { said } = one;
  switch (trouble) {
    case "server":
      return secondsSinceReport(one, nowMs);
    case "program":
      return durationNowS(said.told_s, one, nowMs);
    case "video":
      return durationNowS(said.video.silent_s, one, nowMs);
    case "telemetry":
      return durationNowS(said.telemetry.silent_s, one, nowMs);
  }
}

/**
 * When an aircraft's signal was lost, by the calendar of the program that lays it: the one here may be wrong. Null: it
 * never came, or it is this page that hears nothing and knows no more of the aircraft.
 */
export function lostSinceMs({ said }: LiveFlight, trouble: Trouble): number | null {
  const silentS = { server: null, program: said.told_s, video: said.video.silent_s, telemetry: said.telemetry.silent_s }[trouble];
  return silentS === null ? null : Date.parse(said.told) + (said.told_s - silentS) * 1000;
}

/** Whether an aircraft is to be seen: of one that has landed nothing is known any more. */
export function isFlying(one: LiveFlight): boolean {
  return one.said.state === "flying" || one.said.state === "silent";
}
