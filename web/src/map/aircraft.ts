/** Aircraft in the air: where each is, which way it heads, its track, and the ground in its newest picture. */

import type Map from "ol/Map";
import Feature from "ol/Feature";
import LineString from "ol/geom/LineString";
import Point from "ol/geom/Point";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import Fill from "ol/style/Fill";
import Icon from "ol/style/Icon";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { asArray } from "ol/color";
import { fromLonLat } from "ol/proj";
import { durationNowS, isFlying, findTrouble, type LiveFlight } from "../liveFlights";
import type { LonLat } from "../api";
import { t } from "../i18n";
import { formatAgo } from "../time";
import { rectangleContains, rectanglesOverlap, type Rectangle } from "./rectangles";
import { COLOURS } from "./colours";
import { FONT } from "./overlays";
import { Z } from "./view";

const SIZE_PX = 44;
const LABEL_PX = 30;
const [PAD_PX, LINE_PX] = [8, 21];

type Side = "below" | "right" | "left" | "above";
const SIDES: readonly Side[] = ["below", "right", "left", "above"];
const WRITTEN: Record<Side, { offsetX?: number; offsetY?: number; textBaseline: CanvasTextBaseline; textAlign: CanvasTextAlign }> = {
  below: { offsetY: LABEL_PX, textBaseline: "top", textAlign: "center" },
  above: { offsetY: -LABEL_PX, textBaseline: "bottom", textAlign: "center" },
  right: { offsetX: LABEL_PX, textBaseline: "middle", textAlign: "left" },
  left: { offsetX: -LABEL_PX, textBaseline: "middle", textAlign: "right" },
};

export class AircraftLayer {
  private readonly source = new VectorSource();
  private readonly signs: Record<string, HTMLCanvasElement> = {};
  private readonly pen = document.createElement("canvas").getContext("2d");
  private drawn = "";

  constructor(private readonly map: Map) {
    map.addLayer(new VectorLayer({ source: this.source, zIndex: Z.aircraft, updateWhileInteracting: true }));
  }

  /** Where on the map the signs are: nothing should lie over them. */
  boxes(aloft: readonly LiveFlight[]): Rectangle[] {
    return aloft.filter(isFlying).flatMap((one) => {
      const at = this.pixelOf(one);
      return at ? [around(at)] : [];
    });
  }

  /**
   * Draws these, each with its label where nothing of `over` lies on it; a page on which nothing moved and no age changed is
   * not painted again.
   */
  update(aloft: readonly LiveFlight[], nowMs: number, over: readonly Rectangle[]): void {
    const up = aloft.filter(isFlying);
    const labels = up.map((one) => labelOf(one, nowMs, up.length > 1));
    const sides = up.map((one, n) => this.sideOf(one, labels[n] ?? "", over));
    const drawn = JSON.stringify(
      up.map((one, n) => [one.said.aircraft, one.said.footprint, one.track.length, findTrouble(one, nowMs), labels[n], sides[n]]),
      (key, value: unknown) => (key === "age_s" ? undefined : value),
    );
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.source.clear(true);
    this.source.addFeatures(up.flatMap((one, n) => this.features(one, labels[n] ?? "", sides[n] ?? "below", nowMs)));
  }

  /** The first side on which the label is seen whole; below, where none is. */
  private sideOf(one: LiveFlight, label: string, over: readonly Rectangle[]): Side {
    const at = this.pixelOf(one);
    const [width = 0, height = 0] = this.map.getSize() ?? [];
    const view = { left: 0, top: 0, right: width, bottom: height };
    const isSeen = (side: Side): boolean => {
      const box = at && this.labelBox(at, label, side);
      return box !== null && rectangleContains(view, box) && !over.some((one) => rectanglesOverlap(one, box));
    };
    return SIDES.find(isSeen) ?? "below";
  }

  private pixelOf({ said }: LiveFlight): number[] | null {
    return said.aircraft ? (this.map.getPixelFromCoordinate(fromLonLat(said.aircraft.lonlat)) ?? null) : null;
  }

