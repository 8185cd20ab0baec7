/**
 * Cards of live flights stand where no aircraft is: one over an aircraft's sign hides where it is. They step aside, and
 * stay there until an aircraft comes; not under a hand, nor while a video is played in them.
 */

import { rectangleOver, rectanglesOverlap, type Rectangle } from "../map/rectangles";

export class CardPlacement {
  /** others: what the cards must not be moved under. */
  constructor(
    private readonly map: HTMLElement,
    private readonly cards: HTMLElement,
    private readonly others: readonly HTMLElement[],
  ) {}

  /** signs: of aircraft. What lies over the map once the cards stand. */
  settle(signs: readonly Rectangle[]): Rectangle[] {
    if (this.covers(signs) && !this.isUsed()) {
      this.cards.classList.toggle("aside");
      if (this.covers(signs)) this.cards.classList.toggle("aside"); // no better there
    }
    return this.over([this.cards, ...this.others]);
  }

  private covers(signs: readonly Rectangle[]): boolean {
    const [cards] = this.over([this.cards]);
    if (!cards) return false;
    const isAside = this.cards.classList.contains("aside");
    const inTheWay = isAside ? this.over(this.others) : [];
    return [...signs, ...inTheWay].some((box) => rectanglesOverlap(cards, box));
  }

  private isUsed(): boolean {
    return this.cards.matches(":hover, :focus-within") || this.cards.querySelector(".playing") !== null;
  }

  private over(elements: readonly HTMLElement[]): Rectangle[] {
    return elements.flatMap((one) => rectangleOver(this.map, one) ?? []);
  }
}
