/** Specialist layers (power lines, masts, roads …) of other services, as the server tells of them. */

import type { Classification } from "./api";
import { t, translateOr } from "./i18n";
import { formatAge } from "./time";

export type LayerKind = "power" | "mast" | "road" | "school" | "house" | "settlement" | "hydrology" | "other";
export type Condition = "unknown" | "working" | "no_power" | "no_signal" | "blocked" | "damaged" | "other";

export interface SpecialistLayer {
  layer_id: string;
  name: string;
  kind: LayerKind;
  owner: string | null;
  classification: Classification;
  /** When it stood so; null: nobody said. */
  valid: string | null;
  stale_after_s: number;
  refreshed: string;
  features: number;
  troubles: number;
  bounds: [number, number, number, number];
}

export interface SpecialistFeature {
  layer_id: string;
  kind: LayerKind;
  name: string | null;
  owner: string | null;
  /** The owner's own words; `condition` is what they come to. */
  status: string | null;
  condition: Condition;
  valid: string | null;
}

const TROUBLE: readonly Condition[] = ["no_power", "no_signal", "blocked", "damaged"];

export function isTrouble(condition: Condition): boolean {
  return TROUBLE.includes(condition);
}

/** Two clocks may differ by so much without anybody having to hear of it. */
const AHEAD_MS = 10 * 60_000;

/** By the page's own clock, so that a page left open does not go on calling it new; what is still to come is never fresh. */
export function isStale(valid: string | null, staleAfterS: number, nowMs: number): boolean {
  if (valid === null) return true;
  const ageMs = nowMs - new Date(valid).getTime();
  return ageMs > staleAfterS * 1000 || ageMs < -AHEAD_MS;
}

export function formatLayerAge(valid: string | null, nowMs: number): string {
  if (valid === null) return t("validUnknown");
  return new Date(valid).getTime() - nowMs > AHEAD_MS ? t("validFuture") : formatAge(valid, Math.max(nowMs, new Date(valid).getTime()));
}

/** The owner's words first; what they come to beside them, where that says more. */
export function formatCondition(thing: SpecialistFeature): string {
  const known = translateOr(`condition_${thing.condition}`, thing.condition);
  if (!thing.status) return t("statusUnknown");
  const says = isTrouble(thing.condition) && !thing.status.toLowerCase().includes(known.toLowerCase());
  return says ? `${thing.status} (${known})` : thing.status;
}
