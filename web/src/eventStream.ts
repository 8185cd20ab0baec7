/**
 * Follows the tile log: a line for a mosaic moves its version, which makes the map fetch the new tiles; and the flights in
 * the air. The stream is also the one judge of whether the server is there: who hears no answer to a request has it
 * opened anew.
 */

import { mergeReports, type LiveFlight } from "./liveFlights";
import { api, onNetworkError, onUnauthorized, fetchSession, type AirborneFlight, type Presentation, type TilesMoved } from "./api";
import type { MapData } from "./mapData";
import { throttle } from "./dom";
import { language } from "./i18n";
import { isGuest, canWrite } from "./marks";
import { signInAgain, continueAs, returnToSignIn } from "./panel/signIn";
import { defaultEvent, type Store } from "./state";
import * as versions from "./tileVersions";

const RETRY_MS = 5_000;
const LIST_MS = 1500;

export class EventStream {
  /** A flight in the air moves tiles all the time: the list is read at once, and then as often as one reads it. */
  private readonly refresh = throttle(() => void this.readFlights(), LIST_MS);
  private missed = false;
  private readonly asked = new Set<string>();
  private stream: EventSource | null = null;
  private retry = 0;
  private asksWho: Promise<boolean> | null = null;

  constructor(
    private readonly store: Store,
    private readonly board: MapData,
  ) {
    onNetworkError(() => this.reopen());
    onUnauthorized(() => this.askWho());
  }

  follow(): void {
    this.retry = 0;
    const stream = new EventSource("/events");
    this.stream = stream;
    stream.addEventListener("open", () => {
      // What moved while nobody was listening is in the list, not in the stream.
      if (!this.store.state.online) {
        this.missed = true;
        this.refresh();
      }
      this.setOnline(true);
      void this.readAirborne();
      if (this.store.state.presented) void this.readMeeting();
      this.board.read();
      this.tellChanged();
    });
    stream.addEventListener("flights", () => this.refresh());
    stream.addEventListener("layers", () => void this.board.readLayers());
    stream.addEventListener("marks", () => void this.board.readMarks());
    stream.addEventListener("changes", () => this.tellChanged());
    stream.addEventListener("meeting", (event) => {
      this.store.set({ presented: JSON.parse((event as MessageEvent<string>).data) as Presentation | null });
    });
    stream.addEventListener("withheld", (event) => {
      const { rules } = JSON.parse((event as MessageEvent<string>).data) as { rules: string };
      if (versions.setAccessVersion(rules)) this.store.set({ withheld: this.store.state.withheld + 1 });
    });
    stream.addEventListener("tiles", (event) => {
      versions.applyMovedTiles(JSON.parse((event as MessageEvent<string>).data) as TilesMoved);
      this.store.set({ moved: this.store.state.moved + 1 });
      this.refresh();
    });
    stream.addEventListener("airborne", (event) => {
      this.setAirborne(JSON.parse((event as MessageEvent<string>).data) as AirborneFlight[]);
    });
    stream.addEventListener("error", () => {
      this.setOnline(false);
      void this.askWho();
      // The browser reconnects by itself unless the server said no; then it is asked again, slowly.
      if (stream.readyState === EventSource.CLOSED) this.reopen();
    });
  }

  /** Whole tracks: events go on from them. */
  private async readAirborne(): Promise<void> {
    if (isGuest(this.store.state.session)) return; // who is not told asks for nothing
    const said = await api.airborne().catch(() => null);
    if (said) this.setAirborne(said);
  }

  /** A presentation that ended while nobody was listening. */
  private async readMeeting(): Promise<void> {
    const presented = await api.meeting().catch(() => undefined);
    if (presented === null) this.store.set({ presented });
  }

  private setAirborne(said: AirborneFlight[]): void {
    const { airborne, events } = this.store.state;
    this.store.set({ airborne: mergeReports(airborne, said, performance.now()) });
    const isNew = (id: string): boolean => !this.asked.has(id) && !events.some((event) => event.event_id === id);
    const unknown = said.map((one) => one.event_id).filter(isNew);
    unknown.forEach((id) => this.asked.add(id));
    // that a flight is complete, or has its first picture, is in the list
    const standing = (all: readonly LiveFlight[]): string => all.map((one) => one.said.flight_id + one.said.state).join();
    if (unknown.length || standing(this.store.state.airborne) !== standing(airborne)) this.refresh();
  }

  /** A network that went away leaves a stream that looks open: only a new one tells whether the server is there. */
  private reopen(): void {
    if (this.retry) return;
    this.stream?.close();
    this.retry = window.setTimeout(() => this.follow(), RETRY_MS);
    this.setOnline(false);
  }

  /** The stream ended, or somebody was refused: a link that was revoked is no lost network, and shows no picture any more. */
  private askWho(): Promise<boolean> {
    this.asksWho ??= this.comeAgain().finally(() => (this.asksWho = null));
    return this.asksWho;
  }

  /**
   * Whether whoever was here is signed in, so that what was refused is worth asking again: they may have come in while
   * it was on its way, or in another tab. Who only looks goes to the door; who writes may have typed something, and
   * keeps it.
   */
  private async comeAgain(): Promise<boolean> {
    const who = await fetchSession();
    if (who === null) return false;
    const { session } = this.store.state;
    if (who === "nobody" && (!session?.account || !canWrite(session))) {
      returnToSignIn(isGuest(session) ? "guest" : "account");
      return false;
    }
    if (!session) return true;
    const again = who === "nobody" ? await signInAgain(session) : await continueAs(session, who);
    const spoken = language();
    if (versions.setAccessVersion(again.withheld)) this.store.set({ withheld: this.store.state.withheld + 1 });
    if (spoken !== this.store.state.language) this.store.set({ language: spoken });
    return true;
  }

  private tellChanged(): void {
    this.store.set({ changed: this.store.state.changed + 1 });
  }

  private setOnline(online: boolean): void {
    if (this.store.state.online !== online) this.store.set({ online });
  }

  private async readFlights(): Promise<void> {
    const { missed } = this;
    const [events, flights] = await Promise.all([api.events(), api.flights()]).catch(() => [null, null]);
    if (!events || !flights) return;
    if (missed) flights.forEach((flight) => flight.mosaics.forEach(versions.invalidateMosaic));
    this.missed = false;
    const { airborne } = this.store.state;
    const eventId = this.store.state.eventId ?? (flights.length || airborne.length ? defaultEvent(events, flights, airborne) : null);
    this.store.set({ events, flights, eventId });
  }
}
