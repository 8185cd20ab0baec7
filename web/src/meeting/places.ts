/**
 * The places a presenter walks through, each a view with a name. The server keeps them, for each event a list; this
 * browser keeps what it saw last, so that a meeting goes on without a line.
 */

import { api, ApiError } from "../api";
import { t } from "../i18n";
import type { View } from "../linked";

export interface Place extends View {
  name: string;
}

/** version: of the server's list that these places were made from; null where it was not asked yet. */
interface Kept {
  version: number | null;
  places: Place[];
}

const MOST = 60;

const keyOf = (eventId: string): string => `flycam.places.${eventId}`;

export function readPlaces(eventId: string): Place[] {
  return read(eventId).places;
}

/** The list of one event, as it is here and as the server has it. `onChange` hears of everything that is to be seen. */
export class Places {
  places: Place[] = [];
  /** What is wrong, in words; null: here is what the server has. */
  trouble: string | null = null;
  private version: number | null = null;
  private sending: Promise<void> = Promise.resolve();
  private wanted = 0;

  constructor(
    private readonly eventId: string,
    private readonly mayWrite: () => boolean,
    private readonly onChange: () => void,
  ) {
    ({ places: this.places, version: this.version } = read(eventId));
  }

  /** Asks the server for the list; what was made here without a line, and that nobody changed meanwhile, goes there. */
  async ask(): Promise<void> {
    await this.sending; // what was asked before it arrived would be taken for news
    const wanted = this.wanted;
    const found = await api.places(this.eventId).catch(() => null);
    if (wanted !== this.wanted) return; // changed here meanwhile, which sends it
    if (!found) return this.tell(t("placesHere"));
    const isUnsent = found.version === (this.version ?? 0) && said(found.places) !== said(this.places);
    if (isUnsent && this.places.length && this.mayWrite()) return this.set(this.places);
    this.take(found.version, found.places);
  }

  /** Makes these the places, here at once and then on the server. */
  set(places: Place[]): void {
    this.places = places.slice(0, MOST);
    const wanted = ++this.wanted;
    this.keep();
    this.onChange();
    this.sending = this.sending.then(() => (wanted === this.wanted ? this.send(wanted) : undefined));
  }

  private async send(wanted: number): Promise<void> {
    try {
      this.version ??= (await api.places(this.eventId)).version;
      const written = await api.putPlaces(this.eventId, this.version, this.places);
      this.version = written.version;
      this.keep();
      if (wanted === this.wanted) this.tell(null);
    } catch (error) {
      if (!(error instanceof ApiError)) return this.tell(t("placesHere"));
      const theirs = error.status === 409 ? await api.places(this.eventId).catch(() => null) : null;
      if (theirs) this.take(theirs.version, theirs.places);
      this.tell(error.message);
    }
  }

  private take(version: number, places: Place[]): void {
    this.version = version;
    this.places = places.filter(isPlace);
    this.wanted += 1;
    this.keep();
    this.tell(null);
  }

  private tell(trouble: string | null): void {
    this.trouble = trouble;
    this.onChange();
  }

  private keep(): void {
    localStorage.setItem(keyOf(this.eventId), JSON.stringify({ version: this.version, places: this.places }));
  }
}

function read(eventId: string): Kept {
  try {
    const kept = JSON.parse(localStorage.getItem(keyOf(eventId)) ?? "null") as Partial<Kept> | Place[] | null;
    const places = Array.isArray(kept) ? kept : kept?.places; // a list alone: of a page before the server kept them
    const version = Array.isArray(kept) ? null : kept?.version;
    return { version: typeof version === "number" ? version : null, places: Array.isArray(places) ? places.filter(isPlace).slice(0, MOST) : [] };
  } catch {
    return { version: null, places: [] }; // what this browser kept is damaged: the server has it
  }
}

/** Two lists that say the same are the same, in whatever order their parts stand. */
function said(places: readonly Place[]): string {
  return JSON.stringify(places.map(({ name, view, bounds }) => [name, Object.entries(view).sort(), bounds]));
}

function isPlace(one: unknown): one is Place {
  const place = one as Place | null;
  return typeof place?.name === "string" && typeof place.view === "object" && Array.isArray(place.bounds) && place.bounds.length === 4;
}
