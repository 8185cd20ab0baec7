/** A QR code as SVG, of our own making but for what stands in it, which is drawn and not written. */

import { encode } from "uqr";

/** Light around a QR code, in its squares: readers need it. */
const QUIET = 4;

export function renderQrCode(text: string): string {
  const { data, size } = encode(text, { border: QUIET });
  const dark = data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${dark.join("")}"/></svg>`;
}
