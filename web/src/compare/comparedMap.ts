/** One of the two maps of a comparison: a side's pictures on the ground, with boundaries and marks over them. */

import Map from "ol/Map";
import View from "ol/View";
import { defaults as defaultInteractions } from "ol/interaction/defaults";
import { containsCoordinate } from "ol/extent";
import { fromLonLat, toLonLat, transformExtent } from "ol/proj";
import { buildCaption, type Caption, type CaptionSubject } from "../caption";
import { el, replaceChildren } from "../dom";
import { t, formatWarning } from "../i18n";
import { findImagingFlight, mayShowImagery, visibleKey, type ImagedPoint } from "../imagingFlight";
import type { Communes } from "../map/communes";
import type { ConfirmedChanges } from "../map/confirmedChanges";
import { disposeMap } from "../map/disposal";
import { BaseMap } from "../map/baseMap";
import { MarkLayer } from "../map/markLayer";
import { drawsFinishedRevision, MosaicLayers } from "../map/mosaics";
import { visibleFlights, type State } from "../state";
import { classificationBadge } from "../classification";
import { formatTime } from "../time";
import { createImageLayer, findOpenImage } from "./localImages";
import { stateForSide, writeSide, type Side } from "./sides";

export interface SharedView {
  view: View;
  terrain: number[][];
  communes: Communes;
  confirmed: ConfirmedChanges;
}

const NOTHING: ImagedPoint = { flight: null, pixel: null, unknown: null };

export class ComparedMap {
  readonly frame: HTMLElement;
  readonly map: Map;
  readonly target = el("div", { class: "compared-map" });
  private readonly ground: BaseMap;
  private readonly mosaics: MosaicLayers;
  private readonly marks = new MarkLayer();
  private readonly caption: HTMLElement;
  private readonly cross = el("span", { class: "cross", hidden: true, "aria-hidden": "true" });
  /** Of the picture and place that `seen` names; null: it is being asked. */
  private imaged: ImagedPoint | null = null;
  private seen = "";
  private drawn: { state: State; side: Side } | null = null;
  private at: number[] | null = null;
  private asked = 0;
  /** The picture of a file that the reader opened. */
  private laid: { of: ReturnType<typeof findOpenImage>; layer: ReturnType<typeof createImageLayer> } | null = null;
  private note: string | null = null;
  private readonly undraws: (() => void)[];

  constructor(
    private readonly which: "before" | "after",
    shared: SharedView,
  ) {
    const { target } = this;
    this.caption = el("p", { class: "compared-caption", role: "status" });
    this.frame = el("div", { class: `compared ${which}` }, target, this.cross, this.caption);
    this.map = new Map({
      target,
      controls: [],
      interactions: defaultInteractions({ altShiftDragRotate: false, pinchRotate: false }),
      pixelRatio: Math.min(window.devicePixelRatio || 1, 2),
      maxTilesLoading: 12,
      view: shared.view,
    });
    this.ground = new BaseMap(this.map);
    this.ground.setTerrain(shared.terrain);
    this.mosaics = new MosaicLayers(this.map);
    this.undraws = [shared.communes.drawOn(this.map), shared.confirmed.drawOn(this.map)];
    this.marks.addTo(this.map);
    target.setAttribute("aria-busy", "true");
    this.map.on(["movestart", "loadstart"], () => target.setAttribute("aria-busy", "true"));
    this.map.on("rendercomplete", () => target.setAttribute("aria-busy", "false"));
    this.map.on("postrender", () => {
      if (this.drawn && this.forgets(this.drawn.state, this.drawn.side)) this.say(this.drawn.state, this.drawn.side);
    });
  }

  /**
   * Draws a side; what it says of the change under review, else of the view's middle, is asked for anew where the picture or the place is another.
   * `note`: what is to be said of the comparison itself.
   */
  update(state: State, side: Side, isAnew: boolean, note: string | null): void {
    this.note = note;
    const own = stateForSide(state, side);
    this.ground.update(state);
    this.mosaics.update(own ?? { ...state, flights: [] });
    this.layOpened(side);
    this.marks.update(state);
    this.drawn = { state, side };
    this.forgets(state, side);
    this.say(state, side);
    if (isAnew) void this.ask(state, side);
  }

  private layOpened(side: Side): void {
    const opened = findOpenImage(side);
    if (opened === (this.laid?.of ?? null)) return;
    if (this.laid) {
      this.map.removeLayer(this.laid.layer);
      this.laid.layer.setSource(null); // the picture stays for the next map
      this.laid.layer.dispose();
    }
    this.laid = opened && { of: opened, layer: createImageLayer(opened) };
    if (this.laid) this.map.addLayer(this.laid.layer);
  }

