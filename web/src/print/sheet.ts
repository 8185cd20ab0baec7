/** One sheet of paper: the map at a round scale with its grid, and around it what makes a picture a map. */

import Map from "ol/Map";
import View from "ol/View";
import { defaults as defaultInteractions } from "ol/interaction/defaults";
import { intersects } from "ol/extent";
import { toLonLat, transformExtent } from "ol/proj";
import { api, type DataLayer, type FlightInfo, type Legend, type NationalGrid } from "../api";
import { debounce, el, replaceChildren } from "../dom";
import { pickLanguage, t as said } from "../i18n";
import { disposeMap } from "../map/disposal";
import { BaseMap } from "../map/baseMap";
import { MarkLayer } from "../map/markLayer";
import { markSvg } from "../map/markSymbols";
import { findDrawnMosaic, MosaicLayers } from "../map/mosaics";
import { layerSymbolSvg } from "../map/layerSymbols";
import { SpecialistLayers, type DrawnShares } from "../map/specialistLayers";
import { formatChangeKind as changeSaid, type ChangeKind } from "../changes/types";
import { CHANGE_COLOURS } from "../map/colours";
import { classificationBadge, classificationWithin } from "../classification";
import { formatMarkKind, markCentre } from "../marks";
import { formatDegrees, formatGsd, formatLonLat, formatNumber } from "../numbers";
import { formatRevision } from "../revisions";
import type { ViewContext } from "../views";
import { currentEvent, drawnRevision, visibleFlights, type State } from "../state";
import { formatPeriod, formatTime, formatZone } from "../time";
import { GridLayer } from "./grid";
import { t } from "./texts";

/** Paper lying on its side, and the map on it, millimetres. */
export const PAPERS = { A4: { mapMm: [273, 148] }, A3: { mapMm: [396, 235] } } as const;
export type Paper = keyof typeof PAPERS;

export const SCALES = [500, 1000, 2000, 5000, 10_000, 25_000, 50_000, 100_000, 250_000] as const;

const MM_PER_PX = 25.4 / 96; // by definition of CSS
/** Paper shows more than a screen: the map is drawn twice as fine. */
const PIXEL_RATIO = 2;
const REST_MS = 250;
/** As many as stand at the foot, on two lines each. */
const MOST_PICTURES = 3;
const TITLE_PT = 15;
const LEAST_TITLE_PT = 7;
const LONGEST_BAR_MM = 55;

export class Sheet {
  readonly element: HTMLElement;
  private readonly target = el("div", { class: "print-map", tabindex: "0" });
  private readonly labels = el("div", { class: "print-labels", "aria-hidden": "true" });
  private readonly foot = el("footer", { class: "print-foot" });
  private readonly classes = el("aside", { class: "print-classes", hidden: true });
  private readonly level = el("span", { class: "print-level" });
  private readonly title = el("input", { class: "print-title", type: "text", maxlength: 90, "aria-label": t("title"), input: () => this.fitTitle() });
  private readonly map: Map;
  private readonly ground: BaseMap;
  private readonly mosaics: MosaicLayers;
  private readonly marks = new MarkLayer();
  private readonly specialist: SpecialistLayers;
  private readonly grid: GridLayer;
  private readonly undraws: (() => void)[];
  private readonly ask = debounce(() => void this.askGrid(), REST_MS);
  /** "asked", "failed", or what the server told of the ground in the sheet: null where there is no grid. */
  private told: NationalGrid | null | "asked" | "failed" = "asked";
  /** What the colours painted over the pictures mean; "asked" while that is on its way, null where none are painted. */
  private legends: Record<DataLayer, Legend> | null | "asked" | "failed" = null;
  private asked = 0;
  private isDrawing = true;
  private shares: DrawnShares = {};
  private readonly say: () => void;
  private readonly house: ViewContext;
  private scale: number;
  private paper: Paper = "A4";

