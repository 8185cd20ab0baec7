/** Follows the tile log: a line for a mosaic moves its version, which makes the map fetch the new tiles. */

import { api } from "./api";
import { debounced } from "./dom";
import type { Store } from "./state";

const RETRY_MS = 10_000;

export class Live {
  private readonly refresh = debounced(() => void this.readFlights(), 1500);

  constructor(private readonly store: Store) {}

  follow(): void {
    const stream = new EventSource("/events");
    stream.addEventListener("open", () => {
      if (!this.store.state.online) this.refresh();
      this.setOnline(true);
    });
    stream.addEventListener("tiles", () => this.refresh());
    stream.addEventListener("error", () => {
      this.setOnline(false);
      // The browser reconnects by itself unless the server said no; then it is asked again, slowly.
      if (stream.readyState === EventSource.CLOSED) window.setTimeout(() => this.follow(), RETRY_MS);
    });
  }

  private setOnline(online: boolean): void {
    if (this.store.state.online !== online) this.store.set({ online });
  }

  private async readFlights(): Promise<void> {
    const [events, flights] = await Promise.all([api.events(), api.flights()]).catch(() => [null, null]);
    if (!events || !flights) return;
    const eventId = this.store.state.eventId ?? flights[0]?.event_id ?? null;
    this.store.set({ events, flights, eventId });
  }
}
