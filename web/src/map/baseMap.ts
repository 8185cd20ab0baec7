/** What lies under the imagery: terrain shading of the registered DEM, and the hatch of ground not flown. */

import type Map from "ol/Map";
import Feature from "ol/Feature";
import { fromExtent } from "ol/geom/Polygon";
import TileLayer from "ol/layer/Tile";
import VectorLayer from "ol/layer/Vector";
import XYZ from "ol/source/XYZ";
import VectorSource from "ol/source/Vector";
import Fill from "ol/style/Fill";
import Style from "ol/style/Style";
import { transformExtent } from "ol/proj";
import type { State } from "../state";
import { COLOURS, hatchTile } from "./colours";
import { TileRetry } from "./tileRetry";
import { unionBounds, Z } from "./view";

const WORLD = [-20037508, -20037508, 20037508, 20037508];

export class BaseMap {
  private readonly hillshade: TileLayer<XYZ>;
  private readonly failed: TileRetry;
  private readonly notFlown: VectorLayer;

  constructor(private readonly map: Map) {
    const source = new XYZ({ url: "/api/hillshade/{z}/{x}/{y}", minZoom: 6, maxZoom: 16, transition: 0 });
    this.hillshade = new TileLayer({ source, zIndex: Z.hillshade, visible: false });
    this.failed = new TileRetry(source);
    const pen = document.createElement("canvas").getContext("2d");
    const pattern = pen?.createPattern(hatchTile(COLOURS.notFlownLine, 11, 1.1), "repeat");
    this.notFlown = new VectorLayer({
      source: new VectorSource({ features: [new Feature(fromExtent(WORLD))] }),
      style: new Style({ fill: new Fill({ color: pattern ?? "transparent" }) }),
      zIndex: Z.notFlown,
    });
    this.map.addLayer(this.hillshade);
    this.map.addLayer(this.notFlown);
  }

  /** Where terrain is registered; without any there is nothing to ask the server for. */
  setTerrain(bounds: number[][]): void {
    const union = unionBounds(bounds);
    this.hillshade.setExtent(union ? transformExtent(union, "EPSG:4326", "EPSG:3857") : [0, 0, 0, 0]);
    this.hillshade.set("known", Boolean(union));
  }

  /** The server is back: shading it did not answer for is asked for again. */
  askAgain(): void {
    this.failed.askAgain();
  }

  update(state: State): void {
    this.hillshade.setVisible(state.layers.hillshade && Boolean(this.hillshade.get("known")));
    this.notFlown.setVisible(state.layers.notFlown);
  }
}
