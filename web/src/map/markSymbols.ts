/** Signs of field marks: a diamond each, told apart by the drawing in it; one that is done is pale and ticked off. */

import Icon from "ol/style/Icon";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import type { MarkKind, MarkStatus } from "../marks";

const INK = "#14202b";
const SIZE = 38;

const SIGNS: Readonly<Record<Exclude<MarkKind, "sector">, { plate: string; ink: string; glyph: string }>> = {
  rescue: { plate: "#d55e00", ink: "#fff", glyph: "M12 4a2.6 2.6 0 1 1 0 5.2A2.6 2.6 0 0 1 12 4zM5.5 5l2.3 5.2c1 .6 7.4.6 8.4 0L18.5 5l1.9.9-2.8 6.3-2.6 1V21h-2.2v-5h-1.6v5H9v-7.8l-2.6-1L3.6 5.9z" },
  blocked: { plate: "#f0e442", ink: INK, glyph: "M4 9.5h16v5H4zM6 16h2.5v5H6zM15.5 16H18v5h-2.5z" },
  crack: { plate: "#cc79a7", ink: INK, glyph: "M13.5 3 8 11h4l-3 4h3.5L9 21l7.5-8h-4l3.5-4.5h-4z" },
  landing: { plate: "#0072b2", ink: "#fff", glyph: "M6 4h3.5v6h5V4H18v16h-3.5v-6.5h-5V20H6z" },
  assembly: { plate: "#009e73", ink: "#fff", glyph: "M6 3h2v1h11l-3 4.5L19 13H8v8H6z" },
  other: { plate: "#fff", ink: INK, glyph: "M10.4 4h3.2l-.5 10h-2.2zM10.4 16.5h3.2V20h-3.2z" },
};

export function markSvg(kind: MarkKind, status: MarkStatus): string {
  const open = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE}" height="${SIZE}" viewBox="0 0 ${SIZE} ${SIZE}">`;
  const pale = status === "done" ? ` opacity="0.6"` : "";
  const tick = status === "done" ? `<path d="m10 20 6 6 12-14" fill="none" stroke="#fff" stroke-width="7"/><path d="m10 20 6 6 12-14" fill="none" stroke="${INK}" stroke-width="3.5"/>` : "";
  if (kind === "sector") {
    return `${open}<rect x="1" y="6" width="36" height="26" fill="#6f7f5f"/><path d="M6 26 9 11l18-2 5 12-9 7z" fill="rgba(0,114,178,.35)" stroke="#fff" stroke-width="5"/><path d="M6 26 9 11l18-2 5 12-9 7z" fill="none" stroke="#0072b2" stroke-width="3" stroke-dasharray="6 3"/></svg>`;
  }
  const { plate, ink, glyph } = SIGNS[kind];
  return `${open}<g${pale}><path d="M19 1.5 36.5 19 19 36.5 1.5 19z" fill="${plate}" stroke="#fff" stroke-width="2.5"/><path d="M19 .5 37.5 19 19 37.5.5 19z" fill="none" stroke="${INK}" stroke-width="1.3"/><path transform="translate(9.4 9.4) scale(0.8)" d="${glyph}" fill="${ink}"/></g>${tick}</svg>`;
}

const kept: Record<string, Style[]> = {};

export function markStyle(kind: MarkKind, status: MarkStatus): Style[] {
  return (kept[`${kind}/${status}`] ??= kind === "sector" ? sectorStyle(status) : [iconStyle(kind, status)]);
}

function iconStyle(kind: MarkKind, status: MarkStatus): Style {
  const src = `data:image/svg+xml;utf8,${encodeURIComponent(markSvg(kind, status))}`;
  return new Style({ image: new Icon({ src }), zIndex: status === "done" ? 1 : 2 });
}

function sectorStyle(status: MarkStatus): Style[] {
  const done = status === "done";
  return [
    new Style({ stroke: new Stroke({ color: "#ffffff", width: 6 }) }),
    new Style({
      stroke: new Stroke({ color: done ? "#5d6973" : "#0072b2", width: 3.5, lineDash: [12, 7] }),
      fill: new Fill({ color: done ? "rgba(93, 105, 115, 0.16)" : "rgba(0, 114, 178, 0.16)" }),
    }),
  ];
}
