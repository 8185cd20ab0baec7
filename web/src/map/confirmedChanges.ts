/** Confirmed changes on the map, for everybody: outlines by kind, with what they are and how large. */

import type Map from "ol/Map";
import GeoJSON from "ol/format/GeoJSON";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { transformExtent } from "ol/proj";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { api } from "../api";
import { formatChangeKind, type ChangeKind, type ChangeLine } from "../changes/types";
import { formatAreaM2 } from "../numbers";
import { isGuest } from "../marks";
import type { Store } from "../state";
import { CHANGE_COLOURS } from "./colours";
import { Z } from "./view";

/** Farther away the words would lie on each other. */
const WORDS_MOST_M = 1.5;

export class ConfirmedChanges {
  private readonly source = new VectorSource();
  private drawn: { layer: VectorLayer; isPaper: boolean }[] = [];
  private changes: readonly ChangeLine[] = [];
  private isReviewed = false;
  private asked = 0;

  constructor(private readonly store: Store) {
    store.subscribe((state, before) => {
      const isElsewhere = state.eventId !== before.eventId || state.asOf !== before.asOf;
      if (isElsewhere) {
        this.draw([]); // those of a drill, or of a later time, are not seen for a moment
        if (state.waiting) store.set({ waiting: null });
      }
      if (isElsewhere || state.changed !== before.changed) void this.read();
      if (state.language !== before.language) this.draw(this.changes);
      if (state.layers !== before.layers) this.show();
    });
  }

  /** Put away on screens while all changes are under review: each is drawn once. */
  setReviewed(isReviewed: boolean): void {
    this.isReviewed = isReviewed;
    this.show();
  }

  /** Of what lies in bounds (degrees), as it is drawn. */
  kindsIn([west = 0, south = 0, east = 0, north = 0]: number[]): ChangeKind[] {
    const extent = transformExtent([west, south, east, north], "EPSG:4326", "EPSG:3857");
    const kinds = this.source.getFeaturesInExtent(extent).map((feature) => feature.get("kind") as ChangeKind);
    return this.store.state.layers.changes ? [...new Set(kinds)].sort() : [];
  }

  /** The change under the pointer; of several the smallest, which the others would hide. */
  at(map: Map, pixel: number[]): ChangeLine | null {
    const layers = this.drawn.filter(({ isPaper }) => !isPaper).map(({ layer }) => layer);
    const hits = new Set<unknown>();
    map.forEachFeatureAtPixel(pixel, (feature) => void hits.add(feature.get("change_id")), { layerFilter: (layer) => layers.includes(layer as VectorLayer) });
    const found = this.changes.filter(({ properties }) => hits.has(properties.change_id));
    return found.sort((a, b) => a.properties.area_m2 - b.properties.area_m2)[0] ?? null;
  }

  private show(): void {
    for (const { layer, isPaper } of this.drawn) layer.setVisible(this.store.state.layers.changes && (isPaper || !this.isReviewed));
  }

  /** Draws on a map from now on; what is answered ends that. */
  drawOn(map: Map, isPaper = false): () => void {
    const layer = new VectorLayer({ source: this.source, zIndex: Z.marks - 1, declutter: true, style: (feature, m) => styleOf(feature.get("kind"), formatAreaM2(feature.get("area_m2"), null, feature.get("area_at_least")), m) });
    this.drawn.push({ layer, isPaper });
    this.show();
    map.addLayer(layer);
    return () => {
      this.drawn = this.drawn.filter((one) => one.layer !== layer);
      map.removeLayer(layer);
      layer.dispose(); // which the outlines would hold on to
    };
  }

  private async read(): Promise<void> {
    const turn = ++this.asked;
    const { eventId, asOf, session } = this.store.state;
    if (isGuest(session)) return; // who is not told asks for nothing
    const found = eventId && (await api.confirmed(eventId, asOf).catch(() => null));
    if (!found || turn !== this.asked) return;
    this.draw(found.features);
    this.store.set({ waiting: found.waiting ?? null });
  }

  private draw(changes: readonly ChangeLine[]): void {
    this.changes = changes;
    this.source.clear(true);
    this.source.addFeatures(new GeoJSON().readFeatures({ type: "FeatureCollection", features: changes }, { featureProjection: "EPSG:3857" }));
  }
}

function styleOf(kind: ChangeKind, area: string, metresAPixel: number): Style[] {
  const colour = CHANGE_COLOURS[kind];
  const text = metresAPixel > WORDS_MOST_M ? undefined : new Text({
    text: `${formatChangeKind(kind)} ${area}`,
    font: "600 14px sans-serif",
    overflow: true,
    fill: new Fill({ color: "#14202b" }),
    stroke: new Stroke({ color: "#ffffff", width: 4 }),
  });
  return [
    new Style({ stroke: new Stroke({ color: "#ffffff", width: 5 }), fill: new Fill({ color: `${colour}2e` }) }),
    new Style({ stroke: new Stroke({ color: colour, width: 3 }), text }),
  ];
}
