/** What people and other services put on the map: read when it is news, and when another event is chosen. */

import { api } from "./api";
import type { Store } from "./state";

export class Board {
  /** Answers may overtake each other on a bad line: an older one never takes the place of a newer. */
  private asked = 0;
  private readonly shown = { specialist: 0, marks: 0 };

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
    const turn = ++this.asked;
    const specialist = await api.layers().catch(() => null);
    if (specialist && this.isNewer("specialist", turn)) this.store.set({ specialist });
  }

  async readMarks(): Promise<void> {
    const turn = ++this.asked;
    const { eventId } = this.store.state;
    const marks = eventId && (await api.marks(eventId).catch(() => null));
    if (marks && eventId === this.store.state.eventId && this.isNewer("marks", turn)) this.store.set({ marks: marks.features });
  }

  private isNewer(what: "specialist" | "marks", turn: number): boolean {
    if (turn < this.shown[what]) return false;
    this.shown[what] = turn;
    return true;
  }
}
