/** Layer switches that carry the legend: each switch shows the sign it draws. */

import { api, type DataLayer, type Legend } from "../api";
import { el, replaceChildren, setText } from "../dom";
import { pickLanguage, t, type MessageKey } from "../i18n";
import { CHANGE_COLOURS, COLOURS } from "../map/colours";
import { isGuest } from "../marks";
import { OUTLINE_LAYERS, showsFinished } from "../flightOutlines";
import type { LayerName, State, Store } from "../state";
import { formatDate } from "../time";

/** `notForGuests`: what guests are not told of; a switch would read as "there is none". */
const SWITCHES: { layer: LayerName; word: MessageKey; sign: string; notForGuests?: boolean }[] = [
  { layer: "communes", word: "layerCommunes", sign: "commune" },
  { layer: "marks", word: "marks", sign: "mark", notForGuests: true },
  { layer: "changes", word: "changesConfirmed", sign: "change", notForGuests: true },
  { layer: "notFlown", word: "layerNotFlown", sign: "not-flown" },
  { layer: "hillshade", word: "layerHillshade", sign: "hillshade" },
  { layer: "footprints", word: "layerFootprints", sign: "footprint", notForGuests: true },
  { layer: "gaps", word: "layerGaps", sign: "gap", notForGuests: true },
];

const DATA: [DataLayer, MessageKey][] = [
  ["error", "dataError"],
  ["age", "dataAge"],
  ["gsd", "dataGsd"],
  ["surface", "dataSurface"],
];

const EXPLAINED: { word: MessageKey; sign: string; notForGuests?: boolean }[] = [
  { word: "legendNotFlown", sign: "not-flown" },
  { word: "legendNoTerrain", sign: "no-terrain" },
  { word: "legendFlight", sign: "flight" },
  { word: "legendPicked", sign: "picked" },
  { word: "legendAircraft", sign: "aircraft", notForGuests: true },
];

export class LayerPanel {
  readonly element = el("section", { class: "layers" });
  /** Colours of what is painted over the imagery; stands at the foot of the panel however long the lists are. */
  readonly legend = el("section", { class: "layers data-legend", hidden: true });

  /** The switches; the slider stays where it is while they are written anew under the hand that holds it. */
  private readonly switches = el("div", {});
  private readonly slider = el("input", { type: "range", min: 0, max: 100, step: 5, id: "opacity", input: () => this.store.set({ opacity: Number(this.slider.value) / 100 }) });
  private readonly sliderSaid = el("label", { for: "opacity" });
  private readonly below = el("div", {});
  private legends: Record<DataLayer, Legend> | null = null;

  constructor(private readonly store: Store) {
    this.element.append(this.switches, el("div", { class: "opacity" }, this.sliderSaid, this.slider), this.below);
  }

  /** The one thing that a hand moves many times a second. */
  renderOpacity({ opacity }: State): void {
    const percent = Math.round(100 * opacity);
    if (Number(this.slider.value) !== percent) this.slider.value = String(percent);
    setText(this.sliderSaid, `${t("opacity")}: ${percent} %`);
  }

  render(state: State): void {
    this.renderOpacity(state);
    const isTold = (item: { notForGuests?: boolean }): boolean => !(item.notForGuests && isGuest(state.session));
    replaceChildren(
      this.switches,
      el("h2", {}, t("layers")),
      el("ul", {}, ...SWITCHES.filter(isTold).map((item) => this.row(state, item.layer, item.word, item.sign))),
    );
    replaceChildren(
      this.below,
      this.dataChoice(state),
      el("h2", {}, t("legend")),
      el("ul", {}, ...EXPLAINED.filter(isTold).map((item) => el("li", {}, sign(item.sign), el("span", {}, t(item.word))))),
    );
    this.legend.hidden = !state.dataLayer;
    replaceChildren(this.legend, ...(state.dataLayer ? this.explained(state.dataLayer) : []));
  }

  /** What is painted over the imagery about its pixels: nothing, or one of four. */
  private dataChoice(state: State): HTMLElement {
    const choose = (e: Event): void =>
      this.store.set({ dataLayer: ((e.target as HTMLSelectElement).value || null) as DataLayer | null });
    const option = (value: DataLayer | "", word: MessageKey): HTMLElement =>
      el("option", { value, selected: value === (state.dataLayer ?? "") }, t(word));
    return el(
      "label",
      { class: "data-layer" },
      el("span", {}, t("dataLayer")),
      el("select", { change: choose }, option("", "dataNone"), ...DATA.map(([layer, word]) => option(layer, word))),
    );
  }

  private explained(layer: DataLayer): (HTMLElement | false)[] {
    if (!this.legends) {
      void this.readLegends();
      return [el("p", { class: "empty" }, this.store.state.online ? t("loading") : t("noAnswer"))];
    }
    const { title, title_vi, classes } = this.legends[layer];
    const swatch = (colour: string): HTMLElement => {
      const box = el("span", { class: "swatch", "aria-hidden": "true" });
      box.style.backgroundColor = colour;
      return box;
    };
    const rows = classes.map((one) =>
      el("li", {}, swatch(one.colour), el("span", {}, pickLanguage(one.label_vi, one.label))),
    );
    return [
      el("h3", {}, pickLanguage(title_vi, title)),
      el("ul", {}, ...rows),
      layer === "error" && el("small", {}, t("errorNote")),
      layer === "gsd" && el("small", {}, t("gsdNote")),
    ];
  }

