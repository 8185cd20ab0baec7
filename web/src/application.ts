/** Ties the views to the state: each view draws what the state says and asks for changes, nothing else. */

import { intersects } from "ol/extent";
import { fromLonLat, toLonLat, transformExtent } from "ol/proj";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import { Board } from "./board";
import { heard, type Aloft } from "./airborne";
import { api, type FlightInfo } from "./api";
import { el, replace } from "./dom";
import { setLanguage, t, warned } from "./i18n";
import { Live } from "./live";
import { AircraftLayer } from "./map/aircraft";
import { Communes } from "./map/communes";
import { Ground } from "./map/ground";
import { MarkLayer } from "./map/marks";
import { isDrawnFinished, MosaicLayers } from "./map/mosaics";
import { Overlays, SMALL_PX } from "./map/overlays";
import { createMap, fitLonLat, hasLinkedView, labelControls, openingBounds, unionBounds } from "./map/view";
import { SpecialistLayers } from "./map/specialist";
import { AirborneCards, flyingHere } from "./panel/airborne";
import { Elsewhere } from "./panel/elsewhere";
import { EvidenceCard } from "./panel/evidence";
import { FlightList } from "./panel/flights";
import { FilmCard } from "./panel/video";
import { Header } from "./panel/header";
import { LayerPanel } from "./panel/layers";
import { Marks } from "./panel/marks";
import { Readout } from "./panel/readout";
import { CommuneSearch } from "./panel/search";
import { SpecialistPanel, thingAged, thingSaid } from "./panel/specialist";
import { imagedAt } from "./imaged";
import { outlinesWanted, readOutlined } from "./outlined";
import {
  currentEvent,
  defaultEvent,
  flightsShown,
  linkOf,
  newestDay,
  visibleFlights,
  writeLink,
  type State,
  type Store,
} from "./state";

const CLOCK_MS = 20_000;
const AIRBORNE_MS = 250;
const AIRCRAFT_ZOOM = 16;

export class Application {
  private readonly mapElement = el("div", { class: "map", tabindex: "0" });
  private readonly notice = el("p", { class: "notice", role: "status", hidden: true });
  private readonly warnings = el("ul", { class: "map-warnings", hidden: true });
  private readonly position = new Readout();
  private readonly drillFrame = el("div", { class: "drill-frame", hidden: true });
  private readonly panelSwitch = el("button", { type: "button", class: "panel-switch" });
  private readonly moves = new Elsewhere(
    () => this.leaveFor(() => void this.showWhole()),
    (flight) => this.goTo(flight),
  );
  private readonly film = new FilmCard();
  private readonly airborne = new AirborneCards(
    (one) => this.leaveFor(() => this.showAircraft(one)),
    (id) => this.chooseEvent(id),
  );
  private terrain: number[][] = [];
  private readonly map;
  private readonly ground;
  private readonly mosaics;
  private readonly communes;
  private readonly overlays;
  private readonly aircraft;
  private readonly specialist;
  private readonly special;
  private readonly marks;
  private readonly board;
  private readonly header;
  private readonly search;
  private readonly flights;
  private readonly layers;
  private readonly card;

  constructor(
    private readonly root: HTMLElement,
    private readonly store: Store,
  ) {
    const day = (): string | null => newestDay(store.state);
    this.search = new CommuneSearch(day, (hit) => {
      this.communes.highlight(String(hit.properties["code"]));
      this.openPanel(false);
      this.card.close();
      this.sayCommune(String(hit.properties["code"]), String(hit.properties["name"]), hit.bbox);
      if (hit.bbox) fitLonLat(this.map, hit.bbox, 17);
    });
    this.header = new Header(store, this.search.element, (id) => this.chooseEvent(id));
    this.flights = new FlightList(
      store,
      (flight) => this.goTo(flight),
      (flight) => this.playFilm(flight),
    );
    this.layers = new LayerPanel(store);
    this.special = new SpecialistPanel(store);
    this.board = new Board(store);
    this.card = new EvidenceCard(() => {
      this.overlays.clearPicked();
      this.store.set({ picked: null });
      this.communes.placeNames();
    });
    const markLayer = new MarkLayer();
    this.marks = new Marks(store, markLayer, this.card, (place) => this.lookAt(place), () => this.board.readMarks());
    this.lay();
    this.map = createMap(this.mapElement);
    markLayer.addTo(this.map);
    this.ground = new Ground(this.map);
    this.mosaics = new MosaicLayers(this.map);
    this.communes = new Communes(this.map, (boundariesFrom) => {
      const { picked, boundariesFrom: before } = this.store.state;
      if (picked) this.card.nameCommune(this.communes.nameAt(fromLonLat([...picked])));
      if (boundariesFrom !== before) this.store.set({ boundariesFrom });
    });
    this.overlays = new Overlays(this.map);
    this.aircraft = new AircraftLayer(this.map);
    this.specialist = new SpecialistLayers(this.map, (shares) => this.special.setShares(shares));
    this.map.on("singleclick", (event) => void this.pick(event));
    this.map.on("pointermove", (event) => this.showPosition(event.coordinate));
    this.map.on("moveend", () => {
      this.showPosition(this.map.getView().getCenter());
      this.sayOfSight(this.store.state);
    });
  }

