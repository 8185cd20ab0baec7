/** Names of communes, each where its part of the view has room for it. */

import type Map from "ol/Map";
import Feature from "ol/Feature";
import Point from "ol/geom/Point";
import type MultiPolygon from "ol/geom/MultiPolygon";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { containsExtent, getArea, intersects } from "ol/extent";
import { Z } from "./view";

/** Metres per pixel from which names are written, and from which they are written large. */
const FROM_RESOLUTION = 420;
const LARGE_FROM_RESOLUTION = 100;
const FAMILY = '"Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
/** Points tried across the view, in each direction, for a commune that reaches beyond it. */
const TRIED = 15;
const NAME_PX = 250;
const NAME_HEIGHT_PX = 44;
const CONTROLS = ".ol-zoom, .moves, .ol-scale-line, .position, .card, .drill-frame, .print-north, .print-classes";

type Areal = Polygon | MultiPolygon;

export class CommuneLabels {
  private readonly source = new VectorSource();
  private readonly layer: VectorLayer;

  constructor(private readonly map: Map) {
    this.layer = new VectorLayer({
      source: this.source,
      zIndex: Z.names,
      // names that would lie on another are left out, not squeezed
      declutter: true,
      updateWhileInteracting: false,
      style: (feature, resolution) => style(String(feature.get("name")), resolution),
    });
    map.addLayer(this.layer);
  }

  setVisible(visible: boolean): void {
    this.layer.setVisible(visible);
  }

  /** Writes the names anew for the view as it is. */
  place(communes: Feature[]): void {
    const view = this.map.getView();
    this.source.clear(true);
    if ((view.getResolution() ?? Infinity) > FROM_RESOLUTION) return;
    const [width = 0, height = 0] = this.map.getSize() ?? [];
    // half a name fits between the points tried and the view's edge
    const extent = view.calculateExtent([Math.max(width - NAME_PX, 1), Math.max(height - 60, 1)]);
    const isFree = this.freeOfControls();
    const names: Feature[] = [];
    for (const commune of communes) {
      const shape = commune.getGeometry() as Areal | undefined;
      const at = shape && intersects(shape.getExtent(), extent) ? roomFor(shape, extent, isFree) : null;
      if (at) names.push(new Feature({ geometry: new Point(at), name: commune.get("name") as string }));
    }
    this.source.addFeatures(names);
  }

  /** Whether a name written at a place would stay clear of the buttons and notes that lie over the map. */
  private freeOfControls(): (at: number[]) => boolean {
    const target = this.map.getTargetElement() as HTMLElement | null;
    if (!target) return () => true;
    const origin = target.getBoundingClientRect();
    const share = origin.width / (target.offsetWidth || 1) || 1; // a sheet of paper lies smaller on the screen
    const boxes = [...(target.parentElement?.querySelectorAll(CONTROLS) ?? [])]
      .map((control) => control.getBoundingClientRect())
      .filter((box) => box.width > 0);
    return (at) => {
      const pixel = this.map.getPixelFromCoordinate(at);
      if (!pixel) return true;
      const [x, y] = [(pixel[0] ?? 0) * share + origin.left, (pixel[1] ?? 0) * share + origin.top];
      const [across, down] = [(NAME_PX / 2) * share, (NAME_HEIGHT_PX / 2) * share];
      return boxes.every(
        (box) =>
          x + across < box.left || x - across > box.right || y + down < box.top || y - down > box.bottom,
      );
    };
  }
}

/** A point of the shape inside the view, as far from both their edges as the points tried allow. */
function roomFor(shape: Areal, extent: number[], isFree: (at: number[]) => boolean): number[] | null {
  if (containsExtent(extent, shape.getExtent())) {
    const inner = innerPoint(shape);
    if (isFree(inner)) return inner;
  }
  const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = extent;
  const inside: boolean[][] = [];
  for (let row = 0; row < TRIED; row++) {
    inside.push([]);
    for (let col = 0; col < TRIED; col++) {
      const x = x0 + ((col + 0.5) / TRIED) * (x1 - x0);
      const y = y0 + ((row + 0.5) / TRIED) * (y1 - y0);
      inside[row]?.push(shape.intersectsCoordinate([x, y]) && isFree([x, y]));
    }
  }
  let best: { room: number; row: number; col: number } | null = null;
  for (let row = 0; row < TRIED; row++) {
    for (let col = 0; col < TRIED; col++) {
      const room = roomAt(inside, row, col);
      if (room > (best?.room ?? 0)) best = { room, row, col };
    }
  }
  if (!best) return null;
  return [x0 + ((best.col + 0.5) / TRIED) * (x1 - x0), y0 + ((best.row + 0.5) / TRIED) * (y1 - y0)];
}

/** How many steps one can go left and right (a name is wide), up and down without leaving the shape. */
function roomAt(inside: boolean[][], row: number, col: number): number {
  const reach = (stepRow: number, stepCol: number): number => {
    let steps = 0;
    while (inside[row + stepRow * steps]?.[col + stepCol * steps]) steps++;
    return steps;
  };
  return Math.min(reach(0, -1), reach(0, 1)) + Math.min(reach(-1, 0), reach(1, 0));
}

function innerPoint(shape: Areal): number[] {
  if (shape instanceof Polygon) return shape.getInteriorPoint().getCoordinates().slice(0, 2);
  const parts = shape.getPolygons();
  const largest = parts.reduce((a, b) => (getArea(a.getExtent()) >= getArea(b.getExtent()) ? a : b));
  return largest.getInteriorPoint().getCoordinates().slice(0, 2);
}

function style(name: string, resolution: number): Style {
  const size = resolution < LARGE_FROM_RESOLUTION ? 17 : 14;
  return new Style({
    text: new Text({
      text: name.replace(" (", "\n("),
      font: `600 ${size}px ${FAMILY}`,
      padding: [2, 4, 2, 4],
      fill: new Fill({ color: "#14202b" }),
      stroke: new Stroke({ color: "rgba(255,255,255,0.92)", width: 4 }),
    }),
  });
}
