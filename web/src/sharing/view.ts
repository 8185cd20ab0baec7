/** The room of who may see what: guests are invited, what is restricted is listed, and for administrators what is due to go. */

import "../view.css";
import "./sharing.css";
import { el } from "../dom";
import type { ViewContext } from "../views";
import { Invitations } from "./invitations";
import { Restrictions } from "./restrictions";
import { Retention } from "./retention";
import { t } from "./texts";

const HELD = "button:not(:disabled), select, input, [tabindex='0']";

export class SharingView {
  private readonly invitations: Invitations;
  private readonly restrictions: Restrictions;
  private readonly retention: Retention | null;
  private readonly element: HTMLElement;
  private readonly before = document.activeElement;
  private readonly onKey = (event: KeyboardEvent): void => this.heard(event);

  constructor(
    house: ViewContext,
    private readonly onClose: () => void,
  ) {
    const state = (): ViewContext["store"]["state"] => house.store.state;
    this.invitations = new Invitations(state);
    this.restrictions = new Restrictions(state);
    const { session } = state();
    this.retention = session?.open || session?.account?.role === "admin" ? new Retention() : null;
    const close = el("button", { type: "button", class: "sharing-close", click: () => this.close() }, t("close"));
    const bar = el("div", { class: "room-bar" }, el("h1", { id: "sharing-title" }, t("room")), close);
    const desk = el("div", { class: "sharing-desk", role: "group", "aria-labelledby": "sharing-title", tabindex: 0 }, this.invitations.element, this.restrictions.element, ...(this.retention ? [this.retention.element] : []));
    const sheet = el("div", { class: "sharing-sheet", role: "dialog", "aria-modal": "true", "aria-labelledby": "sharing-title", tabindex: -1 }, bar, desk);
    this.element = el("div", { class: "room-over sharing-room" }, sheet);
  }

  enter(): void {
    document.body.append(this.element);
    window.addEventListener("keydown", this.onKey, true);
    this.element.querySelector<HTMLElement>("[role=dialog]")?.focus({ preventScroll: true });
    void this.invitations.read();
    void this.restrictions.read();
    void this.retention?.read();
  }

  private close(): void {
    window.removeEventListener("keydown", this.onKey, true);
    this.element.remove();
    this.onClose();
    if (this.before instanceof HTMLElement) this.before.focus();
  }

  private heard(event: KeyboardEvent): void {
    if (event.key === "Escape") this.close();
    if (event.key === "Tab") this.keepFocus(event);
    const isOurs = event.target instanceof Node && this.element.contains(event.target);
    if (event.key === "Escape" || !isOurs) event.stopPropagation(); // nothing happens behind it
  }

  /** Tab goes round inside: what lies behind is not to be reached. */
  private keepFocus(event: KeyboardEvent): void {
    const held = [...this.element.querySelectorAll<HTMLElement>(HELD)];
    const [first, last] = [held[0], held[held.length - 1]];
    const { activeElement } = document;
    const isOutside = !held.includes(activeElement as HTMLElement);
    if (!event.shiftKey && (activeElement === last || (isOutside && !this.element.contains(activeElement)))) {
      event.preventDefault();
      first?.focus();
    } else if (event.shiftKey && (activeElement === first || isOutside)) {
      event.preventDefault();
      last?.focus();
    }
  }
}