  async start(): Promise<void> {
    this.store.subscribe((state, before) => this.render(state, before));
    const asking = [api.events(), api.flights(), api.terrain(), api.airborne()] as const;
    const [events, flights, terrain, said] = await Promise.all(asking);
    const airborne = heard([], said, performance.now());
    this.terrain = terrain.map((dem) => dem.bounds);
    this.ground.setTerrain(this.terrain);
    const asked = this.store.state.eventId;
    const found = events.some((event) => event.event_id === asked);
    const eventId = found ? asked : defaultEvent(events, flights, airborne);
    this.store.set({ events, flights, eventId, airborne });
    if (!hasLinkedView() || (asked && !found)) await this.showNewest();
    const linked = this.store.state.picked;
    if (linked) await this.pickInSight(...linked);
    window.setInterval(() => this.store.set({ nowMs: Date.now() }), CLOCK_MS);
    window.setInterval(() => this.drawAirborne(this.store.state), AIRBORNE_MS);
    new Live(this.store, this.board).follow();
  }

  private lay(): void {
    const panel = el("nav", { class: "panel", id: "panel" }, this.flights.element, this.marks.element, this.special.element, this.layers.element, this.layers.legend);
    this.panelSwitch.addEventListener("click", () => this.openPanel(!this.root.classList.contains("panel-open")));
    const over = [this.drillFrame, this.notice, this.warnings, this.moves.element, this.airborne.element, this.film.element, this.marks.tool, this.position.element, this.card.element];
    const stage = el("main", { class: "stage" }, this.mapElement, ...over);
    replace(this.root, this.header.element, el("div", { class: "body" }, panel, stage), this.panelSwitch);
  }

  private render(state: State, before: State): void {
    if (state.language !== before.language || !this.header.element.hasChildNodes()) this.speak(state);
    if (state.airborne !== before.airborne) this.drawAirborne(state);
    if (state.moved !== before.moved) {
      this.mosaics.update(state);
      return;
    }
    if (sameBesides(state, before, "airborne")) return;
    if (state.nowMs !== before.nowMs) {
      this.header.tick(state);
      this.flights.tick(state);
      this.special.tick(state);
      this.marks.tick(state);
      this.specialist.tick(state);
      this.card.tick(state.nowMs);
      return;
    }
    writeLink(linkOf(state));
    this.header.render(state);
    this.flights.render(state);
    this.layers.render(state);
    this.special.render(state);
    this.marks.render(state);
    this.ground.update(state);
    this.mosaics.update(state);
    this.communes.update(state);
    this.specialist.update(state);
    this.card.render(state.nowMs);
    this.drawAirborne(state);
    this.notice.hidden = state.online;
    this.notice.textContent = t("offline");
    const drill = currentEvent(state)?.is_drill ?? false;
    this.drillFrame.hidden = !drill;
    this.drillFrame.parentElement?.classList.toggle("drill", drill);
    this.drillFrame.textContent = `${t("drill")} – ${t("drillNote")}`;
    this.overlays.setFlights(state);
    this.sayOfSight(state);
    const moved = state.eventId !== before.eventId || state.flights !== before.flights;
    if (moved) void this.readOutlines(state.eventId);
    if (outlinesWanted(state) !== outlinesWanted(before)) void this.drawOutlines(state);
    const isBack = state.online && !before.online;
    if (isBack) this.askAgain(state);
    const drawn = (s: State): unknown[] => [s.revisions, s.spectral, s.hidden];
    const otherPicture = drawn(state).some((part, n) => part !== drawn(before)[n]);
    const mayBeKnown = this.card.isUnanswered && (isBack || moved);
    if (mayBeKnown && state.picked) void this.pickInSight(...state.picked);
    else if (otherPicture && state.picked) void this.pickAt(...state.picked);
  }

  /** The server is back: what it did not answer is asked again. */
  private askAgain(state: State): void {
    this.search.askAgain();
    this.communes.askAgain();
    this.ground.askAgain();
    this.mosaics.askAgain();
    if (state.unread.length) void this.drawOutlines(state);
  }

