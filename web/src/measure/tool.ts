/** Length and area by taps on the map, in the work CRS. Escape and Backspace take a point back; Escape ends it where there is none. */

import "./measure.css";
import Feature from "ol/Feature";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import LineString from "ol/geom/LineString";
import MultiPoint from "ol/geom/MultiPoint";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import { toLonLat } from "ol/proj";
import VectorSource from "ol/source/Vector";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import { el, isTypingKey, replaceChildren } from "../dom";
import { Z } from "../map/view";
import { formatAreaM2, formatNumber } from "../numbers";
import type { ViewContext } from "../views";
import type { State } from "../state";
import { areaM2, crossesItself, lengthM, toUtm, utmZone } from "./utm";
import { t } from "./texts";

const COLOUR = "#6a1b9a";
const LEAST_FOR_AREA = 3;
const STYLE = [
  new Style({ stroke: new Stroke({ color: "#ffffff", width: 6 }), fill: new Fill({ color: `${COLOUR}22` }) }),
  new Style({
    stroke: new Stroke({ color: COLOUR, width: 3 }),
    image: new CircleStyle({ radius: 6, fill: new Fill({ color: COLOUR }), stroke: new Stroke({ color: "#fff", width: 2 }) }),
  }),
];

export class MeasureTool {
  private readonly element = el("section", { class: "measure", role: "group" });
  private readonly said = el("dl", { "aria-live": "polite" });
  private readonly source = new VectorSource();
  private readonly layer = new VectorLayer({ source: this.source, style: STYLE, zIndex: Z.picked });
  private corners: number[][] = [];
  private readonly onTap = (event: MapBrowserEvent): void => this.set([...this.corners, event.coordinate]);
  private readonly onKey = (event: KeyboardEvent): void => this.key(event);
  /** A tap that comes soon after another must not zoom the map away. */
  private readonly onTwice = (): boolean => false;

  constructor(
    private readonly house: ViewContext,
    private readonly onClosed: () => void,
  ) {
    house.map.addLayer(this.layer);
    house.map.on("click", this.onTap);
    house.map.on("dblclick", this.onTwice);
    window.addEventListener("keydown", this.onKey, true);
    house.stage.append(this.element);
    house.stage.classList.add("measuring");
    this.lay();
  }

  render(state: State, before: State): void {
    if (state.language !== before.language) this.lay();
  }

  close(): void {
    const { map, stage } = this.house;
    map.removeLayer(this.layer);
    this.layer.dispose();
    map.un("click", this.onTap);
    map.un("dblclick", this.onTwice);
    window.removeEventListener("keydown", this.onKey, true);
    stage.classList.remove("measuring");
    this.element.remove();
    this.onClosed();
  }

  private lay(): void {
    const button = (word: string, click: () => void, name: string): HTMLElement => el("button", { type: "button", class: name, click }, word);
    this.element.setAttribute("aria-label", t("title"));
    replaceChildren(
      this.element,
      el("h2", {}, t("title")),
      el("p", {}, t("hint")),
      this.said,
      el("div", { class: "measure-buttons" }, button(t("back"), () => this.back(), "measure-back"), button(t("again"), () => this.set([]), "measure-again"), button(t("end"), () => this.close(), "measure-end")),
    );
    this.say();
  }

  private set(corners: number[][]): void {
    this.corners = corners;
    this.source.clear(true);
    if (corners.length) this.source.addFeature(new Feature(new MultiPoint(corners)));
    if (corners.length >= LEAST_FOR_AREA) this.source.addFeature(new Feature(new Polygon([[...corners, corners[0] ?? []]])));
    else if (corners.length > 1) this.source.addFeature(new Feature(new LineString(corners)));
    this.say();
  }

  private back(): void {
    this.set(this.corners.slice(0, -1));
  }

  private say(): void {
    const [first] = this.corners;
    if (!first) return replaceChildren(this.said);
    const zone = utmZone(toLonLat(first)[0] ?? 0);
    const isSouth = (toLonLat(first)[1] ?? 0) < 0;
    const places = this.corners.map((corner) => {
      const [lon = 0, lat = 0] = toLonLat(corner);
      return toUtm(lon, lat, zone);
    });
    const area = crossesItself(places) ? t("crosses") : formatAreaM2(areaM2(places));
    const isArea = places.length >= LEAST_FOR_AREA;
    replaceChildren(
      this.said,
      el("dt", {}, t("length")),
      el("dd", { class: "measure-length" }, `${formatNumber(lengthM(places), 1)} m`),
      isArea && el("dt", {}, t("area")),
      isArea && el("dd", { class: "measure-area" }, area),
      el("dd", { class: "measure-crs" }, t("crs", `${zone}${isSouth ? "S" : "N"}`)),
    );
  }

  private key(event: KeyboardEvent): void {
    if (isTypingKey(event) || (event.key !== "Escape" && event.key !== "Backspace")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape" && !this.corners.length) this.close();
    else this.back();
  }
}
