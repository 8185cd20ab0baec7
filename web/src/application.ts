/** Ties the views to the state: each view draws what the state says and asks for changes, nothing else. */

import "ol/ol.css";
import { intersects } from "ol/extent";
import { fromLonLat, toLonLat } from "ol/proj";
import { MapData } from "./mapData";
import { mergeReports, type LiveFlight } from "./liveFlights";
import { api, type CommuneRow, type FeatureCollection, type FlightInfo, type InitialLists } from "./api";
import { mayDecide } from "./changes/types";
import { defaultComparison } from "./compare/sides";
import { el, replaceChildren } from "./dom";
import { setLanguage, t } from "./i18n";
import { EventStream } from "./eventStream";
import { AircraftLayer } from "./map/aircraft";
import { Communes } from "./map/communes";
import { ConfirmedChanges } from "./map/confirmedChanges";
import { BaseMap } from "./map/baseMap";
import { MarkLayer } from "./map/markLayer";
import { MosaicLayers } from "./map/mosaics";
import { Overlays, SMALL_PX } from "./map/overlays";
import { AutoFollow } from "./map/autoFollow";
import { createMap, fitLonLat, hasLinkedView, labelControls, openingBounds, unionBounds } from "./map/view";
import { SpecialistLayers } from "./map/specialistLayers";
import { CardPlacement } from "./panel/cardPlacement";
import { LiveFlightCards, listLiveFlights } from "./panel/liveFlights";
import { CommuneBoard } from "./panel/communeBoard";
import { PhotoCard } from "./panel/photoCard";
import { FlightList } from "./panel/flights";
import { FilmCard } from "./panel/video";
import { Header } from "./panel/header";
import { LayerPanel } from "./panel/layers";
import { MarkPanel } from "./panel/markPanel";
import { Readout } from "./panel/readout";
import { CommuneSearch } from "./panel/search";
import { Tabs } from "./panel/tabs";
import { Timeline } from "./panel/timeline";
import { SettlementPanel } from "./panel/settlements";
import { SpecialistPanel, renderFeatureAge, renderFeature } from "./panel/specialistLayers";
import { MapClicks } from "./mapClicks";
import type { SpecialistFeature } from "./specialistLayers";
import { isGuest, canWrite } from "./marks";
import { outlinesKey, fetchOutlines } from "./flightOutlines";
import { ViewSwitcher } from "./views";
import { ViewNotices } from "./viewNotices";
import { waitForTiles, holdForTiles } from "./requestOrder";
import {
  currentEvent,
  defaultEvent,
  listEventFlights,
  buildLink,
  newestDay,
  readLink,
  visibleFlights,
  writeLink,
  type State,
  type Store,
} from "./state";

const CLOCK_MS = 20_000;
const AIRBORNE_MS = 250;
const AIRCRAFT_ZOOM = 16;
/** Within this the map has asked for the pictures of what it drew. */
const ASKING_MS = 120;
/** Packs are asked for once the map is there, and not only when the clock moves on. */
const PACKS_MS = 3000;

export class Application {
  private readonly mapElement = el("div", { class: "map", tabindex: "0" });
  private readonly notice = el("p", { class: "notice", role: "status", hidden: true });
  private readonly position = new Readout(() => this.middle());
  private readonly measure = el("button", { type: "button", class: "measure-open", click: () => void this.rooms.measure() });
  private readonly drillFrame = el("div", { class: "drill-frame", hidden: true });
  private readonly panelSwitch = el("button", { type: "button", class: "panel-switch" });
  private readonly stage = el("main", { class: "stage" });
  private readonly sight = new ViewNotices(
    () => this.leaveFor(() => void this.showWhole()),
    (flight) => this.goTo(flight),
  );
  private readonly film = new FilmCard();
  private readonly airborne = new LiveFlightCards(
    (one) => this.leaveFor(() => this.showAircraft(one)),
    (id) => this.chooseEvent(id),
  );
  private terrain: number[][] = [];
  private readonly map;
  private readonly firstPlace;
  private readonly ground;
  private readonly mosaics;
  readonly communes;
  readonly overlays;
  private readonly aircraft;
  private readonly aside;
  readonly specialist;
  private readonly special;
  private readonly settlements;
  readonly marks;
  private readonly board;
  private readonly header;
  private readonly search;
  private readonly flights;
  private readonly layers;
  readonly card;
  readonly confirmed;
  private readonly communeBoard;
  private readonly tabs;
  private readonly timeline;
  private readonly rooms;
  private readonly picking;