  /** Where the other map's pointer is; null: nowhere. */
  point(coordinate: number[] | null): void {
    this.at = coordinate;
    const pixel = coordinate && this.map.getPixelFromCoordinate(coordinate);
    this.cross.hidden = !pixel;
    if (!pixel) return;
    this.cross.style.left = `${pixel[0]}px`;
    this.cross.style.top = `${pixel[1]}px`;
  }

  /** The view moved: the cross stays on its place. */
  pointAgain(): void {
    this.point(this.at);
  }

  /** The server is back: what it did not answer is asked again. */
  askAgain(): void {
    this.ground.askAgain();
    this.mosaics.askAgain();
  }

  dispose(): void {
    for (const undraw of this.undraws) undraw();
    this.layOpened({ kind: "picture", name: "" });
    disposeMap(this.map);
    this.map.setView(new View()); // the shared view would keep this map, and all its tiles, as a listener
    this.frame.remove();
    this.drawn = null;
  }

  private async ask(state: State, side: Side): Promise<void> {
    const own = stateForSide(state, side);
    const [lon = 0, lat = 0] = toLonLat(this.spot(state).at);
    const { seen } = this;
    const turn = ++this.asked;
    const imaged = own ? await findImagingFlight(own, lon, lat) : NOTHING;
    if (turn !== this.asked || seen !== this.seen) return;
    this.imaged = imaged;
    this.say(state, side);
  }

  /** What is spoken of, and where: the change under review while it is in sight, else the middle. */
  private spot({ reviewedAt }: State): { of: CaptionSubject; at: number[] } {
    const view = this.map.getView();
    const change = reviewedAt && fromLonLat([...reviewedAt]);
    const extent = this.extent();
    if (change && extent && containsCoordinate(extent, change)) return { of: "change", at: change };
    return { of: "middle", at: view.getCenter() ?? [0, 0] };
  }

  /** Null: nothing is in sight yet, or any more. */
  private extent(): number[] | null {
    const view = this.map.getView();
    return view.isDef() ? view.calculateExtent(this.map.getSize()) : null;
  }

  /** What is known of one picture or place is not said of another, not even until the answer comes. */
  private forgets(state: State, side: Side): boolean {
    const own = stateForSide(state, side);
    const seen = `${writeSide(side)} ${own ? visibleKey(own, this.spot(state).at) : ""}`;
    if (seen === this.seen) return false;
    this.seen = seen;
    this.imaged = null;
    return true;
  }

  private say(state: State, side: Side): void {
    const own = stateForSide(state, side);
    const extent = this.extent();
    const isSeenBeside = own !== null && extent !== null && mayShowImagery(own, bounds(transformExtent(extent, "EPSG:3857", "EPSG:4326")));
    const said = buildCaption(nameOf(state, side, this.imaged), this.imaged, state.nowMs, true, this.spot(state).of, isSeenBeside);
    const warnings = own ? visibleFlights(own).filter((one) => one === this.imaged?.flight).flatMap((one) => one.warnings.map((each) => formatWarning(each, drawsFinishedRevision(own, one)))) : [];
    replaceChildren(this.caption, ...lines(said, t(this.which), [...warnings, ...(this.note ? [this.note] : [])], own !== null ? null : t(side.kind !== "picture" ? "compareGone" : findOpenImage(side) ? "compareOpened" : "compareElsewhere")));
  }
}

/** The flight's name, whether the middle is imaged or not; of all there was by a moment: that moment, and whose picture it is. */
function nameOf(state: State, side: Side, imaged: ImagedPoint | null): string {
  if (side.kind === "flight") return state.flights.find((one) => one.flight_id === side.flightId)?.name ?? "";
  if (side.kind === "picture") return side.name;
  const until = t("untilMoment", formatTime(side.moment));
  return imaged?.flight ? `${until}: ${imaged.flight.name}` : until;
}

function lines({ name, facts, lesser, level, isDrill }: Caption, which: string, warnings: string[], gone: string | null): HTMLElement[] {
  const said = gone === null ? facts : [gone];
  return [
    el("b", {}, isDrill && el("span", { class: "drill-badge small" }, t("drillMark")), classificationBadge(level), `${which}: `, el("span", { class: "lesser" }, name)),
    el("span", {}, ...said.map((one, n) => el("span", { class: one === lesser ? "lesser" : "" }, `${n ? " · " : ""}${one}`))),
    ...warnings.map((one) => el("span", { class: "warning" }, one)),
  ];
}

function bounds([west = 0, south = 0, east = 0, north = 0]: number[]): [number, number, number, number] {
  return [west, south, east, north];
}
