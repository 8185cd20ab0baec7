/**
 * The work CRS of a place: UTM on the WGS 84 ellipsoid, plain zones of six degrees. The page works it out itself (Krüger's
 * series to n⁴), to a millimetre of what the server's PROJ says: a line that dies does not end a measurement.
 *
 * Source: Karney, Transverse Mercator with an accuracy of a few nanometers, 2011, equations 7 to 12 and 35.
 */

const A_M = 6_378_137;
const F = 1 / 298.257223563;
const SCALE = 0.9996;
const N = F / (2 - F);
const E = Math.sqrt(F * (2 - F));
/** Radius of the rectifying sphere, metres. */
const RECTIFYING_M = (A_M / (1 + N)) * (1 + N ** 2 / 4 + N ** 4 / 64);
const ALPHA = [
  N / 2 - (2 * N ** 2) / 3 + (5 * N ** 3) / 16 + (41 * N ** 4) / 180,
  (13 * N ** 2) / 48 - (3 * N ** 3) / 5 + (557 * N ** 4) / 1440,
  (61 * N ** 3) / 240 - (103 * N ** 4) / 140,
  (49561 * N ** 4) / 161280,
];

export type Metres = [number, number];

export function utmZone(lon: number): number {
  return Math.min(Math.floor((lon + 180) / 6) + 1, 60);
}

/** East and north in a zone, metres, without the false ones: differences are all that is measured. */
export function toUtm(lon: number, lat: number, zone: number): Metres {
  const lambda = radians(lon - (6 * zone - 183));
  const sine = Math.sin(radians(lat));
  const t = Math.sinh(Math.atanh(sine) - E * Math.atanh(E * sine));
  const xi = Math.atan2(t, Math.cos(lambda));
  const eta = Math.asinh(Math.sin(lambda) / Math.hypot(t, Math.cos(lambda)));
  let [east, north] = [eta, xi];
  ALPHA.forEach((alpha, i) => {
    const k = 2 * (i + 1);
    east += alpha * Math.cos(k * xi) * Math.sinh(k * eta);
    north += alpha * Math.sin(k * xi) * Math.cosh(k * eta);
  });
  return [SCALE * RECTIFYING_M * east, SCALE * RECTIFYING_M * north];
}

export function lengthM(places: readonly Metres[]): number {
  return places.slice(1).reduce((sum, [x, y], i) => sum + Math.hypot(x - (places[i]?.[0] ?? x), y - (places[i]?.[1] ?? y)), 0);
}

/** Of the outline closed, square metres. */
export function areaM2(places: readonly Metres[]): number {
  const twice = places.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = places[(i + 1) % places.length] ?? [x, y];
    return sum + x * nextY - nextX * y;
  }, 0);
  return Math.abs(twice) / 2;
}

/** Whether two sides of the outline cross: then nobody can say what lies inside. */
export function crossesItself(places: readonly Metres[]): boolean {
  const sides = places.map((from, i) => [from, places[(i + 1) % places.length] ?? from] as const);
  return sides.some(([a, b], i) => sides.slice(i + 2).some(([c, d], j) => !(i === 0 && i + 2 + j === sides.length - 1) && meet(a, b, c, d)));
}

function meet(a: Metres, b: Metres, c: Metres, d: Metres): boolean {
  return turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0;
}

function turn([ax, ay]: Metres, [bx, by]: Metres, [cx, cy]: Metres): number {
  return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}
