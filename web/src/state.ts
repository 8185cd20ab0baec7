/** What the page shows, in one value; views subscribe to it. The address bar carries what a link must keep. */

import type { DataLayer, EventInfo, FlightInfo, MosaicInfo, Session } from "./api";
import type { Language } from "./i18n";
import { dayOf } from "./time";

export type LayerName = "hillshade" | "communes" | "footprints" | "gaps" | "notFlown";

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
  /** Flight whose footprints and gaps are drawn. */
  selectedFlight: string | null;
  layers: Readonly<Record<LayerName, boolean>>;
  language: Language;
  /** Day from which the boundaries on the map hold; null before any are drawn. */
  boundariesFrom: string | null;
  online: boolean;
  nowMs: number;
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

export function initialState(): State {
  const link = readLink();
  const saved = localStorage.getItem("flycam.language");
  return {
    session: null,
    events: [],
    flights: [],
    eventId: link.event ?? null,
    hidden: new Set(link.hidden?.split(",").filter(Boolean) ?? []),
    spectral: {},
    revisions: {},
    dataLayer: null,
    selectedFlight: null,
    layers: { hillshade: true, communes: true, footprints: false, gaps: false, notFlown: true },
    language: (link.lang ?? saved) === "en" ? "en" : "vi",
    boundariesFrom: null,
    online: true,
    nowMs: Date.now(),
  };
}

/** The revision of a mosaic that is drawn: the chosen one while it may be shown, else the one on show. */
export function revisionOf(state: State, mosaic: MosaicInfo): number {
  const chosen = state.revisions[mosaic.mosaic_id];
  if (chosen === undefined) return mosaic.revision;
  const there = chosen === 0 || mosaic.revisions.some((one) => one.revision === chosen && one.state === "published");
  return there ? chosen : mosaic.revision;
}

export function currentEvent(state: State): EventInfo | null {
  return state.events.find((event) => event.event_id === state.eventId) ?? null;
}

/** Flights of the chosen event, newest first: a drill and a real event are never on one screen. */
export function flightsShown(state: State): FlightInfo[] {
  return state.flights.filter((flight) => flight.event_id === state.eventId);
}

/** The event opened without a link: the one flown last, a real one before a drill. */
export function defaultEvent(events: EventInfo[], flights: FlightInfo[]): string | null {
  const ranked = [...flights].sort((a, b) => b.last.localeCompare(a.last));
  const isDrill = (id: string): boolean => events.find((event) => event.event_id === id)?.is_drill ?? false;
  const real = ranked.find((flight) => !isDrill(flight.event_id));
  return (real ?? ranked[0])?.event_id ?? events[0]?.event_id ?? null;
}

/** Flights whose imagery is on the screen, newest first. */
export function visibleFlights(state: State): FlightInfo[] {
  return flightsShown(state).filter(
    (flight) => flight.state !== "withdrawn" && !state.hidden.has(flight.flight_id),
  );
}

/** The day (yyyy-mm-dd in Việt Nam) of the newest flight on the screen; null without one. */
export function newestDay(state: State): string | null {
  const newest = visibleFlights(state)[0];
  return newest ? dayOf(newest.last) : null;
}

export interface Link {
  map?: string;
  event?: string;
  hidden?: string;
  lang?: string;
}

export function readLink(): Link {
  return Object.fromEntries(new URLSearchParams(window.location.hash.slice(1)));
}

export function writeLink(change: Link): void {
  const link: Link = { ...readLink(), ...change };
  const parts = Object.entries(link).filter(([, value]) => value);
  const text = parts.map(([name, value]) => `${name}=${encodeURIComponent(value as string)}`).join("&");
  window.history.replaceState(null, "", `#${text}`);
}
