/** What people and other services put on the map: read when it is news, and when another event is chosen. */

import { api } from "./api";
import type { Store } from "./state";

export class Board {
  constructor(private readonly store: Store) {
    store.subscribe((state, before) => {
      if (state.eventId === before.eventId) return;
      store.set({ marks: [] }); // a drill's marks never stand on a real map, also not for a moment
      void this.readMarks();
    });
  }

  read(): void {
    void this.readLayers();
    void this.readMarks();
  }

  async readLayers(): Promise<void> {
    const specialist = await api.layers().catch(() => null);
    if (specialist) this.store.set({ specialist });
  }

  async readMarks(): Promise<void> {
    const { eventId } = this.store.state;
    const marks = eventId && (await api.marks(eventId).catch(() => null));
    if (marks && eventId === this.store.state.eventId) this.store.set({ marks: marks.features });
  }
}
