/** How new each tile is known to be. A flight in the air moves few tiles at a time: only those are fetched. */

import type { MosaicInfo, TilesMoved } from "./api";

/** The server's word for what is withheld from this reader: what was fetched under another is asked for no more. */
let rules = "";

/** Another word for what is withheld; whether it is another. */
export function setAccessVersion(said: string): boolean {
  const isOther = said !== rules;
  rules = said;
  return isOther;
}

/** Part of every address of a picture, so that what the browser kept of it under other rules is not shown. */
export function getAccessVersion(): string {
  return rules;
}

interface Known {
  opened: number;
  latest: number;
  tiles: Record<string, number>;
}

const known: Record<string, Known> = {};

/** The mosaic as first listed; all its tiles are as new as that. */
export function trackMosaic(mosaic: MosaicInfo): void {
  known[mosaic.mosaic_id] ??= { opened: mosaic.seq, latest: mosaic.seq, tiles: {} };
}

export function applyMovedTiles(moved: TilesMoved): void {
  const entry = known[moved.mosaic_id];
  if (!entry || moved.seq <= entry.latest) return;
  entry.latest = moved.seq;
  if (moved.tiles) for (const [z, x, y, seq] of moved.tiles) entry.tiles[`${z}/${x}/${y}`] = seq;
  else forget(entry);
}

/** The list says that a mosaic is newer than the events told: some were missed, so nothing is believed. */
export function invalidateMosaic(mosaic: MosaicInfo): void {
  const entry = known[mosaic.mosaic_id];
  if (!entry || mosaic.seq <= entry.latest) return;
  entry.latest = mosaic.seq;
  forget(entry);
}

function forget(entry: Known): void {
  entry.opened = entry.latest;
  entry.tiles = {};
}

export function latestVersion(mosaicId: string): number {
  return known[mosaicId]?.latest ?? 0;
}

export function tileVersion(mosaicId: string, z: number, x: number, y: number): number {
  const entry = known[mosaicId];
  return entry ? (entry.tiles[`${z}/${x}/${y}`] ?? entry.opened) : 0;
}