  /** `onBusy` hears whether the sheet lacks something that is still to come. */
  constructor(
    house: ViewContext,
    private readonly state: State,
    onBusy: (busy: boolean) => void,
  ) {
    this.house = house;
    this.say = () => onBusy(this.isDrawing || this.told === "asked" || this.legends === "asked" || this.specialist.isReading);
    const from = house.map.getView();
    const event = currentEvent(state);
    this.title.value = house.communes.nameAt(from.getCenter() ?? []) ?? event?.name ?? "";
    this.map = new Map({
      target: this.target,
      controls: [],
      // the scale is chosen, so nothing but the place moves under the hand
      interactions: defaultInteractions({ mouseWheelZoom: false, doubleClickZoom: false, pinchZoom: false, pinchRotate: false, shiftDragZoom: false, altShiftDragRotate: false }),
      pixelRatio: PIXEL_RATIO,
      maxTilesLoading: 12,
      view: new View({ center: from.getCenter(), resolution: from.getResolution(), enableRotation: false, constrainResolution: false, maxZoom: 26 }),
    });
    this.ground = new BaseMap(this.map);
    this.ground.setTerrain(house.terrain());
    this.mosaics = new MosaicLayers(this.map);
    this.undraws = [house.communes.drawOn(this.map, true), house.confirmed.drawOn(this.map, true)];
    this.specialist = new SpecialistLayers(
      this.map,
      (shares) => (this.shares = shares),
      () => this.settle(),
    );
    this.marks.addTo(this.map);
    this.grid = new GridLayer(this.map);
    this.scale = this.scaleFor(house.map);
    const frame = el("div", { class: "print-frame" }, this.target, this.labels, el("span", { class: "print-north" }, el("b", {}, "▲"), t("north")), this.classes);
    const isDrill = event?.is_drill ?? false;
    const head = el("header", { class: "print-head" }, this.title, el("span", { class: "print-event" }, event?.name ?? ""), this.level, isDrill && el("strong", { class: "print-drill" }, said("drill"), el("small", {}, said("drillNote"))));
    this.element = el("article", { class: "print-sheet" }, head, frame, this.foot);
    this.map.on(["movestart", "loadstart"], () => this.draws(true));
    this.map.on("rendercomplete", () => this.draws(false));
    this.map.on("postrender", () => this.label());
    this.map.on("moveend", () => this.moved());
  }

  /** Once it is in the page. */
  attach(paper: Paper): void {
    this.ground.update(this.state);
    this.mosaics.update(this.state);
    this.marks.update(this.state);
    this.specialist.update(this.state);
    this.setPaper(paper);
    this.fitTitle();
    if (this.state.dataLayer) void this.askLegends();
  }

  setPaper(paper: Paper): void {
    this.paper = paper;
    for (const one of Object.keys(PAPERS)) this.element.classList.toggle(one.toLowerCase(), one === paper);
    this.map.updateSize();
    this.setScale(this.scale);
    this.moved();
  }

  get scaleDrawn(): number {
    return this.scale;
  }

  setScale(scale: number): void {
    this.scale = scale;
    this.map.getView().setResolution(this.resolution());
  }

  dispose(): void {
    this.asked += 1;
    for (const undraw of this.undraws) undraw();
    disposeMap(this.map);
    this.element.remove();
  }

  /** The finest round scale at which the sheet shows about what the other map shows. */
  private scaleFor(other: Map): number {
    const wideM = (other.getSize()?.[0] ?? 0) * (other.getView().getResolution() ?? 1) * this.shrink();
    const wanted = (wideM * 1000) / PAPERS[this.paper].mapMm[0];
    return SCALES.find((one) => one >= wanted * 0.8) ?? 250_000;
  }

  /** Metres on the ground for a metre of Web Mercator, at the middle. */
  private shrink(): number {
    const [, lat = 0] = toLonLat(this.map.getView().getCenter() ?? [0, 0]);
    return Math.cos((lat * Math.PI) / 180);
  }

  private resolution(): number {
    return (this.scale * MM_PER_PX) / 1000 / this.shrink();
  }

  private moved(): void {
    const view = this.map.getView();
    const off = (view.getResolution() ?? 0) / this.resolution();
    if (Math.abs(off - 1) > 1e-6) view.setResolution(this.resolution()); // another latitude, or the keys + and -
    this.told = "asked";
    this.write();
    this.say();
    this.ask(); // as long after this as the specialist layers are: when it is answered they have been asked for
  }

