/** The places a presenter walks through, each a view with a name. Kept by this browser, for each event its own. */

import type { View } from "../linked";

export interface Place extends View {
  name: string;
}

const MOST = 60;

const keyOf = (eventId: string): string => `flycam.places.${eventId}`;

export function readPlaces(eventId: string): Place[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(keyOf(eventId)) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isPlace).slice(0, MOST) : [];
  } catch {
    return []; // what this browser kept is damaged: an empty list can be filled again
  }
}

export function keepPlaces(eventId: string, places: Place[]): void {
  localStorage.setItem(keyOf(eventId), JSON.stringify(places.slice(0, MOST)));
}

function isPlace(one: unknown): one is Place {
  const place = one as Place | null;
  return typeof place?.name === "string" && typeof place.view === "object" && Array.isArray(place.bounds) && place.bounds.length === 4;
}