  constructor(
    private readonly root: HTMLElement,
    private readonly store: Store,
  ) {
    const day = (): string | null => newestDay(store.state);
    this.search = new CommuneSearch(day, () => currentEvent(store.state)?.is_drill ?? null, () => !isGuest(store.state.session), ({ properties, bbox }) => this.showCommune(String(properties["code"]), String(properties["name"]), bbox), (hit) => this.showThing(hit));
    this.header = new Header(store, this.search.element, (id) => this.chooseEvent(id), {
      meet: () => void this.rooms.meet(),
      review: () => void this.rooms.review(),
      list: () => this.foldPanel(),
      print: () => void this.rooms.printMap(),
      share: () => void this.rooms.share(),
      keys: () => void this.rooms.keys(),
    });
    this.flights = new FlightList(
      store,
      (flight) => this.goTo(flight),
      (flight) => this.playFilm(flight),
      (id) => this.chooseEvent(id),
    );
    this.layers = new LayerPanel(store);
    this.special = new SpecialistPanel(store);
    this.settlements = new SettlementPanel(store);
    this.board = new MapData(store);
    this.communeBoard = new CommuneBoard(store, (row: CommuneRow) => this.showCommune(row.code, row.name, row.bounds));
    this.timeline = new Timeline(store, () => this.compareHere());
    this.card = new PhotoCard(() => {
      this.marks.formGone();
      this.overlays.clearPicked();
      this.store.set({ picked: null });
      this.communes.placeNames();
    }, {
      may: () => canWrite(store.state.session),
      cover: (photo, after) => void this.rooms.cover(photo, after),
    }, {
      oblique: async (lon, lat) => (store.state.eventId && store.state.session?.account?.role !== "guest" ? api.oblique(store.state.eventId, lon, lat, store.state.asOf) : null),
      open: (photo) => void this.rooms.showSpot(photo),
    });
    const markLayer = new MarkLayer();
    this.marks = new MarkPanel(store, markLayer, this.card, (place) => this.lookAt(place), (places) => this.picking.keepAllInSight(places), () => this.board.readMarks());
    this.tabs = new Tabs(store, { list: this.listed(), board: this.communeBoard.element });
    this.lay();
    this.map = createMap(this.mapElement);
    this.firstPlace = new AutoFollow(this.map);
    markLayer.addTo(this.map);
    this.confirmed = new ConfirmedChanges(store);
    this.confirmed.drawOn(this.map);
    this.ground = new BaseMap(this.map);
    this.mosaics = new MosaicLayers(this.map);
    this.communes = new Communes(this.map, (boundariesFrom) => {
      const { picked, boundariesFrom: before } = this.store.state;
      if (picked) this.card.nameCommune(this.communes.nameAt(fromLonLat([...picked])));
      if (boundariesFrom !== before) this.store.set({ boundariesFrom });
    });
    this.overlays = new Overlays(this.map);
    this.aircraft = new AircraftLayer(this.map);
    this.aside = new CardPlacement(this.mapElement, this.airborne.element, [this.card.element, this.film.element]);
    this.specialist = new SpecialistLayers(this.map, (shares) => this.special.setShares(shares));
    this.rooms = new ViewSwitcher({ store, root, stage: this.stage, mapElement: this.mapElement, map: this.map, communes: this.communes, confirmed: this.confirmed, marks: this.marks, terrain: () => this.terrain, unpick: () => this.card.close() });
    this.stage.append(this.rooms.notice, this.header.notLeft);
    this.picking = new MapClicks(this.map, store, this, (flight) => this.goTo(flight));
    this.map.on("singleclick", (event) => {
      if (!this.rooms.takesTaps) void this.picking.pick(event);
    });
    this.map.on("pointermove", (event) => this.showPosition(event.coordinate));
    this.map.on("moveend", () => {
      this.showPosition(this.map.getView().getCenter());
      this.sight.say(this.store.state, this.map);
    });
  }

  /** What stands on top of the map stands below a drill's band, however many lines that takes. */
  private watchBand(): void {
    const tell = (): void => this.stage.style.setProperty("--drill-band", `${this.drillFrame.offsetHeight}px`);
    new ResizeObserver(tell).observe(this.drillFrame);
  }

  async start([events, flights, terrain, said]: InitialLists): Promise<void> {
    this.store.subscribe((state, before) => this.render(state, before));
    const airborne = mergeReports([], said, performance.now());
    this.terrain = terrain.map((dem) => dem.bounds);
    this.ground.setTerrain(this.terrain);
    const asked = this.store.state.eventId;
    const found = events.some((event) => event.event_id === asked);
    const eventId = found ? asked : defaultEvent(events, flights, airborne);
    holdForTiles((then) => this.map.once("postrender", () => window.setTimeout(then, ASKING_MS)));
    window.setTimeout(() => this.flights.tick(this.store.state), PACKS_MS);
    this.store.set({ events, flights, eventId, airborne });
    if (!hasLinkedView() || (asked && !found)) {
      await this.showNewest();
      if (!readLink().meet) this.firstPlace.begin(this.store.state);
    }
    const linked = this.store.state.picked;
    if (linked) await this.picking.inSight(...linked);
    if (readLink().meet) await this.rooms.meet(readLink().meet === "follow");
    else if (this.store.state.review !== null && mayDecide(this.store.state.session)) await this.rooms.review();
    window.setInterval(() => this.store.set({ nowMs: Date.now() }), CLOCK_MS);
    window.setInterval(() => this.drawAirborne(this.store.state), AIRBORNE_MS);
    void waitForTiles().then(() => new EventStream(this.store, this.board).follow());
  }

