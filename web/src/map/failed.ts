/** Tiles that were not answered: OpenLayers keeps them as empty and never asks again by itself. */

import type XYZ from "ol/source/XYZ";

export class FailedTiles {
  private any = false;
  private times = 0;

  constructor(private readonly source: XYZ) {
    source.on("tileloaderror", () => (this.any = true));
  }

  /** What is drawn stays until its tile is there again; those the browser keeps cost no request. */
  askAgain(): void {
    if (!this.any) return;
    this.any = false;
    this.times += 1;
    const key = this.source.getKey().replace(/~\d+$/, "");
    this.source.setTileUrlFunction(this.source.getTileUrlFunction(), `${key}~${this.times}`);
  }
}