  /** Every drawing of the panel asks while they are not there, so also the one when the server is back. */
  private async readLegends(): Promise<void> {
    const legends = await api.legends().catch(() => null);
    if (!legends || this.legends) return;
    this.legends = legends;
    this.render(this.store.state);
  }

  private row(state: State, layer: LayerName, word: MessageKey, name: string): HTMLElement {
    const change = (): void =>
      this.store.set({ layers: { ...this.store.state.layers, [layer]: !this.store.state.layers[layer] } });
    const since = layer === "communes" ? state.boundariesFrom : null;
    const small = (said: MessageKey, ...values: string[]): HTMLElement => el("small", {}, t(said, ...values));
    const older = state.layers[layer] && OUTLINE_LAYERS.includes(layer) && showsFinished(state);
    const unread = state.layers[layer] && state.unread.includes(layer);
    return el(
      "li",
      {},
      el(
        "label",
        {},
        el("input", { type: "checkbox", checked: state.layers[layer], change, "data-layer": layer }),
        sign(name),
        el("span", {}, t(word), since && small("communesFrom", formatDate(since)), older && small("outlinedAsIngested"), unread && small("layerUnread")),
      ),
    );
  }
}

const LINES: Record<string, { colour: string; width: number; dash?: string; fill?: string }> = {
  commune: { colour: COLOURS.commune, width: 1.6 },
  flight: { colour: COLOURS.flight, width: 1.6, dash: "5 3" },
  footprint: { colour: COLOURS.footprint, width: 1.4 },
  gap: { colour: COLOURS.gap, width: 2, fill: "url(#hatch-gap)" },
};

/** A small drawing of the sign, on the ground it usually lies on. */
function sign(name: string): HTMLElement {
  const holder = el("span", { class: `sign sign-${name}`, "aria-hidden": "true" });
  holder.innerHTML = drawing(name);
  return holder;
}

function drawing(name: string): string {
  const open = `<svg viewBox="0 0 34 22" width="34" height="22">`;
  const back = (fill: string): string => `<rect width="34" height="22" fill="${fill}"/>`;
  if (name === "not-flown") {
    const lines = [-16, -8, 0, 8, 16, 24, 32].map((x) => `M${x} 22l22-22`).join("");
    return `${open}${back(COLOURS.ground)}<path d="${lines}" stroke="#6b747c" stroke-width="1.2"/></svg>`;
  }
  if (name === "hillshade") {
    return `${open}${back("#c9c7bd")}<path d="M0 22 11 6l7 9 6-7 10 14z" fill="#8b8a80"/><path d="M11 6l-4 16h8zM24 8l-3 14h8z" fill="#f1efe6"/></svg>`;
  }
  if (name === "no-terrain") {
    const fade = `<linearGradient id="fade"><stop offset="0.2" stop-color="#9c9a90"/><stop offset="0.8" stop-color="#9c9a90" stop-opacity="0"/></linearGradient>`;
    return `${open}<defs>${fade}</defs>${back(COLOURS.ground)}<rect width="34" height="22" fill="url(#fade)"/></svg>`;
  }
  if (name === "picked") {
    return `${open}${back("#6f7f5f")}<rect x="4" y="4" width="26" height="14" fill="none" stroke="${COLOURS.picked}" stroke-width="2"/><circle cx="17" cy="11" r="4" fill="${COLOURS.picked}" stroke="#14202b" stroke-width="1.6"/></svg>`;
  }
  if (name === "mark") {
    return `${open}${back("#6f7f5f")}<path d="M17 2l9 9-9 9-9-9z" fill="#d55e00" stroke="#fff" stroke-width="1.6"/></svg>`;
  }
  if (name === "change") {
    const path = "M6 17 9 6l8-2 9 5-3 9-8-2z";
    return `${open}${back("#6f7f5f")}<path d="${path}" fill="none" stroke="#fff" stroke-width="5"/><path d="${path}" fill="${CHANGE_COLOURS.landslide}2e" stroke="${CHANGE_COLOURS.landslide}" stroke-width="3"/></svg>`;
  }
  if (name === "aircraft") {
    const way = `<path d="M2 19 13 13" fill="none" stroke="${COLOURS.aircraft}" stroke-width="2"/>`;
    return `${open}${back("#6f7f5f")}${way}<path d="M20 4l-1 13-4-4-5-1z" fill="${COLOURS.aircraft}" stroke="#fff" stroke-width="1.4"/></svg>`;
  }
  const line = LINES[name] ?? { colour: "#fff", width: 1 };
  const hatch =
    name === "gap"
      ? `<path d="M0 0l22 22M8 0l22 22M16 0l22 22M-8 0l22 22" stroke="${COLOURS.gap}" stroke-width="1.6"/>`
      : "";
  const shape = `<rect x="4" y="4" width="26" height="14" fill="none"`;
  return `${open}${back("#6f7f5f")}${hatch}${shape} stroke="#14202b" stroke-width="${line.width + 2}"/>${shape} stroke="${line.colour}" stroke-width="${line.width}" ${line.dash ? `stroke-dasharray="${line.dash}"` : ""}/></svg>`;
}
