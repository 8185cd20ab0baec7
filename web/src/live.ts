/**
 * Follows the tile log: a line for a mosaic moves its version, which makes the map fetch the new tiles. The stream is
 * also the one judge of whether the server is there: who hears no answer to a request has it opened anew.
 */

import { api, whenNotAnswered, type TilesMoved } from "./api";
import { debounced } from "./dom";
import type { Store } from "./state";
import * as versions from "./versions";

const RETRY_MS = 5_000;

export class Live {
  private readonly refresh = debounced((missed: boolean) => void this.readFlights(missed), 1500);
  private stream: EventSource | null = null;
  private retry = 0;

  constructor(private readonly store: Store) {
    whenNotAnswered(() => this.reopen());
  }

  follow(): void {
    this.retry = 0;
    const stream = new EventSource("/events");
    this.stream = stream;
    stream.addEventListener("open", () => {
      // What moved while nobody was listening is in the list, not in the stream.
      if (!this.store.state.online) this.refresh(true);
      this.setOnline(true);
    });
    stream.addEventListener("flights", () => this.refresh(false));
    stream.addEventListener("tiles", (event) => {
      versions.apply(JSON.parse((event as MessageEvent<string>).data) as TilesMoved);
      this.refresh(false);
    });
    stream.addEventListener("error", () => {
      this.setOnline(false);
      // The browser reconnects by itself unless the server said no; then it is asked again, slowly.
      if (stream.readyState === EventSource.CLOSED) this.reopen();
    });
  }

  /** A network that went away leaves a stream that looks open: only a new one tells whether the server is there. */
  private reopen(): void {
    if (this.retry) return;
    this.stream?.close();
    this.retry = window.setTimeout(() => this.follow(), RETRY_MS);
    this.setOnline(false);
  }

  private setOnline(online: boolean): void {
    if (this.store.state.online !== online) this.store.set({ online });
  }

  private async readFlights(missed: boolean): Promise<void> {
    const [events, flights] = await Promise.all([api.events(), api.flights()]).catch(() => [null, null]);
    if (!events || !flights) return;
    if (missed) flights.forEach((flight) => flight.mosaics.forEach(versions.catchUp));
    const eventId = this.store.state.eventId ?? flights[0]?.event_id ?? null;
    this.store.set({ events, flights, eventId });
  }
}
