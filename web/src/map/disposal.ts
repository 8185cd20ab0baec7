/** The end of a map that is shown for a while: nothing of it is drawn any more, and nothing holds its tiles. */

import type Map from "ol/Map";

export function disposeMap(map: Map): void {
  map.setTarget(undefined);
  const layers = map.getLayers().getArray().slice();
  map.setLayers([]);
  // tiles to be loaded ahead are queued in a turn of their own, by the renderer that disposing takes away
  window.setTimeout(() => {
    for (const layer of layers) layer.dispose();
  }, 0);
}