  private speak(state: State): void {
    setLanguage(state.language);
    localStorage.setItem("flycam.language", state.language);
    writeLink({ lang: state.language === "en" ? "en" : "" });
    labelControls(this.map);
    this.search.relabel();
    this.film.relabel();
    this.openPanel(this.root.classList.contains("panel-open"));
    this.showPosition(this.map.getView().getCenter());
  }

  private openPanel(open: boolean): void {
    this.root.classList.toggle("panel-open", open);
    this.map.updateSize();
    this.panelSwitch.textContent = open ? t("closeMenu") : t("menu");
  }

  private chooseEvent(eventId: string): void {
    writeLink({ event: eventId });
    this.card.close();
    this.film.close();
    this.store.set({ eventId, selectedFlight: null });
    void this.showNewest();
  }

  private playFilm(flight: FlightInfo): void {
    this.openPanel(false);
    this.card.close();
    this.film.show(flight.flight_id, flight.name);
  }

  private goTo(flight: FlightInfo): void {
    this.openPanel(false);
    this.leaveFor(() => this.showAll(flight.bounds));
  }

  /** Bounds in the part of the map that stays free: what must be said of them is known once they are in sight. */
  private showAll(bounds: FlightInfo["bounds"]): void {
    if (!bounds) return;
    fitLonLat(this.map, bounds);
    this.map.renderSync();
    const coveredPx = this.mapElement.offsetHeight - this.warnings.offsetTop;
    if (!this.warnings.hidden) fitLonLat(this.map, bounds, undefined, coveredPx);
  }

  /** Another place: the card of the point that is left would lie over it. */
  private leaveFor(go: () => void): void {
    this.card.close();
    go();
  }

  /** The page's own clock goes on between two words of the server. */
  private drawAirborne(state: State): void {
    const nowMs = performance.now();
    this.airborne.update(state, nowMs);
    this.aircraft.update(flyingHere(state), nowMs);
  }

  private showAircraft({ said }: Aloft): void {
    if (!said.aircraft) return;
    const view = this.map.getView();
    view.setCenter(fromLonLat(said.aircraft.lonlat));
    if ((view.getZoom() ?? 0) < AIRCRAFT_ZOOM) view.setZoom(AIRCRAFT_ZOOM);
  }

  private lookAt(place: [number, number]): void {
    this.openPanel(false);
    const coordinate = fromLonLat(place);
    this.map.getView().setCenter(coordinate);
    this.map.renderSync();
    window.setTimeout(() => this.keepInSight(coordinate)); // the card is there by then
  }

  /** The newest flight of the event, and what lies near it; the rest is offered (`moves`). */
  private async showNewest(): Promise<void> {
    const bounds = visibleFlights(this.store.state).flatMap((flight) => (flight.bounds ? [flight.bounds] : []));
    const opening = openingBounds(this.map, bounds, SMALL_PX);
    const flying = flyingHere(this.store.state).find(({ said }) => said.aircraft);
    if (opening) this.showAll(opening);
    else if (flying) this.showAircraft(flying);
    else await this.showWhole();
  }

  /** All flights of the event; without any, the communes; without those, the terrain. */
  private async showWhole(): Promise<void> {
    const bounds = flightsShown(this.store.state).flatMap((flight) => (flight.bounds ? [flight.bounds] : []));
    const known = unionBounds(bounds) ?? (await api.communesExtent().catch(() => null));
    const union = known ?? unionBounds(this.terrain);
    if (union) fitLonLat(this.map, union);
  }

  private async readOutlines(eventId: string | null): Promise<void> {
    const outlines = eventId ? await api.outlines(eventId).catch(() => null) : null;
    if (!outlines || eventId !== this.store.state.eventId) return;
    this.overlays.setOutlines(outlines);
    this.overlays.setFlights(this.store.state);
  }

  /** What must be said of the imagery in sight, on the map itself, and which imagery is out of sight. */
  private sayOfSight(state: State): void {
    const view = this.map.getView().calculateExtent(this.map.getSize());
    const lonlat = transformExtent(view, "EPSG:3857", "EPSG:4326");
    const placed = visibleFlights(state).filter((flight) => flight.bounds);
    const inSight = placed.filter((flight) => flight.bounds && intersects(flight.bounds, lonlat));
    this.moves.render(placed.filter((flight) => !inSight.includes(flight)));
    this.sayWarnings(state, inSight);
  }

