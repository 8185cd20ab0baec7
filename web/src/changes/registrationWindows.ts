/** The windows by which two pictures were laid on each other, over them: where that agreed, and where not. */

import type Map from "ol/Map";
import GeoJSON from "ol/format/GeoJSON";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import RegularShape from "ol/style/RegularShape";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { api } from "../api";
import { Z } from "../map/view";
import { formatNumber } from "../numbers";
import type { ChangeLine } from "./types";

export type WindowState = "agreed" | "disagreed" | "not found";

export interface RegistrationWindows {
  type: "FeatureCollection";
  features: { type: "Feature"; geometry: { type: "Point"; coordinates: [number, number] }; properties: { state: WindowState; residual_m: number | null } }[];
}

/** Still asked for; nobody answers; or how many agreed and did not (none: that was not kept). */
export type RegistrationSummary = "reading" | "failed" | { agreed: number; disagreed: number };

const LABELS_FROM_M = 0.4; // of ground in a pixel: closer, each says how far it is off
const HALO = new Stroke({ color: "#ffffff", width: 3 });
const AGREED = new CircleStyle({ radius: 5, fill: new Fill({ color: "#0072b2" }), stroke: new Stroke({ color: "#fff", width: 1.5 }) });
/** Told apart by the shape too, not by the colour alone. */
const DISAGREED = new RegularShape({ points: 4, radius: 7, angle: Math.PI / 4, fill: new Fill({ color: "#d55e00" }), stroke: new Stroke({ color: "#fff", width: 1.5 }) });

export class RegistrationWindowsOverlay {
  isOn = false;
  told: RegistrationSummary = "reading";
  private readonly source = new VectorSource();
  private on: { map: Map; layer: VectorLayer }[] = [];
  private shown = "";
  private asked = 0;

  attach(maps: readonly Map[]): void {
    const wanted = this.isOn ? maps : [];
    if (wanted.length === this.on.length && wanted.every((map, n) => map === this.on[n]?.map)) return;
    this.detach();
    this.on = wanted.map((map) => {
      const layer = new VectorLayer({ source: this.source, zIndex: Z.marks, style: (feature, resolution) => styleOf(feature.getProperties(), resolution) });
      map.addLayer(layer);
      return { map, layer };
    });
  }

  detach(): void {
    for (const { map, layer } of this.on) {
      map.removeLayer(layer);
      layer.dispose();
    }
    this.on = [];
  }

  /** Of the pictures of this change, if they are wanted; asked for once for each two pictures. */
  async show(change: ChangeLine | null, onRead: () => void): Promise<void> {
    const key = this.isOn && change ? `${change.properties.before}\n${change.properties.after}` : "";
    if (key === this.shown) return;
    const turn = ++this.asked;
    [this.shown, this.told] = [key, "reading"];
    this.source.clear(true);
    if (!key || !change) return;
    const found = await api.windows(change.properties.change_id).catch(() => null);
    if (turn !== this.asked) return;
    if (!found) this.told = "failed"; // asked again when it is put away and taken out again
    else {
      const sure = found.features.filter(({ properties }) => properties.state !== "not found");
      this.source.addFeatures(new GeoJSON().readFeatures({ ...found, features: sure }, { featureProjection: "EPSG:3857" }));
      const agreed = sure.filter(({ properties }) => properties.state === "agreed").length;
      this.told = { agreed, disagreed: sure.length - agreed };
    }
    onRead();
  }
}

function styleOf({ state, residual_m }: Record<string, unknown>, resolution: number): Style {
  const image = state === "agreed" ? AGREED : DISAGREED;
  if (resolution > LABELS_FROM_M || typeof residual_m !== "number") return new Style({ image });
  return new Style({ image, text: new Text({ text: `${formatNumber(residual_m, 1)} m`, offsetY: 15, font: "600 12px system-ui, sans-serif", stroke: HALO, fill: new Fill({ color: "#102a43" }) }) });
}
