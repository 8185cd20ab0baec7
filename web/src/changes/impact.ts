/** What a change touches: roads that it cuts, houses, masts, lines in it or near it; and what nobody knows. */

import { api } from "../api";
import { el } from "../dom";
import { t } from "../i18n";
import { formatNumber } from "../numbers";
import { formatLayerAge, type LayerKind } from "../specialistLayers";
import { toSentenceCase } from "../textFolding";

interface Count {
  inside: number;
  near: number;
  /** Whether layers cover all ground of it: else there are so many at the least. */
  whole: boolean;
}

interface Thing {
  layer_id: string;
  kind: LayerKind;
  name: string | null;
  distance_m: number;
  /** Length of a line inside; null: it is no line. */
  under_m: number | null;
}

/** What came down, cubic metres with one sigma each, on so much of its ground. */
interface Volume {
  lost_m3: number;
  lost_sigma_m3: number;
  gained_m3: number;
  gained_sigma_m3: number;
  measured_m2: number;
  /** Neither is beyond two sigma: errors alone may come to as much. */
  nothing: boolean;
}

type NoVolume = "drawn" | "picture" | "not_finished" | "no_surface" | "little_known" | "little_stable";

interface ChangeImpact {
  change_id: string;
  status: string;
  /** Null: no layer of the kind covers the ground, so that nothing is known. */
  counts: Record<LayerKind, Count | null>;
  roads_cut: Thing[];
  touched: Thing[];
  layers: string[];
  area_m2: number;
  volume: Volume | null;
  /** Why it is not told; null of what is no landslide. */
  no_volume: NoVolume | null;
}

export interface ImpactAnswer {
  reach_m: Record<LayerKind, number>;
  layers: { layer_id: string; name: string; owner: string | null; valid: string | null; stale: boolean }[];
  changes: ChangeImpact[];
}

const KINDS: readonly LayerKind[] = ["road", "house", "settlement", "school", "mast", "power", "hydrology", "other"];
const MOST_NAMES = 4;

/** What is known of one change's impact: asked for once for every way it stands; undefined: still to come. */
export class Impacts {
  private key = "";
  private answer: ImpactAnswer | null | undefined;

  /** Null: the server does not answer. `onRead` hears of every answer that is still wanted. */
  of({ change_id, version }: { change_id: string; version: number }, onRead: () => void): ImpactAnswer | null | undefined {
    const key = `${change_id} ${version}`;
    if (key !== this.key) {
      [this.key, this.answer] = [key, undefined];
      void this.read(change_id, key, onRead);
    }
    return this.answer;
  }

  forget(): void {
    this.key = "";
  }

  private async read(changeId: string, key: string, onRead: () => void): Promise<void> {
    const answer = await api.impact(changeId).catch(() => null);
    if (key !== this.key) return;
    this.answer = answer;
    onRead();
  }
}

/** As a reader is told: roads cut first, then what is there, how much moved, by which layers, and what nobody knows. */
export function renderImpact(answer: ImpactAnswer | null | undefined, nowMs: number): HTMLElement[] {
  if (answer === undefined) return [el("p", { class: "impact-note", role: "status" }, t("touchedReading"))];
  const change = answer?.changes[0];
  if (!answer || !change) return [el("p", { class: "impact-note", role: "alert" }, t("touchedFailed"))];
  const known = KINDS.filter((kind) => change.counts[kind]);
  const unknown = KINDS.filter((kind) => !change.counts[kind] && kind !== "other");
  const facts: [string, HTMLElement][] = [
    ...(change.roads_cut.length ? [roadsCut(change)] : []),
    ...known.map((kind): [string, HTMLElement] => [t(`kind_${kind}`), counted(change, kind, answer.reach_m[kind])]),
    ...volumeSaid(change),
    ...(change.layers.length ? [layersSaid(answer, change, nowMs)] : []),
  ];
  return [
    ...(facts.length ? [el("dl", { class: "impact" }, ...facts.flatMap(([term, value]) => [el("dt", {}, term), value]))] : []),
    ...(unknown.length ? [el("p", { class: "impact-note" }, t("touchedUnknown", unknown.map((kind) => toSentenceCase(t(`kind_${kind}`))).join(", ")))] : []),
  ];
}

function volumeSaid({ volume, no_volume, area_m2 }: ChangeImpact): [string, HTMLElement][] {
  if (no_volume) return [[t("volume"), el("dd", {}, t("volumeUnknown"), el("small", {}, t(`noVolume_${no_volume}`)))]];
  if (!volume) return [];
  const metres = (value: number): string => formatNumber(value, 0);
  const said = [
    ["volumeLost", volume.lost_m3, volume.lost_sigma_m3] as const,
    ["volumeGained", volume.gained_m3, volume.gained_sigma_m3] as const,
  ]
    .filter(([, value, sigma], at) => at === 0 || value + sigma >= 0.5) // "0 ± 0" where nothing rose says nothing
    .map(([word, value, sigma]) => t(word, metres(value), metres(sigma)));
  const share = formatNumber(Math.min((100 * volume.measured_m2) / area_m2, 100), 0);
  const note = [volume.nothing && t("volumeNothing"), t("volumeNote", share)].filter(Boolean).join("; ");
  return [[t("volume"), el("dd", {}, said.join("\n"), el("small", {}, note))]];
}

function roadsCut(change: ChangeImpact): [string, HTMLElement] {
  const said = change.roads_cut.map(({ name, under_m }) => (under_m === null ? named(name) : t("roadUnder", named(name), formatNumber(under_m, 0))));
  const term = t(change.status === "accepted" ? "roadsCut" : "roadsWouldBe");
  return [term, el("dd", { class: "roads-cut" }, el("strong", {}, said.join("\n")))];
}

/** How many inside and near, and the first few by name. */
function counted(change: ChangeImpact, kind: LayerKind, reachM: number): HTMLElement {
  const { inside = 0, near = 0 } = change.counts[kind] ?? {};
  const metres = formatNumber(reachM, 0);
  if (!inside && !near) return el("dd", {}, t("touchedNone", metres));
  const parts = [inside && t("touchedInside", formatNumber(inside, 0)), near && t("touchedNear", formatNumber(near, 0), metres)].filter(Boolean);
  const names = [...new Set(change.touched.flatMap((one) => (one.kind === kind && one.name ? [one.name] : [])))];
  const first = names.slice(0, MOST_NAMES).join(", ") + (names.length > MOST_NAMES ? ", …" : "");
  return el("dd", {}, parts.join(" · "), first && el("small", {}, first));
}

function layersSaid(answer: ImpactAnswer, change: ChangeImpact, nowMs: number): [string, HTMLElement] {
  const layers = answer.layers.filter((one) => change.layers.includes(one.layer_id));
  const said = ({ name, owner, valid, stale }: (typeof layers)[number]): HTMLElement =>
    el("small", {}, `${name}${owner ? ` (${owner})` : ""}: ${formatLayerAge(valid, nowMs)}`, stale && el("b", { class: "old" }, t("old")));
  return [t("touchedBy"), el("dd", {}, ...layers.map(said))];
}

function named(name: string | null): string {
  return name ?? t("noName");
}
