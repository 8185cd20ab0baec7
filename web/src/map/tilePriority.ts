/**
 * In which order tiles come. Over a thin line all of a view takes seconds: what is seen has the line to itself, and
 * one level coarser, for what is done next, is asked for when nothing else of the layer is on its way.
 */

import OlMap, { type MapOptions } from "ol/Map";
import type OlTile from "ol/Tile";
import type XYZ from "ol/source/XYZ";
import type TileSource from "ol/source/Tile";
import ViewHint from "ol/ViewHint";
import { getUid } from "ol/util";

/** OpenLayers' word for a tile that is not asked for now. */
const NOT_NOW = Infinity;

/** What is on its way of one layer. */
class Coming {
  /** As fine as is seen, and not there yet. */
  private readonly open = new Set<string>();

  constructor(private readonly source: XYZ) {
    source.on(["tileloadend", "tileloaderror"], (event) => void this.open.delete(nameOf((event as unknown as { tile: OlTile }).tile)));
  }

  /** `usual`: OpenLayers' own order, the finest and nearest first; NOT_NOW is of tiles that nobody looks for any more. */
  priority(tile: OlTile, usual: number, resolution: number): number {
    const levels = (this.source.getTileGrid()?.getZForResolution(resolution) ?? 0) - (tile.tileCoord[0] ?? 0);
    const isSeen = usual !== NOT_NOW && levels <= 0;
    if (isSeen) this.open.add(nameOf(tile));
    else this.open.delete(nameOf(tile));
    return isSeen || !this.open.size ? usual : NOT_NOW;
  }
}

function nameOf(tile: OlTile): string {
  return tile.tileCoord.join("/");
}

export class TilePriorityMap extends OlMap {
  private coming: Record<string, Coming> = {};

  constructor(options: MapOptions) {
    super(options);
    this.on("postrender", ({ frameState }) => {
      if (!frameState) return;
      // While the map glides on after it was let go, OpenLayers asks for nothing on an old PC: half a second is lost.
      const { viewHints, viewState } = frameState;
      const glides = viewState.nextCenter && !viewState.nextResolution && !viewHints[ViewHint.INTERACTING];
      if (glides) viewHints[ViewHint.ANIMATING] = 0;
    });
  }

  /** Tiles of this source come in the order of this module. */
  order(source: XYZ): void {
    this.coming[getUid(source)] = new Coming(source);
  }

  forget(source: TileSource | null): void {
    if (source) delete this.coming[getUid(source)];
  }

  override getTilePriority(tile: OlTile, sourceKey: string, centre: number[], resolution: number): number {
    const usual = super.getTilePriority(tile, sourceKey, centre, resolution);
    const seen = this.getView().getResolution();
    return seen === undefined ? usual : (this.coming[sourceKey]?.priority(tile, usual, seen) ?? usual);
  }
}
