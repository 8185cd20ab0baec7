/** Rectangles on the map, in its pixels: what lies over what. */

export interface Rectangle {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export function rectanglesOverlap(one: Rectangle, other: Rectangle): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

export function rectangleContains(outer: Rectangle, inner: Rectangle): boolean {
  return outer.left <= inner.left && outer.top <= inner.top && outer.right >= inner.right && outer.bottom >= inner.bottom;
}

/** Where an element stands over the map; null where it is not shown. */
export function rectangleOver(map: HTMLElement, element: HTMLElement): Rectangle | null {
  const box = element.getBoundingClientRect();
  if (!box.width || !box.height) return null;
  const { left, top } = map.getBoundingClientRect();
  return { left: box.left - left, top: box.top - top, right: box.right - left, bottom: box.bottom - top };
}
