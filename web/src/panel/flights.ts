/** The list of flights, newest on top, as they lie on the map; each says how old and how sharp it is. */

import { api, reportUrl, type FlightDetail, type FlightInfo, type Warning } from "../api";
import { findOpenChoice, el, replaceChildren, setText } from "../dom";
import { pickLanguage, language as languageNow, t, translateOr, formatWarning } from "../i18n";
import { formatAreaM2, formatGsd, formatPercent } from "../numbers";
import type { Checklist } from "../empty/checklist";
import { findDrawnMosaic, drawsFinishedRevision } from "../map/mosaics";
import { isGuest, canWrite } from "../marks";
import { formatRevision } from "../revisions";
import { isAnyFlying, listEventFlights, isLive, isCapturedBy, isFlyingAt, drawnRevision, type State, type Store } from "../state";
import { formatAge, formatPeriod, formatTime } from "../time";
import { canMove, MoveForm } from "./moveFlight";
import { Packs } from "./pack";

export class FlightList {
  readonly element = el("section", { class: "flights" });
  /** For whoever may bring a first flight: what else there has to be. */
  private readonly empty = el("div", {});
  private checklist: Checklist | null = null;
  private waits = false;
  /** What was said of the air where no flight is listed. */
  private airSaid = "";
  private chosen: unknown[] = [];
  private details: Record<string, FlightDetail> = {};
  /** What somebody types into one outlives the drawing of the list. */
  /** Of the card that is open: what is typed and answered there outlives a list drawn anew. */
  private mover: { key: string; form: MoveForm } | null = null;
  private readonly packs = new Packs(() => this.render(this.store.state));

  constructor(
    private readonly store: Store,
    private readonly goTo: (flight: FlightInfo) => void,
    private readonly play: (flight: FlightInfo) => void,
    private readonly openEvent: (id: string) => void,
  ) {}

  /** A choice that is open under the reader's hand stays: what is only newer is written when it is left. */
  render(state: State): void {
    const { revisions, spectral, hidden, selectedFlight, language, eventId, asOf } = state;
    const chosen = [revisions, spectral, hidden, selectedFlight, language, eventId, asOf];
    const isOnlyNewer = chosen.every((one, n) => one === this.chosen[n]);
    this.chosen = chosen;
    const held = isOnlyNewer ? findOpenChoice(this.element) : null;
    if (held) {
      if (!this.waits) held.addEventListener("blur", () => this.renderLate(), { once: true });
      this.waits = true;
      return;
    }
    const flights = listEventFlights(state);
    this.airSaid = airOf(state);
    const isToDo = flights.length === 0 && !isAnyFlying(state) && canWrite(state.session);
    replaceChildren(
      this.element,
      el("h2", {}, t("flights"), flights.length > 1 && el("small", {}, t("newestOnTop"))),
      this.packs.desk(state, flights),
      flights.length
        ? el("ol", {}, ...flights.map((flight) => this.item(state, flight)))
        : el("p", { class: "empty" }, t(isAnyFlying(state, state.eventId) ? "flightAloft" : "noFlights")),
      isToDo && this.empty,
    );
    if (isToDo) void this.explain();
  }

  /** A first flight is in the air before it is on the list. */
  hear(state: State): void {
    if (this.airSaid !== airOf(state) && !listEventFlights(state).length) this.render(state);
  }

  private async explain(): Promise<void> {
    if (this.checklist) return this.checklist.render();
    const loaded = await import("../empty/checklist").catch(() => null);
    if (!loaded || this.checklist) return;
    this.checklist = new loaded.Checklist(() => this.store.state, this.openEvent);
    replaceChildren(this.empty, this.checklist.element);
  }

  /** Not before a press is over that took the focus: a button drawn anew under it would miss the click. */
  private renderLate(): void {
    const render = (): void => {
      this.waits = false;
      window.setTimeout(() => this.render(this.store.state), 0); // the focus is still where it was
    };
    if (this.element.matches(":active")) window.addEventListener("pointerup", render, { once: true });
    else render();
  }

  /** Only the ages move with the clock: a list that is open under the reader's hand stays. */
  tick(state: State): void {
    this.packs.tick(state);
    for (const flight of listEventFlights(state)) {
      const age = this.element.querySelector(`[data-flight="${CSS.escape(flight.flight_id)}"] .age`);
      if (age) setText(age, formatAge(flight.last, state.nowMs));
    }
  }

