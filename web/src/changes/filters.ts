/** Which changes of the list are on show: by how they stand, what they are, where, between which pictures, and whether they cut a road. */

import { api } from "../api";
import type { ChangeKind, ChangeLine, ChangeStatus } from "./types";
import { DRAWN_PAIR, pairKey } from "./imagePair";

/** "" asks for nothing; commune "-": beyond known boundaries; pair "-": drawn by hand. */
export interface Filter {
  status: ChangeStatus | "";
  kind: ChangeKind | "";
  commune: string;
  pair: string;
  cutsRoad: boolean;
}

export const NO_COMMUNE = "-";
const ALL: Filter = { status: "", kind: "", commune: "", pair: "", cutsRoad: false };

/** What is known of cut roads: still asked for; nobody answers; no layer of roads covers any of the changes; of so many of them no layer covers all ground, and none is known to be cut. */
export type RoadImpactState = "reading" | "failed" | "no_layer" | "known" | { uncovered: number };

export class Filters {
  now: Filter = ALL;
  roads: RoadImpactState = "reading";
  private cutting: ReadonlySet<string> = new Set();
  private asked = 0;

  get isOff(): boolean {
    const { status, kind, commune, pair, cutsRoad } = this.now;
    return !status && !kind && !commune && !pair && !cutsRoad;
  }

  forget(): void {
    [this.now, this.roads, this.cutting] = [ALL, "reading", new Set()];
    this.asked += 1;
  }

  passes(change: ChangeLine): boolean {
    const { properties } = change;
    const { status, kind, commune, pair, cutsRoad } = this.now;
    return (
      (!status || properties.status === status) &&
      (!kind || properties.kind === kind) &&
      (!commune || (properties.commune || NO_COMMUNE) === commune) &&
      (!pair || (pairKey(change) || DRAWN_PAIR) === pair) &&
      (!cutsRoad || this.cutting.has(properties.change_id))
    );
  }

  /** Which changes cut a road, or would; `onRead` hears of it. Nothing is asked while nobody wants to know. */
  async read(eventId: string, onRead: () => void): Promise<void> {
    if (!this.now.cutsRoad) return;
    const turn = ++this.asked;
    const found = await api.impacts(eventId).catch(() => null);
    if (turn !== this.asked) return;
    const changes = found?.changes ?? [];
    this.cutting = new Set(changes.filter((one) => one.roads_cut.length > 0).map((one) => one.change_id));
    const uncovered = changes.filter((one) => !one.roads_cut.length && !one.counts.road?.whole).length;
    this.roads = !found ? "failed" : !changes.some((one) => one.counts.road) ? "no_layer" : uncovered ? { uncovered } : "known";
    onRead();
  }
}

/** Communes of the changes, by name; the last is where no boundary is known. */
export function listCommunes(changes: readonly ChangeLine[]): [string, string][] {
  const names = new Map(changes.map(({ properties }) => [properties.commune, properties.commune_name || properties.commune]));
  const known = [...names].filter(([code]) => code !== "").sort(([, a], [, b]) => a.localeCompare(b, "vi"));
  return names.has("") ? [...known, [NO_COMMUNE, ""]] : known;
}
