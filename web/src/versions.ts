/** How new each tile is known to be. A flight in the air moves few tiles at a time: only those are fetched. */

import type { MosaicInfo, TilesMoved } from "./api";

interface Known {
  opened: number;
  latest: number;
  tiles: Record<string, number>;
}

const known: Record<string, Known> = {};

/** The mosaic as first listed; all its tiles are as new as that. */
export function open(mosaic: MosaicInfo): void {
  known[mosaic.mosaic_id] ??= { opened: mosaic.seq, latest: mosaic.seq, tiles: {} };
}

export function apply(moved: TilesMoved): void {
  const entry = known[moved.mosaic_id];
  if (!entry || moved.seq <= entry.latest) return;
  entry.latest = moved.seq;
  if (moved.tiles) for (const [z, x, y, seq] of moved.tiles) entry.tiles[`${z}/${x}/${y}`] = seq;
  else forget(entry);
}

/** The list says that a mosaic is newer than the events told: some were missed, so nothing is believed. */
export function catchUp(mosaic: MosaicInfo): void {
  const entry = known[mosaic.mosaic_id];
  if (!entry || mosaic.seq <= entry.latest) return;
  entry.latest = mosaic.seq;
  forget(entry);
}

function forget(entry: Known): void {
  entry.opened = entry.latest;
  entry.tiles = {};
}

export function latest(mosaicId: string): number {
  return known[mosaicId]?.latest ?? 0;
}

export function versionOf(mosaicId: string, z: number, x: number, y: number): number {
  const entry = known[mosaicId];
  return entry ? (entry.tiles[`${z}/${x}/${y}`] ?? entry.opened) : 0;
}
