/**
 * A map that was opened before anything was flown goes to the first that is, and on when the aircraft leaves its view: the
 * room waits for the aircraft, not the other way round. Only until somebody touches the page.
 */

import type Map from "ol/Map";
import { containsCoordinate } from "ol/extent";
import { fromLonLat } from "ol/proj";
import { listLiveFlights } from "../panel/liveFlights";
import { visibleFlights, type State } from "../state";

export class AutoFollow {
  private waits = false;
  private isThere = false;

  constructor(private readonly map: Map) {
    for (const touched of ["pointerdown", "wheel", "keydown"]) {
      document.addEventListener(touched, () => (this.waits = false), { passive: true, capture: true });
    }
  }

  /** The map stands where it was opened. */
  begin(state: State): void {
    this.waits = !isAnywhere(state);
  }

  /** Whether the map is to go where something is flown. */
  isDue(state: State): boolean {
    if (!this.waits || !isAnywhere(state)) return false;
    if (this.isThere) return this.isOutOfView(state);
    this.isThere = true;
    return true;
  }

  private isOutOfView(state: State): boolean {
    const view = this.map.getView().calculateExtent(this.map.getSize());
    return listLiveFlights(state).some(
      ({ said }) => said.state === "flying" && said.aircraft && !containsCoordinate(view, fromLonLat(said.aircraft.lonlat)),
    );
  }
}

function isAnywhere(state: State): boolean {
  return visibleFlights(state).some((flight) => flight.bounds) || listLiveFlights(state).some(({ said }) => said.aircraft);
}