  private draws(isDrawing: boolean): void {
    this.isDrawing = isDrawing;
    this.say();
  }

  /** Something that was still to come is there: it is drawn, and what the sheet says of itself may be another. */
  private settle(): void {
    this.write();
    this.isDrawing = true;
    this.map.render();
    this.say();
  }

  private async askGrid(): Promise<void> {
    const asked = ++this.asked;
    const found = await api.vn2000Grid(this.bounds()).catch(() => "failed" as const);
    if (asked !== this.asked) return;
    this.told = found;
    this.grid.draw(typeof found === "object" && found ? found.lines : []);
    this.settle();
  }

  private async askLegends(): Promise<void> {
    this.legends = "asked";
    this.legends = await api.legends().catch(() => "failed" as const);
    this.settle();
  }

  /** A long title is written smaller: on paper nobody can scroll it. */
  private fitTitle(): void {
    for (let size = TITLE_PT; size >= LEAST_TITLE_PT; size -= 0.5) {
      this.title.style.fontSize = `${size}pt`;
      if (this.title.scrollWidth <= this.title.clientWidth) return;
    }
  }

  private bounds(): number[] {
    return transformExtent(this.map.getView().calculateExtent(this.map.getSize()), "EPSG:3857", "EPSG:4326");
  }

  private label(): void {
    const labels = this.grid.labels().map(({ edge, atPx, valueM }) => {
      const node = el("span", { class: `at-${edge}` }, formatNumber(valueM));
      node.style.setProperty(edge === "top" || edge === "bottom" ? "left" : "top", `${atPx.toFixed(1)}px`);
      return node;
    });
    replaceChildren(this.labels, ...labels);
  }

  private write(): void {
    const { state } = this;
    const bounds = this.bounds();
    const [lon = 0, lat = 0] = toLonLat(this.map.getView().getCenter() ?? [0, 0]);
    replaceChildren(this.level, classificationBadge(classificationWithin(state, bounds)));
    this.writeClasses();
    replaceChildren(
      this.foot,
      el("section", {}, this.bar(), el("p", {}, t("scaleOf", formatNumber(this.scale), this.paper)), el("p", {}, this.gridSaid()), el("p", {}, t("middle", formatLonLat(lon, lat)))),
      el("section", { class: "print-pictures" }, el("h2", {}, t("pictures")), ...this.pictures(bounds)),
      this.legend(bounds),
      el("section", { class: "print-small" }, state.asOf && el("p", {}, t("asOf", formatTime(state.asOf))), el("p", {}, t("printed", formatTime(state.nowMs), formatZone(state.nowMs))), el("p", {}, t("notOfficial"))),
    );
  }

  /** In the map, beside the colours that it explains. */
  private writeClasses(): void {
    const { legends } = this;
    const layer = this.state.dataLayer;
    this.classes.hidden = !layer;
    if (!layer) return;
    if (legends === null || typeof legends === "string") {
      replaceChildren(this.classes, el("p", {}, legends === "failed" ? t("classesFailed") : t("classesAsked")));
      return;
    }
    const { title, title_vi, classes } = legends[layer];
    const rows = classes.map((one) => {
      const swatch = el("span", { class: "print-swatch", "aria-hidden": "true" });
      swatch.style.backgroundColor = one.colour;
      return el("li", {}, swatch, pickLanguage(one.label_vi, one.label));
    });
    replaceChildren(this.classes, el("h2", {}, pickLanguage(title_vi, title)), el("ul", {}, ...rows), layer === "error" && el("p", {}, t("classesShift")));
  }

  private bar(): HTMLElement {
    const lengthM = [5, 2, 1].flatMap((k) => [1, 10, 100, 1000, 10_000].map((p) => k * p)).filter((m) => (m * 1000) / this.scale <= LONGEST_BAR_MM).reduce((a, b) => Math.max(a, b), 1);
    const line = el("span", { class: "print-bar-line" });
    line.style.width = `${(lengthM * 1000) / this.scale}mm`;
    return el("p", { class: "print-bar-of" }, line, lengthM >= 1000 ? `${formatNumber(lengthM / 1000)} km` : `${formatNumber(lengthM)} m`);
  }

