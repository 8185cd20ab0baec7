/** The map's few colours. Legend and map take them from here, so they cannot drift apart. */

export const COLOURS = {
  flight: "#ffffff",
  flightCasing: "#123247",
  commune: "#ffffff",
  communeCasing: "rgba(20, 32, 43, 0.85)",
  footprint: "#00e5ff",
  gap: "#d3190f",
  picked: "#ffd400",
  aircraft: "#ff8a00",
  aircraftLost: "#8d969e",
  notFlownLine: "rgba(60, 70, 80, 0.34)",
  ground: "#e4e2da",
} as const;

/** Of confirmed changes; files for other programs have the same, from `change/export.py`. */
export const CHANGE_COLOURS = { landslide: "#d1300b", flood: "#1f6fb2", other: "#8a6d3b" } as const;

/** Diagonal hatch, the cartographer's sign for "no survey". */
export function hatchTile(line: string, stepPx: number, widthPx: number, back = false): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = stepPx;
  const pen = canvas.getContext("2d");
  if (!pen) return canvas;
  pen.strokeStyle = line;
  pen.lineWidth = widthPx;
  pen.lineCap = "square";
  pen.beginPath();
  for (const shift of [-stepPx, 0, stepPx]) {
    pen.moveTo(shift, back ? 0 : stepPx);
    pen.lineTo(shift + stepPx, back ? stepPx : 0);
  }
  pen.stroke();
  return canvas;
}
