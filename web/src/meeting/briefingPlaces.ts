/**
 * The places a presenter walks through, each a view with a name. The server keeps them, for each event a list; this
 * browser keeps what it saw last, so that a meeting goes on without a line.
 */

import { api, ApiError, type BriefingPlaceList } from "../api";
import { t } from "../i18n";
import type { SharedMapView } from "../sharedView";

export interface BriefingPlace extends SharedMapView {
  name: string;
}

/**
 * version: of the server's list that these places were made from; null: that was never seen. isUnsent: whether something
 * of them is here only.
 */
interface Kept {
  version: number | null;
  isUnsent: boolean;
  places: BriefingPlace[];
}

const MOST = 60;
const MOST_ATTEMPTS = 3;

const keyOf = (eventId: string): string => `flycam.places.${eventId}`;

export function readBriefingPlaces(eventId: string): BriefingPlace[] {
  return read(eventId).places;
}

/**
 * The list of one event, as it is here and as the server has it. What was made here is never dropped: where somebody
 * else changed the list meanwhile both are joined, and that is said. `onChange` hears of everything that is to be seen.
 */
export class BriefingPlaces {
  places: BriefingPlace[];
  /** What is to be known of the list, in words; null: here is what the server has. */
  trouble: string | null = null;
  private version: number | null;
  private isUnsent: boolean;
  private isJoined = false;
  /** One question or answer after the other: what was asked before another arrived would be taken for news. */
  private settling: Promise<void> = Promise.resolve();

  constructor(
    private readonly eventId: string,
    private readonly onChange: () => void,
  ) {
    ({ places: this.places, version: this.version, isUnsent: this.isUnsent } = read(eventId));
  }

  /** Asks the server for the list; what is here only goes there. */
  ask(): void {
    this.settling = this.settling.then(() => this.settle());
  }

  /** Makes these the places, here at once and then on the server. */
  set(places: BriefingPlace[]): void {
    this.places = places.slice(0, MOST);
    this.isUnsent = true;
    this.isJoined = false;
    this.keep();
    this.onChange();
    this.ask();
  }

  private async settle(): Promise<void> {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
      try {
        const knows = this.isUnsent && this.version !== null && attempt === 0;
        const theirs = knows ? null : await api.places(this.eventId);
        if (theirs && !this.isUnsent) return this.take(theirs);
        if (theirs) this.join(theirs);
        return await this.send(this.places);
      } catch (error) {
        if (!(error instanceof ApiError)) return this.tell(t("placesHere"));
        if (error.status !== 409) return this.tell(error.message);
      }
    }
    this.tell(t("placesHere"));
  }

  private async send(sent: BriefingPlace[]): Promise<void> {
    const written = await api.putPlaces(this.eventId, this.version ?? 0, sent);
    this.version = written.version;
    this.isUnsent = this.places !== sent; // what was changed meanwhile has its own turn
    this.keep();
    this.tell(this.isJoined ? t("placesJoined") : null);
  }

  private take({ version, places }: BriefingPlaceList): void {
    this.version = version;
    this.places = places.filter(isPlace);
    this.keep();
    this.tell(this.isJoined ? this.trouble : null);
  }

  /** The server's list first, then what is here only. */
  private join({ version, places }: BriefingPlaceList): void {
    if (version === this.version) return;
    this.version = version;
    const theirs = places.filter(isPlace);
    const known = new Set(theirs.map(said));
    const ours = this.places.filter((one) => !known.has(said(one)));
    if (!theirs.length || (!ours.length && theirs.length === this.places.length)) return;
    this.places = [...theirs, ...ours].slice(0, MOST);
    this.isJoined = true;
    this.onChange();
  }

  private tell(trouble: string | null): void {
    this.trouble = trouble;
    this.onChange();
  }

  private keep(): void {
    const { version, isUnsent, places } = this;
    localStorage.setItem(keyOf(this.eventId), JSON.stringify({ version, isUnsent, places } satisfies Kept));
  }
}

function read(eventId: string): Kept {
  try {
    const kept = JSON.parse(localStorage.getItem(keyOf(eventId)) ?? "null") as Partial<Kept> | BriefingPlace[] | null;
    if (Array.isArray(kept)) return { version: null, isUnsent: kept.length > 0, places: kept.filter(isPlace) }; // of a page before the server kept them
    const { version, isUnsent, places } = kept ?? {};
    return {
      version: typeof version === "number" ? version : null,
      isUnsent: isUnsent === true,
      places: Array.isArray(places) ? places.filter(isPlace).slice(0, MOST) : [],
    };
  } catch {
    return { version: null, isUnsent: false, places: [] }; // what this browser kept is damaged: the server has it
  }
}

/** Two places that say the same are the same, in whatever order their parts stand. */
function said({ name, view, bounds }: BriefingPlace): string {
  return JSON.stringify([name, Object.entries(view).sort(), bounds]);
}

function isPlace(one: unknown): one is BriefingPlace {
  const place = one as BriefingPlace | null;
  return typeof place?.name === "string" && typeof place.view === "object" && Array.isArray(place.bounds) && place.bounds.length === 4;
}