  private gridSaid(): string {
    const { told } = this;
    if (told === "asked") return t("gridAsked");
    if (told === "failed") return t("gridFailed");
    if (!told) return t("gridNone");
    const step = told.step_m >= 1000 ? `${formatNumber(told.step_m / 1000)} km` : `${formatNumber(told.step_m)} m`;
    const whose = told.province ? t("gridWhose", told.province) : t("gridNearest");
    return `${t("gridOf", formatDegrees(told.central_meridian_deg), step)} ${whose}`;
  }

  private pictures(bounds: number[]): HTMLElement[] {
    const inSight = visibleFlights(this.state).filter((flight) => flight.bounds && intersects(flight.bounds, bounds));
    if (!inSight.length) return [el("p", {}, t("picturesNone"))];
    const more = inSight.length - MOST_PICTURES;
    const newest = inSight.slice(0, MOST_PICTURES).map((flight) => this.picture(flight));
    return more > 0 ? [...newest, el("p", {}, t("picturesMore", more))] : newest;
  }

  private picture(flight: FlightInfo): HTMLElement {
    const mosaic = findDrawnMosaic(this.state, flight);
    const revision = mosaic ? drawnRevision(this.state, mosaic) : 0;
    const facts = [formatPeriod(flight.first, flight.last), `${said("gsdShort")} ${formatGsd(flight.gsd_m)}`, formatRevision(flight, revision)];
    return el("p", { class: "print-picture" }, el("b", {}, flight.name), " ", el("span", {}, facts.join(" · ")));
  }

  /** Of what lies in the sheet: marks, confirmed changes, layers of other services. */
  private legend(bounds: number[]): HTMLElement | null {
    const rows = [...this.markRows(bounds), ...this.house.confirmed.kindsIn(bounds).map(changeRow), ...this.layerRows()];
    if (!rows.length) return null;
    return el("section", { class: "print-legend" }, el("h2", {}, t("legend")), el("div", { class: "print-legend-rows" }, ...rows));
  }

  private markRows([west = 0, south = 0, east = 0, north = 0]: number[]): HTMLElement[] {
    if (!this.state.layers.marks) return [];
    const inside = this.state.marks.filter((mark) => {
      const [lon, lat] = markCentre(mark);
      return lon >= west && lon <= east && lat >= south && lat <= north;
    });
    const open = new Set(inside.filter(({ properties }) => properties.status !== "done").map(({ properties }) => properties.kind));
    const kinds = [...new Set(inside.map(({ properties }) => properties.kind))];
    return kinds.map((kind) => row(markSvg(kind, open.has(kind) ? "open" : "done"), formatMarkKind(kind)));
  }

  /** With the time that they are of; what is not drawn of them is said. */
  private layerRows(): HTMLElement[] {
    const { specialist, shownLayers } = this.state;
    const unread = this.specialist.unread;
    return specialist
      .filter((one) => shownLayers.has(one.layer_id))
      .map((one) => {
        const share = this.shares[one.layer_id];
        const lacks = unread.includes(one) ? t("layerUnread") : share ? t("layerShare", formatNumber(share.drawn), formatNumber(share.of)) : null;
        const when = one.valid === null ? said("validUnknown") : formatTime(one.valid);
        return row(layerSymbolSvg(one.kind, "unknown"), [one.name, when, lacks].filter(Boolean).join(" · "));
      });
  }
}

function changeRow(kind: ChangeKind): HTMLElement {
  const colour = CHANGE_COLOURS[kind];
  return row(`<svg viewBox="0 0 20 20"><rect x="2" y="4" width="16" height="12" fill="${colour}2e" stroke="${colour}" stroke-width="3"/></svg>`, changeSaid(kind));
}

/** svg: markup of our own making only. */
function row(svg: string, words: string): HTMLElement {
  const sign = el("span", { "aria-hidden": "true" });
  sign.innerHTML = svg;
  return el("p", {}, sign, el("span", { class: "print-legend-words" }, words));
}
