/** Commune boundaries, fetched for the view and as coarse as the view allows; names when there is room. */

import type Map from "ol/Map";
import GeoJSON from "ol/format/GeoJSON";
import VectorImageLayer from "ol/layer/VectorImage";
import VectorSource from "ol/source/Vector";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import Fill from "ol/style/Fill";
import { containsExtent, getHeight, getWidth } from "ol/extent";
import type { FeatureLike } from "ol/Feature";
import { transformExtent } from "ol/proj";
import { api } from "../api";
import { debounced } from "../dom";
import { newestDay, type State } from "../state";
import { COLOURS } from "./colours";
import { Z } from "./view";

const FARTHEST_RESOLUTION = 1200;
/** Metres per pixel from which names are written, and from which they are written large. */
const NAMES_FROM_RESOLUTION = 420;
const LARGE_FROM_RESOLUTION = 100;
const FAMILY = '"Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';

export class Communes {
  private readonly source = new VectorSource();
  private readonly layer: VectorImageLayer;
  private loaded: { extent: number[]; resolution: number } | null = null;
  private highlighted: string | null = null;
  private on: string | null = null;

  /** `onLoaded` hears the day (yyyy-mm-dd) from which the boundaries drawn hold; null without boundaries. */
  constructor(
    private readonly map: Map,
    private readonly onLoaded: (validFrom: string | null) => void,
  ) {
    this.layer = new VectorImageLayer({
      source: this.source,
      zIndex: Z.communes,
      imageRatio: 1.2,
      style: (feature, resolution) => this.style(feature, resolution),
      declutter: true,
    });
    map.addLayer(this.layer);
    map.on("moveend", debounced(() => void this.load(), 200));
  }

  update(state: State): void {
    const on = newestDay(state);
    const shownNow = state.layers.communes && !this.layer.getVisible();
    this.layer.setVisible(state.layers.communes);
    if (on !== this.on) this.loaded = null;
    if (on !== this.on || shownNow) {
      this.on = on;
      void this.load();
    }
  }

  /** Marks one commune (a search hit) until another is chosen. */
  highlight(code: string | null): void {
    this.highlighted = code;
    this.layer.changed();
  }

  /** Name of the commune under a map coordinate, as far as boundaries have been fetched. */
  nameAt(coordinate: number[]): string | null {
    const found = this.source.getFeaturesAtCoordinate(coordinate)[0];
    return found ? String(found.get("name")) : null;
  }

  private async load(): Promise<void> {
    const view = this.map.getView();
    const resolution = view.getResolution() ?? FARTHEST_RESOLUTION;
    if (!this.layer.getVisible() || resolution > FARTHEST_RESOLUTION) return;
    const extent = view.calculateExtent(this.map.getSize());
    const enough =
      this.loaded && containsExtent(this.loaded.extent, extent) && this.loaded.resolution < resolution * 2;
    if (enough) return;
    const [w, h] = [getWidth(extent) / 2, getHeight(extent) / 2];
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = extent;
    const wide = [x0 - w, y0 - h, x1 + w, y1 + h];
    this.loaded = { extent: wide, resolution };
    const lonlat = transformExtent(wide, "EPSG:3857", "EPSG:4326");
    const on = this.on;
    const collection = await api.communes(lonlat, Math.max(2, resolution), on).catch(() => null);
    if (on !== this.on) return;
    if (!collection) {
      this.loaded = null;
      return;
    }
    const features = new GeoJSON().readFeatures(collection, { featureProjection: "EPSG:3857" });
    this.source.clear(true);
    this.source.addFeatures(features);
    const days = features.map((feature) => String(feature.get("valid_from"))).sort();
    this.onLoaded(days[days.length - 1] ?? null);
  }

  private style(feature: FeatureLike, resolution: number): Style[] {
    const strong = feature.get("code") === this.highlighted;
    const near = resolution < LARGE_FROM_RESOLUTION;
    const casingWidth = strong ? 7 : near ? 3.4 : 2;
    const casing = new Style({ stroke: new Stroke({ color: COLOURS.communeCasing, width: casingWidth }) });
    const line = new Style({
      stroke: new Stroke({ color: strong ? COLOURS.picked : COLOURS.commune, width: strong ? 4 : near ? 1.4 : 0.8 }),
    });
    if (resolution < NAMES_FROM_RESOLUTION || strong) {
      line.setText(
        new Text({
          text: String(feature.get("name")),
          font: `600 ${near || strong ? 17 : 14}px ${FAMILY}`,
          // names that would lie on another are left out, not squeezed
          overflow: true,
          padding: [2, 4, 2, 4],
          fill: new Fill({ color: "#14202b" }),
          stroke: new Stroke({ color: "rgba(255,255,255,0.92)", width: 4 }),
        }),
      );
    }
    return [casing, line];
  }
}
