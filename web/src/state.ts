/** What the page shows, in one value; views subscribe to it. The address bar carries what a link must keep. */

import type { LiveFlight } from "./liveFlights";
import type { CommuneRow, DataLayer, EventInfo, FlightInfo, MosaicInfo, Presentation, Session, PendingChanges } from "./api";
import { readComparison, writeComparison, type Comparison } from "./compare/sides";
import type { Language } from "./i18n";
import type { MarkLine } from "./marks";
import type { SpecialistLayer } from "./specialistLayers";
import { formatIsoDay } from "./time";

/** What the list beside the map shows: flights and layers, or the board of communes. */
export type Tab = "list" | "board";
export type LayerName = "hillshade" | "communes" | "footprints" | "gaps" | "notFlown" | "marks" | "changes";

export interface State {
  session: Session | null;
  events: EventInfo[];
  flights: FlightInfo[];
  eventId: string | null;
  /** Flights whose imagery is switched off; new flights therefore appear by themselves. */
  hidden: ReadonlySet<string>;
  /** Chosen spectral layer per flight; colour where nothing is chosen. */
  spectral: Readonly<Record<string, string>>;
  /** Chosen revision per mosaic; the one on show where nothing is chosen. */
  revisions: Readonly<Record<string, number>>;
  /** What is painted over the imagery about its pixels. */
  dataLayer: DataLayer | null;
  /** Of the flights' pictures, 0 to 1. */
  opacity: number;
  /** Flight whose footprints and gaps are drawn. */
  selectedFlight: string | null;
  layers: Readonly<Record<LayerName, boolean>>;
  language: Language;
  /** Day from which the boundaries on the map hold; null before any are drawn. */
  boundariesFrom: string | null;
  online: boolean;
  /** Layers of which something was not answered: what is drawn of them is not all. */
  unread: readonly LayerName[];
  /** Point whose card is open: longitude, latitude. */
  picked: readonly [number, number] | null;
  nowMs: number;
  /** Live flights of all events. */
  airborne: readonly LiveFlight[];
  /** Specialist layers of other services, and the ids of those that are drawn. */
  specialist: readonly SpecialistLayer[];
  shownLayers: ReadonlySet<string>;
  /** Field marks of the event, the newest first. */
  marks: readonly MarkLine[];
  tab: Tab;
  /** How every commune stands; null before it was asked for. */
  board: readonly CommuneRow[] | null;
  /** Of all their ground what was imaged, 0-100. */
  boardPct: number | null;
  /** Changes of the event that nobody has decided on yet; null: none that is known of. */
  waiting: PendingChanges | null;
  /** Only what was captured by then is shown (ISO, UTC); null: all there is. */
  asOf: string | null;
  /** Two pictures beside or over each other; null: none is compared. */
  compare: Comparison | null;
  /** The change that is reviewed, "" where none is chosen; null: nothing is reviewed. */
  review: string | null;
  /** Where the change that is reviewed lies (longitude, latitude), of which captions speak while it is in sight. */
  reviewedAt: readonly [number, number] | null;
  /** How many pictures in files the reader has opened from their own computer. */
  opened: number;
  /** What somebody presents in the meeting now. */
  presented: Presentation | null;
  /** Counts the news of changes that were found or decided on, and how often they may have been missed. */
  changed: number;
  /** Counts the news of tiles: the map draws the changed ones at once, the lists need not be written anew. */
  moved: number;
  /** How often what is withheld from this reader became another. */
  withheld: number;
}

type Listener = (state: State, before: State) => void;

export class Store {
  private listeners: Listener[] = [];

  constructor(private value: State) {}

  get state(): State {
    return this.value;
  }

  set(change: Partial<State>): void {
    const before = this.value;
    this.value = { ...before, ...change };
    for (const listener of this.listeners) listener(this.value, before);
  }

  subscribe(listener: Listener): void {
    this.listeners.push(listener);
  }
}

const SWITCHED_ON: State["layers"] = {
  hillshade: true,
  communes: true,
  footprints: false,
  gaps: false,
  notFlown: true,
  marks: true,
  changes: true,
};