  private listed(): HTMLElement {
    return el("div", { class: "listed" }, this.flights.element, this.marks.element, this.settlements.element, this.special.element, this.layers.element, this.layers.legend);
  }

  private lay(): void {
    const panel = el("nav", { class: "panel", id: "panel" }, this.tabs.element, ...this.tabs.lists);
    this.panelSwitch.addEventListener("click", () => this.openPanel(!this.root.classList.contains("panel-open")));
    const { moves, warnings } = this.sight;
    this.watchBand();
    this.stage.append(this.mapElement, this.drillFrame, this.notice, warnings, moves.element, this.airborne.element, this.film.element, this.marks.tool, this.measure, this.position.element, this.card.element);
    const column = el("div", { class: "column" }, this.stage, this.timeline.element);
    replaceChildren(this.root, this.header.element, el("div", { class: "body" }, panel, column), this.panelSwitch);
  }

  private render(state: State, before: State): void {
    if (state.language !== before.language || !this.header.element.hasChildNodes()) this.speak(state);
    if (state.airborne !== before.airborne) {
      this.drawAirborne(state);
      this.flights.hear(state);
    }
    if (this.firstPlace.isDue(state)) void this.showNewest();
    if (state.withheld !== before.withheld) return this.dropShown(state);
    if (state.moved !== before.moved) {
      this.mosaics.update(state);
      this.rooms.tick(state);
      return;
    }
    if (sameBesides(state, before, "airborne")) return;
    if (sameBesides(state, before, "opacity")) {
      writeLink(buildLink(state));
      this.mosaics.update(state);
      this.layers.renderOpacity(state);
      this.rooms.render(state, before);
      return;
    }
    if (sameBesides(state, before, "board", "presented", "compare", "review", "reviewedAt", "changed")) {
      writeLink(buildLink(state));
      for (const one of [this.header, this.communeBoard, this.timeline]) one.render(state);
      this.rooms.render(state, before);
      return;
    }
    if (state.nowMs !== before.nowMs) {
      for (const one of [this.header, this.flights, this.special, this.marks, this.specialist, this.rooms]) one.tick(state);
      this.card.tick(state.nowMs);
      return;
    }
    writeLink(buildLink(state));
    this.header.render(state);
    this.flights.render(state);
    this.layers.render(state);
    for (const one of [this.special, this.marks, this.tabs, this.communeBoard, this.timeline]) one.render(state);
    this.root.classList.toggle("with-board", state.tab === "board");
    this.root.classList.toggle("with-time", !this.timeline.element.hidden);
    if (state.tab !== before.tab) this.map.updateSize();
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
    this.sight.say(state, this.map);
    this.rooms.render(state, before);
    const moved = state.eventId !== before.eventId || state.flights !== before.flights;
    if (moved) void this.readOutlines(state.eventId);
    if (outlinesKey(state) !== outlinesKey(before)) void this.drawOutlines(state);
    const isBack = state.online && !before.online;
    if (isBack) this.askAgain(state);
    const drawn = (s: State): unknown[] => [s.revisions, s.spectral, s.hidden];
    const otherPicture = drawn(state).some((part, n) => part !== drawn(before)[n]);
    const mayBeKnown = this.card.isUnanswered && (isBack || moved);
    if (mayBeKnown && state.picked) void this.picking.inSight(...state.picked);
    else if (otherPicture && state.picked) void this.picking.at(...state.picked);
  }

  /** More, or less, is withheld from this reader: nothing that was fetched before stays on the screen. */
  private dropShown(state: State): void {
    this.film.close();
    this.mosaics.update(state);
    this.rooms.tick(state);
    const { picked } = state;
    if (!picked) return;
    this.card.close();
    void this.picking.at(...picked);
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
    this.measure.title = t("measure");
    this.measure.setAttribute("aria-label", t("measure"));
    this.film.relabel();
    this.openPanel(this.root.classList.contains("panel-open"));
    this.showPosition(this.map.getView().getCenter());
  }

  private openPanel(open: boolean): void {
    this.root.classList.toggle("panel-open", open);
    this.map.updateSize();
    this.panelSwitch.textContent = open ? t("closeMenu") : t("menu");
  }

  /** On a desk the list is folded away, and out again. */
  private foldPanel(): void {
    this.root.classList.toggle("panel-folded");
    this.map.updateSize();
  }

