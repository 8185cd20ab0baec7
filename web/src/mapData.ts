/**
 * What people and other services put on the map, and how the communes stand: read when it is news, and when another event
 * is chosen.
 */

import { api } from "./api";
import { isGuest } from "./marks";
import { newestDay, type State, type Store } from "./state";

/** Who flies over which commune changes while nothing else does. */
const ALOFT_MS = 10_000;

export class MapData {
  /** Answers may overtake each other on a bad line: an older one never takes the place of a newer. */
  private asked = 0;
  private readonly shown = { specialist: 0, marks: 0, board: 0 };

  constructor(private readonly store: Store) {
    store.subscribe((state, before) => {
      if (state.eventId !== before.eventId) {
        store.set({ marks: [], board: null }); // a drill's marks never stand on a real map, also not for a moment
        void this.readMarks();
        void this.readCommunes();
      } else if (state.asOf !== before.asOf) {
        store.set({ marks: [], board: null }); // what stood at one time is never seen on the map of another
        void this.readMarks();
        void this.readCommunes();
      } else if (othersStand(state, before)) void this.readCommunes();
    });
    window.setInterval(() => {
      if (this.store.state.airborne.length) void this.readCommunes();
    }, ALOFT_MS);
  }

  read(): void {
    void this.readLayers();
    void this.readMarks();
  }

  async readLayers(): Promise<void> {
    if (isGuest(this.store.state.session)) return;
    const turn = ++this.asked;
    const specialist = await api.layers().catch(() => null);
    if (specialist && this.isNewer("specialist", turn)) this.store.set({ specialist });
  }

  async readMarks(): Promise<void> {
    const turn = ++this.asked;
    const { eventId, asOf, session } = this.store.state;
    if (isGuest(session)) return; // who is not told asks for nothing
    const marks = eventId && (await api.marks(eventId, asOf).catch(() => null));
    const now = this.store.state;
    if (marks && eventId === now.eventId && asOf === now.asOf && this.isNewer("marks", turn)) this.store.set({ marks: marks.features });
  }

  /** How every commune stands: only for who looks at it. */
  private async readCommunes(): Promise<void> {
    const state = this.store.state;
    if (state.tab !== "board" || !state.eventId) return;
    const turn = ++this.asked;
    const said = await api.board(state.eventId, newestDay(state), state.asOf).catch(() => null);
    const now = this.store.state;
    if (said && state.eventId === now.eventId && state.asOf === now.asOf && this.isNewer("board", turn)) this.store.set({ board: said.communes, boardPct: said.imaged_pct });
  }

  private isNewer(what: keyof MapData["shown"], turn: number): boolean {
    if (turn < this.shown[what]) return false;
    this.shown[what] = turn;
    return true;
  }
}

/** Whether communes may stand otherwise than they did. */
function othersStand(state: State, before: State): boolean {
  const parts: (keyof State)[] = ["flights", "marks", "changed", "specialist", "tab"];
  return parts.some((part) => state[part] !== before[part]) || (state.online && !before.online);
}
