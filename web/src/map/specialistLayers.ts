/** Specialist layers on the map: fetched for the view, as fine as the view shows them. */

import type Map from "ol/Map";
import type Feature from "ol/Feature";
import type { FeatureLike } from "ol/Feature";
import GeoJSON from "ol/format/GeoJSON";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { containsExtent, getHeight, getWidth } from "ol/extent";
import { transformExtent } from "ol/proj";
import { api } from "../api";
import { debounce } from "../dom";
import { isStale, isTrouble, type LayerKind, type SpecialistLayer, type SpecialistFeature } from "../specialistLayers";
import type { State } from "../state";
import { layerStyle } from "./layerSymbols";
import { Z } from "./view";

const FAR_RESOLUTION = 30;
/** As many as an old PC draws without a pause. */
const MOST = 1500;
const HIT_PX = 8;

/** Which kind lies over which: what is small over what is long. */
const ORDER: readonly LayerKind[] = ["hydrology", "road", "power", "other", "house", "settlement", "school", "mast"];

interface Drawn {
  layer: VectorLayer;
  source: VectorSource;
  staleAfterS: number;
  /** How many of its things are drawn as old. */
  old: number;
  /** What was fetched: where, how fine, of which reading; null before, and after no answer. */
  loaded: { extent: number[]; resolution: number; refreshed: string; whole: boolean } | null;
}

/** How many of a layer's things in sight are drawn; all of them where it is not in here. */
export type DrawnShares = Readonly<Record<string, { drawn: number; of: number }>>;

export class SpecialistLayers {
  private readonly drawn: Record<string, Drawn> = {};
  private wanted: SpecialistLayer[] = [];
  private shares: DrawnShares = {};
  private nowMs = 0;
  private asked = 0;

  /** `onRead` hears of every answer, also of one that did not come. */
  constructor(
    private readonly map: Map,
    private readonly onShares: (shares: DrawnShares) => void,
    private readonly onRead: () => void = () => undefined,
  ) {
    map.on("moveend", debounce(() => this.load(), 200));
  }

  update(state: State): void {
    this.wanted = state.specialist.filter((one) => state.shownLayers.has(one.layer_id));
    const ids = this.wanted.map((one) => one.layer_id);
    for (const [id, { layer }] of Object.entries(this.drawn)) {
      if (ids.includes(id)) continue;
      this.map.removeLayer(layer);
      delete this.drawn[id];
    }
    for (const { layer_id: id, kind, stale_after_s: staleAfterS } of this.wanted) {
      this.drawn[id] ??= this.made(kind);
      this.drawn[id].staleAfterS = staleAfterS;
    }
    this.tick(state);
    this.load();
  }

  /** What has become old since is drawn as old; where nothing has, nothing is painted. */
  tick(state: State): void {
    this.nowMs = state.nowMs;
    for (const drawn of Object.values(this.drawn)) {
      const old = this.countOld(drawn);
      if (old !== drawn.old) drawn.layer.changed();
      drawn.old = old;
    }
  }

  /** Whether answers are still to come. */
  get isReading(): boolean {
    return this.asked > 0;
  }

  /** Layers that are to be seen and that the server did not answer for. */
  get unread(): SpecialistLayer[] {
    return this.wanted.filter((one) => !this.drawn[one.layer_id]?.loaded);
  }

  /** The thing under the pointer; of several, one in trouble before others. */
  at(pixel: number[]): SpecialistFeature | null {
    const layers = Object.values(this.drawn).map(({ layer }) => layer);
    const hits: SpecialistFeature[] = [];
    this.map.forEachFeatureAtPixel(pixel, (feature) => void hits.push((feature as Feature).getProperties() as SpecialistFeature), {
      layerFilter: (layer) => layers.includes(layer as VectorLayer),
      hitTolerance: HIT_PX,
    });
    return hits.sort((a, b) => rank(a) - rank(b))[0] ?? null;
  }

  private made(kind: LayerKind): Drawn {
    const source = new VectorSource();
    const style = (feature: FeatureLike, resolution: number) =>
      layerStyle(feature.get("kind"), feature.get("condition"), this.isOld(feature, drawn), resolution > FAR_RESOLUTION);
    const layer = new VectorLayer({ source, style, zIndex: Z.specialist + ORDER.indexOf(kind) / 10, updateWhileInteracting: false });
    this.map.addLayer(layer);
    const drawn: Drawn = { layer, source, staleAfterS: 0, old: 0, loaded: null };
    return drawn;
  }

  /** By its own time and the page's clock: what the server said of it was of the moment of asking. */
  private isOld(feature: FeatureLike, drawn: Drawn): boolean {
    return isStale(feature.get("valid") as string | null, drawn.staleAfterS, this.nowMs);
  }

  private countOld(drawn: Drawn): number {
    return drawn.source.getFeatures().filter((feature) => this.isOld(feature, drawn)).length;
  }

  private load(): void {
    for (const one of this.wanted) void this.fetch(one);
  }

  private async fetch({ layer_id: id, refreshed }: SpecialistLayer): Promise<void> {
    const view = this.map.getView();
    const resolution = view.getResolution() ?? FAR_RESOLUTION;
    const extent = view.calculateExtent(this.map.getSize());
    const drawn = this.drawn[id];
    if (!drawn || has(drawn.loaded, extent, resolution, refreshed)) return;
    const [w, h] = [getWidth(extent) / 4, getHeight(extent) / 4];
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = extent;
    const wide = [x0 - w, y0 - h, x1 + w, y1 + h];
    const loading = { extent: wide, resolution, refreshed, whole: true };
    drawn.loaded = loading;
    this.asked += 1;
    const answer = await api.layerFeatures(id, transformExtent(wide, "EPSG:3857", "EPSG:4326"), MOST, resolution).catch(() => null);
    this.asked -= 1;
    if (drawn.loaded !== loading) return this.onRead(); // the view went on
    if (!answer) {
      drawn.loaded = null;
      return this.onRead();
    }
    loading.whole = answer.numberReturned === answer.numberMatched;
    drawn.source.clear(true);
    drawn.source.addFeatures(new GeoJSON().readFeatures(answer, { featureProjection: "EPSG:3857" }));
    drawn.old = this.countOld(drawn);
    const { [id]: before, ...others } = this.shares;
    this.shares = loading.whole ? others : { ...others, [id]: { drawn: answer.numberReturned, of: answer.numberMatched } };
    if (before || !loading.whole) this.onShares(this.shares);
    this.onRead();
  }
}

/** What was not wholly sent is asked for again as soon as the view is smaller. */
function has(loaded: Drawn["loaded"], extent: number[], resolution: number, refreshed: string): boolean {
  if (!loaded || loaded.refreshed !== refreshed || !containsExtent(loaded.extent, extent)) return false;
  return loaded.resolution < resolution * (loaded.whole ? 2 : 1.01);
}

function rank(thing: SpecialistFeature): number {
  return isTrouble(thing.condition) ? 0 : 1;
}
