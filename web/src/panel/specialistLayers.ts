/** Specialist layers in the list: a switch each, whose they are, how old, and how many things are in trouble. */

import { el, replaceChildren } from "../dom";
import { t } from "../i18n";
import type { DrawnShares } from "../map/specialistLayers";
import { layerLineSvg, layerSymbolSvg } from "../map/layerSymbols";
import { formatNumber } from "../numbers";
import { formatLayerAge, isStale, formatCondition, type SpecialistLayer, type SpecialistFeature } from "../specialistLayers";
import type { State, Store } from "../state";
import { formatTime } from "../time";

export class SpecialistPanel {
  readonly element = el("section", { class: "layers specialist", hidden: true });
  private shares: DrawnShares = {};

  constructor(private readonly store: Store) {}

  setShares(shares: DrawnShares): void {
    this.shares = shares;
    this.render(this.store.state);
  }

  render(state: State): void {
    this.element.hidden = state.specialist.length === 0;
    replaceChildren(
      this.element,
      el("h2", {}, t("specialist")),
      el("ul", {}, ...state.specialist.map((one) => this.row(state, one))),
      ...(state.shownLayers.size ? [el("ul", {}, ...explained())] : []),
    );
  }

  /** Ages move with the clock; switches stay as they are under the reader's hand. */
  tick(state: State): void {
    for (const one of state.specialist) {
      const when = this.element.querySelector(`[data-when="${CSS.escape(one.layer_id)}"]`);
      const said = whenSaid(one, state.nowMs);
      if (when && when.textContent !== said.textContent) when.replaceWith(said);
    }
  }

  private row(state: State, one: SpecialistLayer): HTMLElement {
    const shown = state.shownLayers.has(one.layer_id);
    const change = (): void => {
      const next = new Set(this.store.state.shownLayers);
      if (!next.delete(one.layer_id)) next.add(one.layer_id);
      this.store.set({ shownLayers: next });
    };
    const share = shown ? this.shares[one.layer_id] : undefined;
    return el(
      "li",
      {},
      el(
        "label",
        {},
        el("input", { type: "checkbox", checked: shown, change, "data-specialist": one.layer_id }),
        drawing(layerSymbolSvg(one.kind, "unknown")),
        el(
          "span",
          {},
          one.name,
          one.troubles > 0 && el("strong", { class: "troubles" }, t("troubles", formatNumber(one.troubles))),
          whenSaid(one, state.nowMs),
          share && el("small", {}, t("layerShare", formatNumber(share.drawn), formatNumber(share.of))),
        ),
      ),
    );
  }
}

/** Whose it is, and how old. */
function whenSaid(one: SpecialistLayer, nowMs: number): HTMLElement {
  const old = isStale(one.valid, one.stale_after_s, nowMs);
  return el("small", { "data-when": one.layer_id }, one.owner && `${one.owner} · `, formatLayerAge(one.valid, nowMs), old && el("b", { class: "old" }, t("old")));
}

function explained(): HTMLElement[] {
  const row = (svg: string, word: string): HTMLElement => el("li", {}, drawing(svg), el("span", {}, word));
  return [row(layerSymbolSvg("mast", "no_signal"), t("legendTrouble")), row(layerLineSvg("road", true), t("legendTroubleLine")), row(layerSymbolSvg("mast", "unknown", true), t("legendOld"))];
}

/** Markup of our own making only: nothing that was read from a file comes here. */
function drawing(svg: string): HTMLElement {
  const holder = el("span", { class: "sign-plain", "aria-hidden": "true" });
  holder.innerHTML = svg;
  return holder;
}

/** What the card says of one thing that changes with the clock. */
export function renderFeatureAge(thing: SpecialistFeature, state: State): string {
  const layer = state.specialist.find((one) => one.layer_id === thing.layer_id);
  return `${formatLayerAge(thing.valid, state.nowMs)} ${isStale(thing.valid, layer?.stale_after_s ?? 0, state.nowMs)}`;
}

/** What the card says of one thing. */
export function renderFeature(thing: SpecialistFeature, state: State): [string, HTMLElement[]] {
  const layer = state.specialist.find((one) => one.layer_id === thing.layer_id);
  const old = isStale(thing.valid, layer?.stale_after_s ?? 0, state.nowMs);
  const when = thing.valid ? `${formatTime(thing.valid)}\n${formatLayerAge(thing.valid, state.nowMs)}` : t("validUnknown");
  const facts: [string, string][] = [
    [t("status"), formatCondition(thing)],
    [t("validTime"), when],
    [t("owner"), thing.owner ?? t("ownerUnknown")],
    [t("layerOf"), layer?.name ?? ""],
  ];
  return [
    thing.name ?? t(`kind_${thing.kind}`),
    [
      ...(thing.name ? [el("p", {}, t(`kind_${thing.kind}`))] : []),
      ...(old ? [el("p", { class: "warning" }, t(thing.valid ? "oldNote" : "oldUnknownNote"))] : []),
      el("dl", {}, ...facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
    ],
  ];
}