  private item(state: State, flight: FlightInfo): HTMLElement {
    const open = state.selectedFlight === flight.flight_id;
    const withdrawn = flight.state === "withdrawn";
    const later = !withdrawn && !isCapturedBy(flight, state.asOf);
    return el(
      "li",
      { class: `flight ${open ? "open" : ""} ${withdrawn ? "withdrawn" : ""} ${later ? "later" : ""}`, "data-flight": flight.flight_id },
      el(
        "label",
        { class: "flight-name" },
        el("input", {
          type: "checkbox",
          checked: !withdrawn && !state.hidden.has(flight.flight_id),
          disabled: withdrawn,
          change: () => this.toggle(flight),
        }),
        el("strong", {}, flight.name),
        flight.is_drill && el("span", { class: "drill-badge small" }, t("drill")),
        flight.classification !== "open" && el("span", { class: "level-badge" }, t(flight.classification)),
      ),
      el(
        "div",
        { class: "flight-facts" },
        el("span", {}, formatPeriod(flight.first, flight.last)),
        el("span", { class: "age" }, formatAge(flight.last, state.nowMs)),
        el("span", { title: t("gsd") }, `${t("gsdShort")} ${formatGsd(flight.gsd_m)}`),
      ),
      flight.state === "ingesting" && el("p", { class: "warning" }, t(isLive(state, flight) ? "stateFlying" : "stateIngesting")),
      withdrawn && el("p", { class: "warning" }, t("stateWithdrawn")),
      later && el("p", { class: "warning" }, t(isFlyingAt(flight, state.asOf) ? "underWayThen" : "capturedLater")),
      this.spectralChoice(state, flight),
      this.revisionChoice(state, flight),
      this.report(state, flight),
      el(
        "div",
        { class: "flight-actions" },
        el(
          "button",
          { type: "button", disabled: !flight.bounds, click: () => this.goTo(flight) },
          t("zoomTo"),
        ),
        el(
          "button",
          { type: "button", "aria-expanded": String(open), click: () => this.select(flight, open) },
          open ? t("hideDetails") : t("details"),
        ),
        flight.recorded_s > 0 && !isGuest(state.session) &&
          el("button", { type: "button", click: () => this.play(flight) }, t("videoOfFlight")),
        !withdrawn && flight.bounds && canWrite(state.session) && this.packs.button(flight.flight_id),
      ),
      this.packs.line(flight.flight_id, state),
      open && this.detail(flight),
    );
  }

  private spectralChoice(state: State, flight: FlightInfo): HTMLElement | null {
    if (flight.mosaics.length < 2) {
      const only = flight.mosaics[0]?.layer ?? "colour";
      return only === "colour" ? null : el("p", { class: "spectral-only" }, translateOr(`layer_${only}`, only));
    }
    const chosen = state.spectral[flight.flight_id] ?? "colour";
    const choose = (e: Event): void =>
      this.store.set({
        spectral: { ...state.spectral, [flight.flight_id]: (e.target as HTMLSelectElement).value },
      });
    const options = flight.mosaics.map(({ layer }) =>
      el("option", { value: layer, selected: layer === chosen }, translateOr(`layer_${layer}`, layer)),
    );
    return el("select", { class: "spectral", "aria-label": t("layers"), change: choose }, ...options);
  }

  /** Which revision is drawn, newest first; nothing to choose before the flight is finished. */
  private revisionChoice(state: State, flight: FlightInfo): HTMLElement | null {
    const mosaic = findDrawnMosaic(state, flight);
    const finals = mosaic?.revisions.filter((one) => one.state === "published").reverse() ?? [];
    if (!mosaic || !finals.length) return null;
    const drawn = drawnRevision(state, mosaic);
    const choose = (e: Event): void =>
      this.store.set({
        revisions: { ...state.revisions, [mosaic.mosaic_id]: Number((e.target as HTMLSelectElement).value) },
      });
    const option = (revision: number, name: string): HTMLElement =>
      el("option", { value: revision, selected: revision === drawn }, name);
    return el(
      "select",
      { class: "revision", "aria-label": t("revision"), change: choose },
      ...finals.map((one) => option(one.revision, t("revisionFinal", one.revision, formatTime(one.made)))),
      option(0, formatRevision(flight, 0)),
    );
  }

