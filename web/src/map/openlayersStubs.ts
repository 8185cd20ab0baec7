/**
 * In place of two parts of OpenLayers in the built page: styles written as data, and pictures of another projection
 * than the map's (`vite.config.ts` says by whom they are asked for). Whoever comes to need one is told so.
 */

export function flatStyleLikeToStyleFunction(): never {
  throw new Error("styles written as data are left out of the built page: see web/vite.config.ts");
}

export default class ReprojectedTile {
  constructor() {
    throw new Error("tiles of another projection are left out of the built page: see web/vite.config.ts");
  }
}