/** What a link says of the state, whatever page it was made on. */
export function stateFromLink(link: Link): Pick<State, "eventId" | "hidden" | "spectral" | "revisions" | "dataLayer" | "opacity" | "layers" | "shownLayers" | "asOf" | "compare"> {
  return {
    eventId: link.event ?? null,
    hidden: new Set(link.hidden?.split(",").filter(Boolean) ?? []),
    spectral: pairs(link.band),
    revisions: numbers(pairs(link.rev)),
    dataLayer: DATA_LAYERS.find((layer) => layer === link.data) ?? null,
    opacity: shareOf(link.op),
    layers: switched(link.turned),
    shownLayers: new Set(link.special?.split(",").filter(Boolean) ?? []),
    asOf: momentOf(link.asof),
    compare: readComparison(link.cmp),
  };
}

export function initialState(): State {
  const link = readLink();
  const saved = localStorage.getItem("flycam.language");
  return {
    ...stateFromLink(link),
    session: null,
    events: [],
    flights: [],
    selectedFlight: null,
    picked: pointOf(link.at),
    language: (link.lang ?? saved) === "en" ? "en" : "vi",
    boundariesFrom: null,
    online: true,
    unread: [],
    nowMs: Date.now(),
    airborne: [],
    specialist: [],
    marks: [],
    tab: link.tab === "board" ? "board" : "list",
    board: null,
    boardPct: null,
    waiting: null,
    review: link.review === LIST ? "" : (link.review ?? null),
    reviewedAt: null,
    opened: 0,
    presented: null,
    changed: 0,
    moved: 0,
    withheld: 0,
  };
}

/** The revision of a mosaic that is drawn: the chosen one while it may be shown, else the one on show. */
export function drawnRevision(state: State, mosaic: MosaicInfo): number {
  const chosen = state.revisions[mosaic.mosaic_id];
  if (chosen === undefined) return mosaic.revision;
  const there = chosen === 0 || mosaic.revisions.some((one) => one.revision === chosen && one.state === "published");
  return there ? chosen : mosaic.revision;
}

export function currentEvent(state: State): EventInfo | null {
  return state.events.find((event) => event.event_id === state.eventId) ?? null;
}

/** Flights of the chosen event, newest first: a drill and a real event are never on one screen. */
export function listEventFlights(state: State): FlightInfo[] {
  return state.flights.filter((flight) => flight.event_id === state.eventId);
}

/** The event opened without a link: one that is flown now, else flown last; a real one before a drill. */
export function defaultEvent(events: EventInfo[], flights: FlightInfo[], airborne: readonly LiveFlight[] = []): string | null {
  const flying = airborne.flatMap(({ said }) => (said.state === "flying" ? [{ event_id: said.event_id }] : []));
  const ranked = [...flying, ...[...flights].sort((a, b) => b.last.localeCompare(a.last))];
  const isDrill = (id: string): boolean => events.find((event) => event.event_id === id)?.is_drill ?? false;
  const real = ranked.find((flight) => !isDrill(flight.event_id));
  return (real ?? ranked[0])?.event_id ?? events[0]?.event_id ?? null;
}

/** Flights whose imagery is on the screen, newest first. */
export function visibleFlights(state: State): FlightInfo[] {
  return listEventFlights(state).filter(
    (flight) => flight.state !== "withdrawn" && !state.hidden.has(flight.flight_id) && isCapturedBy(flight, state.asOf),
  );
}

/** Whether all of a flight was captured by a moment: a picture that was taken later must not be seen in it. */
export function isCapturedBy(flight: FlightInfo, asOf: string | null): boolean {
  return asOf === null || Date.parse(flight.last) <= Date.parse(asOf);
}

/** Whether a flight was taking pictures at a moment: all of them are hidden then, the earlier ones too. */
export function isFlyingAt(flight: FlightInfo, asOf: string | null): boolean {
  return asOf !== null && !isCapturedBy(flight, asOf) && Date.parse(flight.first) <= Date.parse(asOf);
}

/** Of one that is still coming nobody can say what all of it is: no moment is offered that it would leave again. */
export function isComplete(flight: FlightInfo): boolean {
  return flight.state !== "ingesting";
}

/** Whether a flight that is being laid is one in the air, as its program says. */
export function isLive(state: State, flight: FlightInfo): boolean {
  return state.airborne.some(({ said }) => said.flight_id === flight.flight_id && (said.state === "flying" || said.state === "closing"));
}