  /** Where the quality report of the drawn revision is; nothing where it has none. */
  private report(state: State, flight: FlightInfo): HTMLElement | null {
    const mosaic = findDrawnMosaic(state, flight);
    const drawn = mosaic?.revisions.find((one) => one.revision === drawnRevision(state, mosaic));
    const kinds = (["html", "pdf"] as const).filter((kind) => drawn?.reports[`${languageNow()}.${kind}`]);
    if (!mosaic || !drawn || !kinds.length || isGuest(state.session)) return null;
    const address = (kind: "html" | "pdf"): string =>
      reportUrl(flight.flight_id, mosaic.layer, drawn.revision, kind, languageNow());
    const link = (kind: "html" | "pdf"): HTMLElement =>
      el("a", { href: address(kind), target: "_blank", rel: "noopener" }, kind.toUpperCase());
    const links = kinds.flatMap((kind, n) => (n ? [" · ", link(kind)] : [link(kind)]));
    return el("p", { class: "report" }, `${t("report")}: `, ...links);
  }

  private detail(flight: FlightInfo): HTMLElement {
    const isTold = !isGuest(this.store.state.session); // of photos guests are told nothing
    const frames = this.details[flight.flight_id]?.frames;
    if (!frames && isTold) void this.readDetail(flight.flight_id);
    const coming = this.store.state.online ? t("loading") : t("noAnswer");
    const rejected = Object.entries(frames?.rejected ?? {});
    const rejectedTotal = rejected.reduce((sum, [, n]) => sum + n, 0);
    const why = rejected.map(([reason, n]) => `${translateOr(`reason_${reason}`, reason)} ${n}`).join(", ");
    return el(
      "div",
      { class: "flight-detail" },
      el(
        "dl",
        {},
        ...(isTold ? pair(t("framesUsed"), frames ? String(frames.used) : coming) : []),
        ...(rejectedTotal ? pair(t("framesRejected"), `${rejectedTotal} (${why})`) : []),
        ...(frames?.withdrawn ? pair(t("framesWithdrawn"), String(frames.withdrawn)) : []),
        ...(flight.operator ? pair(t("operator"), flight.operator) : []),
      ),
      canMove(this.store.state.session, flight) && this.moveForm(flight),
      ...flight.warnings.map((one) => el("p", { class: "warned" }, this.describeWarning(one, flight))),
      el("h3", {}, t("communesCovered")),
      flight.communes.length
        ? el("table", { class: "coverage" }, ...flight.communes.map(coverageRow))
        : el("p", { class: "empty" }, t("noCommunes")),
    );
  }

  /** With its cure to who can give it, while the quick map is shown: a finished one says what became of it. */
  private describeWarning(one: Warning, flight: FlightInfo): string {
    const isFinished = drawsFinishedRevision(this.store.state, flight);
    return canWrite(this.store.state.session) && !isFinished ? pickLanguage(one.sentence_vi, one.sentence) : formatWarning(one, isFinished);
  }

  private moveForm(flight: FlightInfo): HTMLElement {
    const { events, language } = this.store.state;
    const key = JSON.stringify([flight.flight_id, flight.event_id, language]);
    if (this.mover?.key !== key) this.mover = { key, form: new MoveForm(flight, (event) => void this.follow(flight.flight_id, event.event_id)) };
    this.mover.form.offer(events);
    return this.mover.form.element;
  }

  /** To the event in which a flight lies now, its card open: it says so. */
  private async follow(flightId: string, eventId: string): Promise<void> {
    const [events, flights] = await Promise.all([api.events(), api.flights()]);
    this.store.set({ events, flights });
    this.openEvent(eventId);
    this.store.set({ selectedFlight: flightId });
  }

  private toggle(flight: FlightInfo): void {
    const hidden = new Set(this.store.state.hidden);
    if (!hidden.delete(flight.flight_id)) hidden.add(flight.flight_id);
    this.store.set({ hidden });
  }

  private select(flight: FlightInfo, open: boolean): void {
    this.store.set({ selectedFlight: open ? null : flight.flight_id });
  }

  /** Every drawing of an open flight asks while its details are not there, so also the one when the server is back. */
  private async readDetail(flightId: string): Promise<void> {
    const detail = await api.flight(flightId).catch(() => null);
    if (!detail || this.details[flightId]) return;
    this.details[flightId] = detail;
    this.render(this.store.state);
  }
}

function airOf(state: State): string {
  return [isAnyFlying(state), isAnyFlying(state, state.eventId)].join();
}

function pair(term: string, value: string): HTMLElement[] {
  return [el("dt", {}, term), el("dd", {}, value)];
}

function coverageRow(commune: FlightInfo["communes"][number]): HTMLElement {
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, commune.name),
    el("td", {}, formatPercent(commune.covered_pct)),
    el("td", {}, formatAreaM2(commune.covered_m2)),
  );
}
