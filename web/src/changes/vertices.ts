/** Outlines for the hand: with so few corners that each can be taken hold of, nowhere further off than is said; and their corners one by one. */

/** Rings of a polygon, each closed: its last corner is its first. */
export type Rings = number[][][];

const TRIES = 4;
/** Three corners, and the first once more. */
const LEAST = 4;

/** With fewer corners, none of what was there further off than `most` (the coordinates' unit), and crossing itself nowhere. */
export function simplifyRings(polygons: Rings[], most: number): Rings[] {
  for (let tries = 0; tries < TRIES; tries++) {
    const fewer = polygons.map((rings) => rings.map((ring) => simplified(ring, most / 2 ** tries)));
    if (!crosses(fewer.flat())) return fewer;
  }
  return polygons;
}

export function countVertices(polygons: Rings[]): number {
  return polygons.flat().reduce((sum, ring) => sum + ring.length - 1, 0);
}

/** Without the corner that lies nearest to a place, and within `reach` of it; null: there is none, or its ring has no more than three. */
export function removeVertex(polygons: Rings[], [x = 0, y = 0]: readonly number[], reach: number): Rings[] | null {
  const all = polygons.flatMap((rings, p) =>
    rings.flatMap((ring, r) => ring.slice(1).map(([cx = 0, cy = 0], c) => ({ p, r, corner: c + 1, off: Math.hypot(cx - x, cy - y) }))),
  );
  const nearest = all.reduce((best, one) => (one.off < best.off ? one : best), { p: -1, r: -1, corner: -1, off: Infinity });
  const ring = polygons[nearest.p]?.[nearest.r];
  if (!ring || nearest.off > reach || ring.length <= LEAST) return null;
  const open = ring.slice(1).filter((_, c) => c + 1 !== nearest.corner);
  const closed = [open[open.length - 1] ?? [], ...open];
  return polygons.map((rings, p) => rings.map((one, r) => (p === nearest.p && r === nearest.r ? closed : one)));
}

/** Douglas and Peucker's way, from the first corner and the one furthest from it; a ring that would be none stays as it is. */
function simplified(ring: number[][], most: number): number[][] {
  const first = ring[0] ?? [];
  const furthest = ring.reduce((best, one, n) => (distance(one, first) > distance(ring[best] ?? first, first) ? n : best), 0);
  const fewer = [...kept(ring.slice(0, furthest + 1), most), ...kept(ring.slice(furthest), most).slice(1)];
  return fewer.length >= LEAST ? fewer : ring;
}

function kept(line: number[][], most: number): number[][] {
  const [from, to] = [line[0], line[line.length - 1]];
  if (!from || !to || line.length < 3) return line;
  let [worst, at] = [0, 0];
  line.forEach((one, n) => {
    const off = offLine(one, from, to);
    if (off > worst) [worst, at] = [off, n];
  });
  if (worst <= most) return [from, to];
  return [...kept(line.slice(0, at + 1), most), ...kept(line.slice(at), most).slice(1)];
}

function distance([ax = 0, ay = 0]: number[], [bx = 0, by = 0]: number[]): number {
  return Math.hypot(ax - bx, ay - by);
}

function offLine([x = 0, y = 0]: number[], [ax = 0, ay = 0]: number[], [bx = 0, by = 0]: number[]): number {
  const [dx, dy] = [bx - ax, by - ay];
  const length2 = dx * dx + dy * dy;
  const share = length2 ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length2)) : 0;
  return Math.hypot(x - ax - share * dx, y - ay - share * dy);
}

/** Whether any two sides, of one ring or of two, cross. */
function crosses(rings: Rings): boolean {
  const sides = rings.flatMap((ring) => ring.slice(1).map((to, n) => [ring[n] ?? to, to] as const));
  return sides.some(([a, b], n) => sides.slice(n + 1).some(([c, d]) => turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0));
}

/** On which side of the line from one to another a third lies. */
function turn([ax = 0, ay = 0]: number[], [bx = 0, by = 0]: number[], [cx = 0, cy = 0]: number[]): number {
  return Math.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax));
}
