/**
 * Signs of specialist layers. Kind is told by the drawing, trouble by colour and shape together (a vermilion square
 * with a bar across; broken lines), so that nobody has to tell red from green. Colours: Okabe and Ito 2008.
 */

import Icon from "ol/style/Icon";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import CircleStyle from "ol/style/Circle";
import { isTrouble, type Condition, type LayerKind } from "../specialistLayers";

export const KIND_COLOURS: Readonly<Record<LayerKind, string>> = {
  power: "#f0e442",
  mast: "#f0e442",
  road: "#ffffff",
  school: "#cc79a7",
  house: "#e69f00",
  settlement: "#e69f00",
  hydrology: "#56b4e9",
  other: "#d8dde1",
};
export const TROUBLE_COLOUR = "#d55e00";
const INK = "#14202b";
const SIZE = 28;

/** Drawn on a field of 24 × 24. */
const GLYPHS: Readonly<Record<LayerKind, string>> = {
  power: "M13.5 3 6 13.5h5L9.5 21 18 10h-5.5z",
  mast: "M11 9h2l4 12h-2.2L12 12.5 9.2 21H7zM12 3.2a2.3 2.3 0 1 1 0 4.6 2.3 2.3 0 0 1 0-4.6zM5 2l1.3 1.3a4 4 0 0 0 0 4.4L5 9a6 6 0 0 1 0-7zM19 2a6 6 0 0 1 0 7l-1.3-1.3a4 4 0 0 0 0-4.4z",
  road: "M8 3h2.6L8.4 21H4.5zM13.4 3H16l3.5 18h-3.9zM11.3 4h1.4v3.5h-1.4zM11.2 10h1.6v4h-1.6zM11 16.5h2V21h-2z",
  school: "M12 4 2.5 9 12 14l7.5-4v5.5H21V9zM6 12.6V17c3 2.7 9 2.7 12 0v-4.4l-6 3.2z",
  house: "M12 3.5 2.5 12H5v8.5h5V15h4v5.5h5V12h2.5z",
  settlement: "M7 5.5 1.5 11H3v6h8v-6h1.5zM17 8.5l-4.5 4.6v5.4h9v-4.5H23z",
  hydrology: "M12 2.5c4 5.5 6.5 8.5 6.5 12a6.5 6.5 0 0 1-13 0c0-3.5 2.5-6.5 6.5-12z",
  other: "M12 6a6 6 0 1 1 0 12 6 6 0 0 1 0-12z",
};

/** At the foot of a sign: what it says was so some time ago. */
const CLOCK = `<circle cx="21.5" cy="21.5" r="5.7" fill="#fff" stroke="${INK}" stroke-width="1.4"/><path d="M21.5 18v3.8l2.6 1.6" fill="none" stroke="${INK}" stroke-width="1.5"/>`;

/** The sign as SVG; a legend and the map draw the same. */
export function layerSymbolSvg(kind: LayerKind, condition: Condition, old = false): string {
  const bad = isTrouble(condition);
  const plate = bad
    ? `<rect x="2" y="2" width="24" height="24" fill="${TROUBLE_COLOUR}" stroke="#fff" stroke-width="3"/><rect x="1" y="1" width="26" height="26" fill="none" stroke="${INK}" stroke-width="1.6"/>`
    : `<circle cx="14" cy="14" r="12" fill="${KIND_COLOURS[kind]}" stroke="#fff" stroke-width="2"/><circle cx="14" cy="14" r="13" fill="none" stroke="${INK}" stroke-width="1.6"/>`;
  const bar = bad ? `<path d="M4 24 24 4" stroke="#fff" stroke-width="4.5"/><path d="M4 24 24 4" stroke="${INK}" stroke-width="2.2"/>` : "";
  const glyph = `<path transform="translate(4.7 4.7) scale(0.775)" d="${GLYPHS[kind]}" fill="${bad ? "#fff" : INK}" fill-rule="evenodd"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE}" height="${SIZE}" viewBox="0 0 ${SIZE} ${SIZE}">${plate}${glyph}${bar}${old ? CLOCK : ""}</svg>`;
}

/** A line of the kind, as the legend shows it. */
export function layerLineSvg(kind: LayerKind, bad: boolean): string {
  const colour = bad ? TROUBLE_COLOUR : KIND_COLOURS[kind];
  const dash = bad ? ` stroke-dasharray="7 4"` : "";
  return `<svg viewBox="0 0 34 22" width="34" height="22"><rect width="34" height="22" fill="#6f7f5f"/><path d="M2 17 12 8l9 5 11-8" fill="none" stroke="${INK}" stroke-width="7"/>${bad ? `<path d="M2 17 12 8l9 5 11-8" fill="none" stroke="#fff" stroke-width="4"/>` : ""}<path d="M2 17 12 8l9 5 11-8" fill="none" stroke="${colour}" stroke-width="4"${dash}/></svg>`;
}

const kept: Record<string, Style[]> = {};

/** How a thing is drawn; `far`: so far out that a drawing would be a blot, a dot is drawn. */
export function layerStyle(kind: LayerKind, condition: Condition, old: boolean, far: boolean): Style[] {
  const bad = isTrouble(condition);
  return (kept[`${kind}/${bad}/${old}/${far}`] ??= made(kind, bad, old, far));
}

function made(kind: LayerKind, bad: boolean, old: boolean, far: boolean): Style[] {
  const colour = bad ? TROUBLE_COLOUR : KIND_COLOURS[kind];
  const width = (far ? 1.5 : 3) + (bad ? 1 : 0);
  // what is in trouble lies over what is not
  const zIndex = bad ? 2 : 0;
  const image = far
    ? new CircleStyle({ radius: bad ? 5 : 3.5, fill: new Fill({ color: colour }), stroke: new Stroke({ color: INK, width: 1.5 }) })
    : new Icon({ src: `data:image/svg+xml;utf8,${encodeURIComponent(layerSymbolSvg(kind, bad ? "damaged" : "unknown", old))}` });
  // a pole painted in two colours is seen on forest, on mud and by everybody
  const pole = new Style({ zIndex, stroke: new Stroke({ color: "#ffffff", width }) });
  return [
    new Style({ zIndex, stroke: new Stroke({ color: "rgba(10, 22, 32, 0.85)", width: width + 3 }) }),
    ...(bad ? [pole] : []),
    new Style({
      zIndex: zIndex + 1,
      stroke: new Stroke({ color: colour, width, lineDash: bad ? [10, 6] : undefined }),
      fill: new Fill({ color: bad ? "rgba(213, 94, 0, 0.35)" : "rgba(255, 255, 255, 0.16)" }),
      image,
    }),
  ];
}
