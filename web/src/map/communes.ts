/** Commune boundaries, fetched for the view and as coarse as the view allows. */

import type Map from "ol/Map";
import GeoJSON from "ol/format/GeoJSON";
import VectorImageLayer from "ol/layer/VectorImage";
import VectorSource from "ol/source/Vector";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import { containsExtent, getHeight, getWidth } from "ol/extent";
import type { FeatureLike } from "ol/Feature";
import { transformExtent } from "ol/proj";
import { api } from "../api";
import { debounce } from "../dom";
import { currentEvent, newestDay, type State } from "../state";
import { waitForTiles } from "../requestOrder";
import { COLOURS } from "./colours";
import { CommuneLabels } from "./communeLabels";
import { Z } from "./view";

const FARTHEST_RESOLUTION = 1200;
/** Metres per pixel below which boundaries are drawn broad. */
const NEAR_RESOLUTION = 100;

export class Communes {
  private readonly source = new VectorSource();
  private readonly layer: VectorImageLayer;
  private readonly names: CommuneLabels;
  private loaded: { extent: number[]; resolution: number } | null = null;
  private highlighted: string | null = null;
  private on: string | null = null;
  /** Whether the event that is open is a drill; null: none is. */
  private isDrill: boolean | null = null;

  /** `onLoaded` hears the day (yyyy-mm-dd) from which the boundaries drawn hold; null without boundaries. */
  constructor(
    private readonly map: Map,
    private readonly onLoaded: (validFrom: string | null) => void,
  ) {
    this.layer = new VectorImageLayer({
      source: this.source,
      zIndex: Z.communes,
      imageRatio: 1.2,
      maxResolution: FARTHEST_RESOLUTION,
      style: (feature, resolution) => this.style(feature, resolution),
    });
    map.addLayer(this.layer);
    this.names = new CommuneLabels(map);
    map.on("moveend", debounce(() => void this.load(), 200));
  }

  /**
   * The same boundaries on another map, which has its own part of the ground in view. Gives back how to take them off
   * it: the boundaries live on, and must not keep what drew them. isPaper: with their names, which have no pointer to
   * tell them.
   */
  drawOn(map: Map, isPaper = false): () => void {
    const layer = new VectorImageLayer({
      source: this.source,
      zIndex: Z.communes,
      imageRatio: 1.2,
      maxResolution: FARTHEST_RESOLUTION,
      visible: this.layer.getVisible(),
      style: (feature, resolution) => this.style(feature, resolution),
    });
    map.addLayer(layer);
    let isDrawn = true;
    const names = isPaper && layer.getVisible() ? new CommuneLabels(map) : null;
    const name = (): void => names?.place(this.source.getFeatures());
    const fetch = debounce(() => void (isDrawn && this.fetch(map).then(() => isDrawn && name())), 200);
    map.on("moveend", fetch);
    return () => {
      isDrawn = false;
      map.un("moveend", fetch);
      map.removeLayer(layer);
      layer.dispose();
    };
  }

  update(state: State): void {
    const [on, isDrill] = [newestDay(state), currentEvent(state)?.is_drill ?? null];
    const isOther = on !== this.on || isDrill !== this.isDrill;
    const shownNow = state.layers.communes && !this.layer.getVisible();
    this.layer.setVisible(state.layers.communes);
    this.names.setVisible(state.layers.communes);
    if (isOther) this.loaded = null;
    if (isOther || shownNow) {
      [this.on, this.isDrill] = [on, isDrill];
      void this.load();
    }
  }

  /** The server is back: boundaries it did not answer for are asked for where the map stands now. */
  askAgain(): void {
    if (!this.loaded) void this.load();
  }

  /** Marks one commune (a search hit) until another is chosen. */
  highlight(code: string | null): void {
    this.highlighted = code;
    this.source.changed(); // on every map that it is drawn on
  }

  /** Name of the commune under a map coordinate, as far as boundaries have been fetched. */
  nameAt(coordinate: number[]): string | null {
    const found = this.source.getFeaturesAtCoordinate(coordinate)[0];
    return found ? String(found.get("name")) : null;
  }

  /** Writes the names anew: a card that opened or closed covers or frees a part of the map. */
  placeNames(): void {
    this.names.place(this.source.getFeatures());
  }

  private async load(): Promise<void> {
    await waitForTiles(); // by then it is settled where the map opens
    await this.fetch();
    this.placeNames();
  }

  private async fetch(map = this.map): Promise<void> {
    const view = map.getView();
    const resolution = view.getResolution() ?? FARTHEST_RESOLUTION;
    if (!this.layer.getVisible() || resolution > FARTHEST_RESOLUTION) return;
    const extent = view.calculateExtent(map.getSize());
    const enough =
      this.loaded && containsExtent(this.loaded.extent, extent) && this.loaded.resolution < resolution * 2;
    if (enough) return;
    const [w, h] = [getWidth(extent) / 2, getHeight(extent) / 2];
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = extent;
    const wide = [x0 - w, y0 - h, x1 + w, y1 + h];
    this.loaded = { extent: wide, resolution };
    const lonlat = transformExtent(wide, "EPSG:3857", "EPSG:4326");
    const { on, isDrill } = this;
    const collection = await api.communes(lonlat, Math.max(2, resolution), on, isDrill).catch(() => null);
    if (on !== this.on || isDrill !== this.isDrill) return;
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
    const near = resolution < NEAR_RESOLUTION;
    const [casing, line] = strong ? [7, 4] : near ? [3.4, 1.4] : [2, 0.8];
    // the chosen commune's line lies over its neighbours'
    const zIndex = strong ? 1 : 0;
    return [
      new Style({ zIndex, stroke: new Stroke({ color: COLOURS.communeCasing, width: casing }) }),
      new Style({ zIndex, stroke: new Stroke({ color: strong ? COLOURS.picked : COLOURS.commune, width: line }) }),
    ];
  }
}