  private labelBox([x = 0, y = 0]: number[], label: string, side: Side): Rectangle {
    const lines = label.split("\n");
    if (this.pen) this.pen.font = FONT;
    const width = Math.max(...lines.map((line) => this.pen?.measureText(line).width ?? 9 * line.length)) + 2 * PAD_PX;
    const height = LINE_PX * lines.length + PAD_PX;
    const left = side === "right" ? x + LABEL_PX - PAD_PX : side === "left" ? x - LABEL_PX + PAD_PX - width : x - width / 2;
    const top = side === "below" ? y + LABEL_PX - PAD_PX / 2 : side === "above" ? y - LABEL_PX + PAD_PX / 2 - height : y - height / 2;
    return { left, top, right: left + width, bottom: top + height };
  }

  private features(one: LiveFlight, label: string, side: Side, nowMs: number): Feature[] {
    const lost = findTrouble(one, nowMs) !== null;
    const colour = lost ? COLOURS.aircraftLost : COLOURS.aircraft;
    const { footprint, aircraft } = one.said;
    const features: Feature[] = [];
    const add = (geometry: LineString | Polygon | Point, styles: Style[]): void => {
      const feature = new Feature(geometry);
      feature.setStyle(styles);
      features.push(feature);
    };
    if (one.track.length > 1) add(new LineString(projected(one.track)), cased(colour, 1.2, [2, 5]));
    if (footprint) add(new Polygon([projected(footprint)]), [inside(colour), ...cased(colour, 2.5, lost ? [8, 6] : undefined)]);
    if (aircraft) add(new Point(fromLonLat(aircraft.lonlat)), [this.symbol(aircraft.heading_deg, colour, label, side)]);
    return features;
  }

  private symbol(headingDeg: number | null, colour: string, label: string, side: Side): Style {
    const key = `${headingDeg === null}${colour}`;
    return new Style({
      image: new Icon({
        img: (this.signs[key] ??= sign(headingDeg !== null, colour)),
        rotation: ((headingDeg ?? 0) * Math.PI) / 180,
      }),
      text: new Text({
        text: label,
        font: FONT,
        ...WRITTEN[side],
        fill: new Fill({ color: "#14202b" }),
        backgroundFill: new Fill({ color: "rgba(255,255,255,0.94)" }),
        backgroundStroke: new Stroke({ color: colour, width: 2 }),
        padding: [3, 6, 2, 6],
      }),
    });
  }
}

/** The age of its newest picture; its name too, where there are others. */
function labelOf(one: LiveFlight, nowMs: number, named: boolean): string {
  const ageS = durationNowS(one.said.picture_s, one, nowMs);
  const age = ageS === null ? t("aloftNoPicture") : t("aloftPicture", formatAgo(ageS));
  return named ? `${one.said.name}\n${age}` : age;
}

function around([x = 0, y = 0]: number[]): Rectangle {
  return { left: x - SIZE_PX / 2, top: y - SIZE_PX / 2, right: x + SIZE_PX / 2, bottom: y + SIZE_PX / 2 };
}

function projected(places: LonLat[]): number[][] {
  return places.map((place) => fromLonLat(place));
}

/** What the aircraft sees now is an area, and its track a line: they cross each other all the time. */
function inside(colour: string): Style {
  const [red = 0, green = 0, blue = 0] = asArray(colour);
  return new Style({ fill: new Fill({ color: [red, green, blue, 0.16] }) });
}

function cased(colour: string, width: number, dash?: number[]): Style[] {
  return [
    new Style({ stroke: new Stroke({ color: "rgba(10, 22, 32, 0.75)", width: width + 2.5 }) }),
    new Style({ stroke: new Stroke({ color: colour, width, lineDash: dash }) }),
  ];
}

/** An arrowhead that points north, or a disc where nobody says which way the aircraft heads. */
function sign(isHeaded: boolean, colour: string): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE_PX;
  const pen = canvas.getContext("2d");
  if (!pen) return canvas;
  const middle = SIZE_PX / 2;
  pen.beginPath();
  if (isHeaded) {
    pen.moveTo(middle, 4);
    pen.lineTo(SIZE_PX - 8, SIZE_PX - 6);
    pen.lineTo(middle, SIZE_PX - 14);
    pen.lineTo(8, SIZE_PX - 6);
    pen.closePath();
  } else pen.arc(middle, middle, 12, 0, 2 * Math.PI);
  pen.lineJoin = "round";
  pen.lineWidth = 6;
  pen.strokeStyle = "#14202b";
  pen.stroke();
  pen.lineWidth = 3;
  pen.strokeStyle = "#ffffff";
  pen.stroke();
  pen.fillStyle = colour;
  pen.fill();
  return canvas;
}