  private compareHere(): void {
    const { store } = this;
    this.card.close();
    store.set({ compare: store.state.compare ? null : defaultComparison(store.state, this.sight.inSight) });
  }

  /** A commune that was searched, or chosen on the board. */
  private showCommune(code: string, name: string, bbox: number[] | undefined): void {
    this.communes.highlight(code);
    this.openPanel(false);
    this.card.close();
    this.sayCommune(code, name, bbox);
    if (bbox) fitLonLat(this.map, bbox, 17);
  }

  /** A thing of a layer that was searched: its layer is switched on, and the card says what is known of it. */
  private showThing({ properties, bbox }: FeatureCollection["features"][number]): void {
    const thing = properties as unknown as SpecialistFeature;
    this.openPanel(false);
    this.card.close();
    const { shownLayers } = this.store.state;
    if (!shownLayers.has(thing.layer_id)) this.store.set({ shownLayers: new Set([...shownLayers, thing.layer_id]) });
    if (bbox) fitLonLat(this.map, bbox, 17);
    this.card.tell(() => renderFeature(thing, this.store.state), () => renderFeatureAge(thing, this.store.state));
    if (bbox) this.overlays.setPicked(((bbox[0] ?? 0) + (bbox[2] ?? 0)) / 2, ((bbox[1] ?? 0) + (bbox[3] ?? 0)) / 2, null);
  }

  private middle(): [number, number] | null {
    const centre = this.map.getView().getCenter();
    return centre ? (toLonLat(centre) as [number, number]) : null;
  }

  private chooseEvent(eventId: string): void {
    writeLink({ event: eventId });
    this.card.close();
    this.film.close();
    this.store.set({ eventId, selectedFlight: null, asOf: null, compare: null });
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
    const { warnings } = this.sight;
    const coveredPx = this.mapElement.offsetHeight - warnings.offsetTop;
    if (!warnings.hidden) fitLonLat(this.map, bounds, undefined, coveredPx);
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
    const aloft = state.asOf === null ? listLiveFlights(state) : [];
    this.aircraft.update(aloft, nowMs, this.aside.settle(this.aircraft.boxes(aloft)));
    this.timeline.tick(state, nowMs);
    this.communeBoard.tick(state, nowMs);
  }

  private showAircraft({ said }: LiveFlight): void {
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
    window.setTimeout(() => this.picking.keepInSight(coordinate)); // the card is there by then
  }

  /** The newest flight of the event, and what lies near it; the rest is offered (`moves`). */
  private async showNewest(): Promise<void> {
    const bounds = visibleFlights(this.store.state).flatMap((flight) => (flight.bounds ? [flight.bounds] : []));
    const opening = openingBounds(this.map, bounds, SMALL_PX);
    const flying = listLiveFlights(this.store.state).find(({ said }) => said.aircraft);
    if (opening) this.showAll(opening);
    else if (flying) this.showAircraft(flying);
    else await this.showWhole();
  }

  /** All flights of the event; without any, its changes, the communes, the terrain: the first there is. */
  private async showWhole(): Promise<void> {
    const bounds = listEventFlights(this.store.state).flatMap((flight) => (flight.bounds ? [flight.bounds] : []));
    const known = unionBounds(bounds) ?? (await this.changesBounds()) ?? (await api.communesExtent().catch(() => null));
    const union = known ?? unionBounds(this.terrain);
    if (union) fitLonLat(this.map, union);
  }

  /** Around the changes of an event that was begun by pictures, which has no flight to show. */
  private async changesBounds(): Promise<FlightInfo["bounds"]> {
    const { eventId } = this.store.state;
    const found = eventId ? await api.changes(eventId).catch(() => null) : null;
    return unionBounds(found?.features.flatMap(({ bbox }) => (bbox ? [bbox] : [])) ?? []);
  }

  private async readOutlines(eventId: string | null): Promise<void> {
    const outlines = eventId ? await api.outlines(eventId).catch(() => null) : null;
    if (!outlines || eventId !== this.store.state.eventId) return;
    this.overlays.setOutlines(outlines);
    this.overlays.setFlights(this.store.state);
  }

  private showPosition(coordinate: number[] | undefined): void {
    if (!coordinate) return;
    const [lon = 0, lat = 0] = toLonLat(coordinate);
    this.position.show(lon, lat);
  }

  private async drawOutlines(state: State): Promise<void> {
    const { drawn, unread } = await fetchOutlines(state);
    if (outlinesKey(state) !== outlinesKey(this.store.state)) return;
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
}

/** Whether nothing but these changed: what comes many times a second must not write lists anew under the reader's hand. */
function sameBesides(state: State, before: State, ...parts: (keyof State)[]): boolean {
  return (Object.keys(state) as (keyof State)[]).every((name) => parts.includes(name) || state[name] === before[name]);
}