/** Whether an aircraft is in the air, of an event or of any. */
export function isAnyFlying(state: State, eventId?: string | null): boolean {
  return state.airborne.some(({ said }) => (said.state === "flying" || said.state === "closing") && (eventId === undefined || said.event_id === eventId));
}

/** The day (yyyy-mm-dd in Việt Nam) of the newest flight on the screen; null without one. */
export function newestDay(state: State): string | null {
  const newest = visibleFlights(state)[0];
  return newest ? formatIsoDay(newest.last) : null;
}

/** op: opacity in percent where it is not whole; turned: switches that are not as they are at first; band and rev: chosen by flight and by mosaic; special: layers of
 * other services; at: lat/lon; asof: a moment, UTC; cmp: see compare/sides.ts; review: the change
 * that is reviewed, or "list"; meet: the meeting is on, or followed. */
export interface Link {
  map?: string;
  event?: string;
  hidden?: string;
  lang?: string;
  data?: string;
  rev?: string;
  band?: string;
  op?: string;
  turned?: string;
  special?: string;
  at?: string;
  tab?: string;
  asof?: string;
  cmp?: string;
  review?: string;
  meet?: string;
}

/** In a link: the review, none of its changes chosen. */
const LIST = "list";

const DATA_LAYERS: readonly DataLayer[] = ["error", "age", "gsd", "surface"];

/** What a link must keep of the state, so that whoever opens it sees the same. */
export function buildLink(state: State): Link {
  const joined = (chosen: Readonly<Record<string, string | number>>): string =>
    Object.entries(chosen).map(([name, value]) => `${name}:${value}`).join(",");
  const names = Object.keys(SWITCHED_ON) as LayerName[];
  return {
    data: state.dataLayer ?? "",
    op: state.opacity < 1 ? String(Math.round(100 * state.opacity)) : "",
    rev: joined(state.revisions),
    band: joined(state.spectral),
    turned: names.filter((name) => state.layers[name] !== SWITCHED_ON[name]).join(","),
    hidden: [...state.hidden].join(","),
    special: [...state.shownLayers].join(","),
    at: state.picked ? `${state.picked[1].toFixed(7)}/${state.picked[0].toFixed(7)}` : "",
    tab: state.tab === "board" ? "board" : "",
    asof: state.asOf ?? "",
    cmp: writeComparison(state.compare),
    review: state.review === "" ? LIST : (state.review ?? ""),
  };
}

function pairs(text: string | undefined): Record<string, string> {
  const parts = (text ?? "").split(",").map((part) => part.split(":"));
  return Object.fromEntries(parts.flatMap(([name, value]) => (name && value ? [[name, value]] : [])));
}

function numbers(chosen: Record<string, string>): Record<string, number> {
  const parts = Object.entries(chosen).filter(([, value]) => /^\d{1,9}$/.test(value));
  return Object.fromEntries(parts.map(([name, value]) => [name, Number(value)]));
}

function switched(text: string | undefined): State["layers"] {
  const turned = (text ?? "").split(",");
  const layers = Object.entries(SWITCHED_ON).map(([name, on]) => [name, turned.includes(name) ? !on : on]);
  return Object.fromEntries(layers) as State["layers"];
}

function shareOf(text: string | undefined): number {
  return text && /^\d{1,3}$/.test(text) ? Math.min(Number(text) / 100, 1) : 1;
}

function momentOf(text: string | undefined): string | null {
  const ms = text ? Date.parse(text) : NaN;
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
}

function pointOf(text: string | undefined): [number, number] | null {
  const [lat, lon] = (text ?? "").split("/").map((part) => (part ? Number(part) : NaN));
  if (lat === undefined || lon === undefined) return null;
  return Math.abs(lat) <= 85 && Math.abs(lon) <= 180 ? [lon, lat] : null;
}

export function readLink(): Link {
  return Object.fromEntries(new URLSearchParams(window.location.hash.slice(1)));
}

export function writeLink(change: Link): void {
  const link: Link = { ...readLink(), ...change };
  const parts = Object.entries(link).filter(([, value]) => value);
  const text = parts.map(([name, value]) => `${name}=${encodeURIComponent(value as string)}`).join("&");
  if (window.location.hash !== `#${text}`) window.history.replaceState(null, "", `#${text}`);
}
