/** What the page is built of. */

import { api, ApiError, type AirborneFlight, type InitialLists } from "./api";

export function fetchInitialLists(): Promise<InitialLists> {
  return Promise.all([api.events(), api.flights(), api.terrain(), api.airborne().catch(noneForGuests)]);
}

/** Guests are not told what is in the air; whoever is not signed in is asked to be by another question. */
function noneForGuests(error: unknown): AirborneFlight[] {
  if (error instanceof ApiError && error.status === 403) return [];
  throw error;
}