  private sayWarnings(state: State, inSight: FlightInfo[]): void {
    const flightsBySentence: Record<string, string[]> = {};
    for (const flight of inSight) {
      for (const one of flight.warnings) {
        (flightsBySentence[warned(one, isDrawnFinished(state, flight))] ??= []).push(flight.name);
      }
    }
    // what is said of the same flights stands in one paragraph: a phone has little room
    const sentencesByFlights: Record<string, string[]> = {};
    for (const [sentence, names] of Object.entries(flightsBySentence)) {
      (sentencesByFlights[names.join(", ")] ??= []).push(sentence);
    }
    const said = Object.entries(sentencesByFlights).map(([names, sentences]) =>
      el("li", {}, el("strong", {}, names), `: ${sentences.join("; ")}`),
    );
    this.warnings.hidden = said.length === 0;
    replace(this.warnings, ...said);
  }

  private showPosition(coordinate: number[] | undefined): void {
    if (!coordinate) return;
    const [lon = 0, lat = 0] = toLonLat(coordinate);
    this.position.show(lon, lat);
  }

  private async drawOutlines(state: State): Promise<void> {
    const { drawn, unread } = await readOutlined(state);
    if (outlinesWanted(state) !== outlinesWanted(this.store.state)) return;
    this.overlays.setFootprints(drawn.footprints);
    this.overlays.setGaps(drawn.gaps);
    if (unread.join() !== this.store.state.unread.join()) this.store.set({ unread });
  }

  /** Whether the searched commune was imaged; nothing is said where flights over it were not measured yet. */
  private sayCommune(code: string, name: string, bbox: number[] | undefined): void {
    const flights = visibleFlights(this.store.state);
    const seen = flights.flatMap((flight): [string, number][] =>
      flight.communes.filter((one) => one.code === code).map((one) => [flight.name, one.covered_pct]),
    );
    const above = flights.filter((flight) => flight.bounds && bbox && intersects(flight.bounds, bbox));
    if (seen.length || above.every((flight) => flight.communes.length)) this.card.showCommune(name, seen);
  }

  private async pick(event: MapBrowserEvent): Promise<void> {
    const [lon = 0, lat = 0] = toLonLat(event.coordinate);
    const taken = this.marks.takes([lon, lat]);
    if (taken) {
      if (taken === "sector") return;
      this.overlays.setPicked(lon, lat, null);
      this.keepInSight(event.coordinate);
      return;
    }
    const mark = this.marks.at(event.pixel);
    const thing = mark ? null : this.specialist.at(event.pixel);
    if (mark || thing) {
      this.card.close();
      if (mark) this.marks.show(mark);
      if (thing) this.card.tell(() => thingSaid(thing, this.store.state), () => thingAged(thing, this.store.state));
      this.keepInSight(event.coordinate);
      return;
    }
    const state = this.store.state;
    const dot = this.overlays.dotAt(event.pixel);
    const small = visibleFlights(state).find((flight) => flight.flight_id === dot);
    if (small) {
      this.goTo(small);
      return;
    }
    await this.pickInSight(lon, lat);
  }

  private async pickInSight(lon: number, lat: number): Promise<void> {
    await this.pickAt(lon, lat);
    this.map.renderSync();
    this.keepInSight(fromLonLat([lon, lat]));
  }

  private async pickAt(lon: number, lat: number): Promise<void> {
    const coordinate = fromLonLat([lon, lat]);
    if (this.store.state.picked?.join() !== [lon, lat].join()) this.store.set({ picked: [lon, lat] });
    const state = this.store.state;
    // the boundaries may come while the pixel is asked for
    const imaged = await imagedAt(state, lon, lat);
    if (this.store.state.picked !== state.picked) return;
    this.overlays.setPicked(lon, lat, imaged.pixel);
    // the boundaries may have come while the pixel was asked for
    this.card.show({ lon, lat, commune: this.communes.nameAt(coordinate), ...imaged }, this.store.state.nowMs);
    this.communes.placeNames();
  }

  /** The card covers the lower part of the map on a phone, its right side elsewhere: the point moves out. */
  private keepInSight(coordinate: number[]): void {
    const size = this.map.getSize();
    const at = this.map.getPixelFromCoordinate(coordinate);
    if (!size || !at) return;
    const [width = 0, height = 0] = size;
    const { offsetLeft, offsetTop, offsetWidth } = this.card.element;
    const below = offsetWidth >= width;
    if (below ? (at[1] ?? 0) < offsetTop - 20 : (at[0] ?? 0) < offsetLeft - 20) return;
    const to = below ? [width / 2, Math.max(offsetTop / 2, 90)] : [offsetLeft / 2, height / 2];
    this.map.getView().centerOn(coordinate, size, to);
  }
}

/** Whether nothing but this changed: what comes twice a second must not write lists anew under the reader's hand. */
function sameBesides(state: State, before: State, part: keyof State): boolean {
  return (Object.keys(state) as (keyof State)[]).every((name) => name === part || state[name] === before[name]);
}
