/** A click on the map: a mark, a thing of another service, a confirmed change, a flight seen from afar, or the photo behind the ground. */

import type Map from "ol/Map";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import { boundingExtent } from "ol/extent";
import { fromLonLat, toLonLat } from "ol/proj";
import type { FlightInfo } from "./api";
import { findImagingFlight } from "./imagingFlight";
import { ChangeCard } from "./changes/card";
import type { Communes } from "./map/communes";
import type { ConfirmedChanges } from "./map/confirmedChanges";
import type { Overlays } from "./map/overlays";
import type { SpecialistLayers } from "./map/specialistLayers";
import type { PhotoCard } from "./panel/photoCard";
import type { MarkPanel } from "./panel/markPanel";
import { renderFeatureAge, renderFeature } from "./panel/specialistLayers";
import { visibleFlights, type Store } from "./state";

interface Views {
  readonly marks: MarkPanel;
  readonly specialist: SpecialistLayers;
  readonly overlays: Overlays;
  readonly communes: Communes;
  readonly confirmed: ConfirmedChanges;
  readonly card: PhotoCard;
}

/** Around an outline that is moved beside the card. */
const FREE_PX = 24;

export class MapClicks {
  private readonly changeCard: ChangeCard;

  constructor(
    private readonly map: Map,
    private readonly store: Store,
    private readonly views: Views,
    private readonly goTo: (flight: FlightInfo) => void,
  ) {
    this.changeCard = new ChangeCard(views.card);
  }

  async pick(event: MapBrowserEvent): Promise<void> {
    const [lon = 0, lat = 0] = toLonLat(event.coordinate);
    const taken = this.views.marks.takes([lon, lat]);
    if (taken) {
      if (taken === "sector") return;
      this.views.overlays.setPicked(lon, lat, null);
      this.keepInSight(event.coordinate);
      return;
    }
    const mark = this.views.marks.at(event.pixel);
    const thing = mark ? null : this.views.specialist.at(event.pixel);
    if (mark || thing) {
      this.views.card.close();
      if (mark) this.views.marks.show(mark);
      if (thing) this.views.card.tell(() => renderFeature(thing, this.store.state), () => renderFeatureAge(thing, this.store.state));
      this.keepInSight(event.coordinate);
      return;
    }
    const change = this.views.confirmed.at(this.map, event.pixel);
    if (change) {
      this.views.card.close();
      const inSight = (): void => this.keepInSight(event.coordinate);
      this.changeCard.show(change, () => this.store.state, () => void this.inSight(lon, lat), inSight);
      this.keepInSight(event.coordinate);
      return;
    }
    const state = this.store.state;
    const dot = this.views.overlays.dotAt(event.pixel);
    const small = visibleFlights(state).find((flight) => flight.flight_id === dot);
    if (small) {
      this.goTo(small);
      return;
    }
    await this.inSight(lon, lat);
  }

  async inSight(lon: number, lat: number): Promise<void> {
    await this.at(lon, lat);
    this.map.renderSync();
    this.keepInSight(fromLonLat([lon, lat]));
  }

  async at(lon: number, lat: number): Promise<void> {
    const coordinate = fromLonLat([lon, lat]);
    if (this.store.state.picked?.join() !== [lon, lat].join()) this.store.set({ picked: [lon, lat] });
    const state = this.store.state;
    const imaged = await findImagingFlight(state, lon, lat);
    if (this.store.state.picked !== state.picked) return;
    this.views.overlays.setPicked(lon, lat, imaged.pixel);
    this.views.marks.formGone();
    // the boundaries may have come while the pixel was asked for
    this.views.card.show({ lon, lat, commune: this.views.communes.nameAt(coordinate), ...imaged }, this.store.state.nowMs);
    this.views.communes.placeNames();
  }

  /** An outline that the card would cover, wholly beside it if that can be. */
  keepAllInSight(places: readonly (readonly [number, number])[]): void {
    this.map.updateSize();
    this.map.renderSync();
    const at = places.map((place) => this.map.getPixelFromCoordinate(fromLonLat([...place])));
    const [width = 0, height = 0] = this.map.getSize() ?? [];
    const { offsetLeft, offsetTop, offsetWidth } = this.views.card.element;
    if (!offsetWidth) return;
    const isBelow = offsetWidth >= width;
    const [right, bottom] = isBelow ? [width, offsetTop] : [offsetLeft, height];
    if (Math.min(right, bottom) < 4 * FREE_PX || at.every(([x = 0, y = 0]) => x < right && y < bottom)) return;
    const padding = [FREE_PX, width - right + FREE_PX, height - bottom + FREE_PX, FREE_PX];
    const view = this.map.getView();
    view.fit(boundingExtent(places.map((place) => fromLonLat([...place]))), { padding, maxZoom: view.getZoom() ?? 18 });
  }

  /** The card covers the lower part of the map on a phone, its right side elsewhere: the point moves out. */
  keepInSight(coordinate: number[]): void {
    this.map.updateSize(); // on a wide screen the card stands beside the map, and takes its room
    this.map.renderSync();
    const size = this.map.getSize();
    const at = this.map.getPixelFromCoordinate(coordinate);
    if (!size || !at) return;
    const [width = 0, height = 0] = size;
    const { offsetLeft, offsetTop, offsetWidth } = this.views.card.element;
    if (!offsetWidth) return; // a card that is not seen, as in a meeting, covers nothing
    const below = offsetWidth >= width;
    if (below ? (at[1] ?? 0) < offsetTop - 20 : (at[0] ?? 0) < offsetLeft - 20) return;
    const to = below ? [width / 2, Math.max(offsetTop / 2, 90)] : [offsetLeft / 2, height / 2];
    this.map.getView().centerOn(coordinate, size, to);
  }
}
