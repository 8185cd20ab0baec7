/** The list of places to walk through: made before the meeting, gone through in it. */

import { el, replaceChildren, setText } from "../dom";
import { isLoopbackUrl } from "../loopback";
import { t } from "../i18n";
import { renderQrCode } from "../qrCode";
import { BriefingPlaces, type BriefingPlace } from "./briefingPlaces";

interface Walk {
  go: (place: BriefingPlace) => void;
  /** The view of now under a name; null while there is none. */
  now: (name: string) => BriefingPlace | null;
  suggested: () => string;
  mayWrite: () => boolean;
  onChange: () => void;
}

export class BriefingPlaceListPanel {
  readonly element = el("aside", { class: "places", hidden: true });
  private readonly list = el("ol");
  private readonly name = el("input", { type: "text", maxlength: 80 });
  private readonly add = el("button", { type: "submit" });
  private readonly title = el("h2");
  private readonly address = el("p", { class: "places-link" });
  private readonly onlyHere = el("p", { class: "warning", hidden: !isLoopbackUrl() });
  private readonly code = el("div", { class: "places-code", role: "img" });
  private readonly trouble = el("p", { class: "places-trouble", role: "status", hidden: true });
  private readonly form: HTMLElement;
  private kept: BriefingPlaces | null = null;
  private eventId: string | null = null;
  private at = -1;

  constructor(private readonly walk: Walk) {
    const submit = (event: Event): void => {
      event.preventDefault();
      const place = walk.now(this.name.value.trim() || walk.suggested());
      if (!place) return;
      this.name.value = "";
      this.at = this.places.length;
      this.kept?.set([...this.places, place]);
    };
    this.form = el("form", { class: "places-new", submit }, this.name, this.add);
    this.element.append(this.title, this.trouble, this.list, this.form, this.address, this.onlyHere, this.code);
  }

  private get places(): readonly BriefingPlace[] {
    return this.kept?.places ?? [];
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  toggle(eventId: string | null): void {
    this.open(eventId);
    this.element.hidden = !this.element.hidden;
    this.fill();
    if (!this.isOpen) return;
    this.kept?.ask();
    this.name.focus();
  }

  close(): void {
    this.element.hidden = true;
  }

  /** The places of an event. */
  open(eventId: string | null): void {
    if (eventId === this.eventId) return;
    this.eventId = eventId;
    this.kept = eventId ? new BriefingPlaces(eventId, () => this.changed(eventId)) : null;
    this.at = -1;
    this.fill();
    this.askAgain();
  }

  /** The server may have another list by now, and lacks what was made here without it. */
  askAgain(): void {
    this.kept?.ask();
  }

  /** The next or the last one; null at the end of the list. */
  step(by: number): BriefingPlace | null {
    const to = this.at < 0 ? (by > 0 ? 0 : this.places.length - 1) : this.at + by;
    const place = this.places[to];
    if (!place) return null;
    this.at = to;
    this.fill();
    return place;
  }

  private fill(): void {
    const { trouble = null } = this.kept ?? {};
    setText(this.title, t("placesTitle"));
    setText(this.trouble, trouble ?? "");
    this.trouble.hidden = trouble === null;
    this.form.hidden = !this.walk.mayWrite();
    this.name.placeholder = this.walk.suggested() || t("placesName");
    this.name.setAttribute("aria-label", t("placesName"));
    setText(this.add, t("placesAdd"));
    // an address and nothing else: whoever opens it signs in
    const link = `${window.location.origin}${window.location.pathname}#meet=follow`;
    setText(this.address, `${t("placesLink")} ${link}`);
    setText(this.onlyHere, t("onlyHere"));
    this.code.setAttribute("aria-label", t("placesCode"));
    if (!this.code.hasChildNodes()) this.code.innerHTML = renderQrCode(link);
    replaceChildren(this.list, ...this.places.map((place, n) => this.row(place, n)));
    if (!this.places.length) replaceChildren(this.list, el("li", { class: "empty" }, t("placesNone")));
  }

  private row(place: BriefingPlace, n: number): HTMLElement {
    const button = (sign: string, label: string, click: () => void, disabled = false): HTMLElement =>
      el("button", { type: "button", "aria-label": label, title: label, disabled, click }, sign);
    const go = (): void => {
      this.at = n;
      this.fill();
      this.walk.go(place);
    };
    return el(
      "li",
      { class: n === this.at ? "here" : "" },
      el("button", { type: "button", class: "place-go", "aria-current": n === this.at ? "true" : undefined, click: go }, `${n + 1}. ${place.name}`),
      ...(this.walk.mayWrite()
        ? [
            button("↑", t("placesUp"), () => this.move(n, n - 1), n === 0),
            button("↓", t("placesDown"), () => this.move(n, n + 1), n === this.places.length - 1),
            button("×", t("placesRemove"), () => this.kept?.set(this.places.filter((_, k) => k !== n))),
          ]
        : []),
    );
  }

  private move(from: number, to: number): void {
    const places = [...this.places];
    const [place] = places.splice(from, 1);
    if (place) places.splice(to, 0, place);
    if (this.at === from) this.at = to;
    this.kept?.set(places);
  }

  /** Here, or by somebody else. */
  private changed(eventId: string): void {
    if (eventId !== this.eventId) return;
    this.at = Math.min(this.at, this.places.length - 1);
    this.fill();
    this.walk.onChange();
  }
}
