/**
 * Whose turn it is while the map opens. A browser asks a server for six things at a time, and over a thin line each
 * waits for the others: pictures go first, and what is written beside them follows.
 */

let asked: Promise<void> = Promise.resolve();

/** A tab that is not looked at draws nothing: what waits for its pictures is asked for all the same. */
const LONGEST_MS = 3000;

/** `whenAsked` calls back once the pictures of the opening view were asked for. */
export function holdForTiles(whenAsked: (then: () => void) => void): void {
  asked = new Promise((resolve) => {
    whenAsked(resolve);
    window.setTimeout(resolve, LONGEST_MS);
  });
}

/** At once, but while the map opens. */
export function waitForTiles(): Promise<void> {
  return asked;
}
