/** Signs of field marks: a diamond each, told apart by the drawing in it; one that is done is pale and ticked off. */

import Icon from "ol/style/Icon";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import { MARK_INK, POINT_SIGNS, type MarkKind, type MarkStatus } from "../marks";

const SIZE = 38;

export function markSvg(kind: MarkKind, status: MarkStatus): string {
  const open = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE}" height="${SIZE}" viewBox="0 0 ${SIZE} ${SIZE}">`;
  const pale = status === "done" ? ` opacity="0.6"` : "";
  const tick = status === "done" ? `<path d="m10 20 6 6 12-14" fill="none" stroke="#fff" stroke-width="7"/><path d="m10 20 6 6 12-14" fill="none" stroke="${MARK_INK}" stroke-width="3.5"/>` : "";
  if (kind === "sector") {
    return `${open}<rect x="1" y="6" width="36" height="26" fill="#6f7f5f"/><path d="M6 26 9 11l18-2 5 12-9 7z" fill="rgba(0,114,178,.35)" stroke="#fff" stroke-width="5"/><path d="M6 26 9 11l18-2 5 12-9 7z" fill="none" stroke="#0072b2" stroke-width="3" stroke-dasharray="6 3"/></svg>`;
  }
  // a page left open while the server was replaced may meet a kind that it does not know
  const { plate, ink, glyph } = kind in POINT_SIGNS ? POINT_SIGNS[kind] : POINT_SIGNS.other;
  return `${open}<g${pale}><path d="M19 1.5 36.5 19 19 36.5 1.5 19z" fill="${plate}" stroke="#fff" stroke-width="2.5"/><path d="M19 .5 37.5 19 19 37.5.5 19z" fill="none" stroke="${MARK_INK}" stroke-width="1.3"/><path transform="translate(9.4 9.4) scale(0.8)" d="${glyph}" fill="${ink}"/></g>${tick}</svg>`;
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
