/** Tiles that were not answered: OpenLayers keeps them as empty and never asks again by itself. */

import type XYZ from "ol/source/XYZ";

const FIRST_PAUSE_S = 4;
const LONGEST_PAUSE_S = 120;

export class TileRetry {
  private any = false;
  private times = 0;
  private pauseS = FIRST_PAUSE_S;
  private timer = 0;
  private lastMs = 0;

  constructor(private readonly source: XYZ) {
    source.on("tileloaderror", () => this.note());
  }

  /** What is drawn stays until its tile is there again; those the browser keeps cost no request. */
  askAgain(): void {
    this.pauseS = FIRST_PAUSE_S;
    this.ask();
  }

  /** On a bad link single tiles are lost while all else is answered: they are asked for again, ever less often. */
  private note(): void {
    this.any = true;
    const nowMs = Date.now();
    if (nowMs - this.lastMs > 2000 * LONGEST_PAUSE_S) this.pauseS = FIRST_PAUSE_S;
    this.lastMs = nowMs;
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.pauseS = Math.min(2 * this.pauseS, LONGEST_PAUSE_S);
      this.ask();
    }, this.pauseS * 1000);
  }

  private ask(): void {
    if (!this.any) return;
    this.any = false;
    this.times += 1;
    const key = this.source.getKey().replace(/~\d+$/, "");
    this.source.setTileUrlFunction(this.source.getTileUrlFunction(), `${key}~${this.times}`);
  }
}
