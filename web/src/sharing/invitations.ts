/** Guest links: made, shown once with a QR code, listed, revoked. */

import { api, ApiError } from "../api";
import { el, replaceKeepingFocus, replaceChildren } from "../dom";
import { isLoopbackUrl } from "../loopback";
import { t as said } from "../i18n";
import { renderQrCode } from "../qrCode";
import { currentEvent, type State } from "../state";
import { formatTime } from "../time";
import type { GuestLink, NewGuestLink } from "./types";
import { t } from "./texts";

const HOURS = [1, 6, 12, 24, 72, 168];
const USUAL_HOURS = 6;

export class Invitations {
  readonly element = el("section", {});
  private readonly hours = el("select", { id: "guest-hours" });
  private readonly event = el("select", { id: "guest-event" });
  private readonly communes = el("input", { id: "guest-communes", type: "text", maxlength: 1000, autocomplete: "off", placeholder: "Nậm Lúc, Bản Liền" });
  private readonly make = el("button", { type: "submit", class: "sharing-make" });
  private readonly trouble = el("p", { class: "warning", role: "alert", hidden: true });
  private readonly made = el("div", { class: "sharing-made", hidden: true });
  private readonly list = el("div", { class: "sharing-links" });
  private links: GuestLink[] | null = null;
  /** The link whose address is on the page. */
  private shown = "";

  constructor(private readonly state: () => State) {
    const submit = (event: Event): void => {
      event.preventDefault();
      void this.invite();
    };
    const field = (control: HTMLSelectElement | HTMLInputElement, name: string): HTMLElement => el("label", { for: control.id }, name, control);
    this.make.textContent = t("make");
    this.hours.append(...HOURS.map((hours) => el("option", { value: hours, selected: hours === USUAL_HOURS }, lasting(hours))));
    this.event.append(...this.events());
    this.element.append(
      el("h2", {}, t("invite")),
      el("p", { class: "sharing-note" }, t("inviteNote")),
      el("form", { class: "sharing-form", submit }, field(this.hours, t("hours")), field(this.event, t("event")), field(this.communes, t("onlyCommunes")), this.make),
      this.trouble,
      this.made,
      this.list,
    );
  }

  async read(): Promise<void> {
    this.render();
    const links = await api.guests().catch(() => null);
    this.links = links ?? this.links;
    this.render(links === null);
  }

  private events(): HTMLElement[] {
    const chosen = currentEvent(this.state())?.event_id;
    const { events } = this.state();
    return [
      ...events.map(({ event_id, name, is_drill }) => el("option", { value: event_id, selected: event_id === chosen }, is_drill ? `[${said("drillMark")}] ${name}` : name)),
      el("option", { value: "", selected: !chosen }, t("everything")),
    ];
  }

  private async invite(): Promise<void> {
    this.working(true);
    const made = await this.tried(api.invite(Number(this.hours.value), this.event.value || null, this.communes.value.trim()));
    this.working(false);
    if (!made) return;
    this.show(made);
    await this.read();
  }

  private working(is: boolean): void {
    this.make.disabled = is;
    this.make.textContent = t(is ? "making" : "make");
  }

  private async revoke(link: GuestLink): Promise<void> {
    if (!(await this.tried(api.revokeGuest(link.guest_id)))) return;
    if (this.shown === link.guest_id) this.hide();
    await this.read();
    this.hours.focus(); // its button is gone
  }

  /** What the server answered; null where it refused or is not there, which is said. */
  private async tried<T>(asked: Promise<T>): Promise<T | null> {
    this.trouble.hidden = true;
    return asked.catch((error: unknown) => {
      this.trouble.textContent = error instanceof ApiError ? error.message : said("noAnswer");
      this.trouble.hidden = false;
      return null;
    });
  }

  /** An address and nothing else: not even where the map stands, which belongs to whoever opens it. */
  private show({ path, expires, guest_id }: NewGuestLink): void {
    const link = `${window.location.origin}${path}`;
    const address = el("input", { type: "text", readonly: true, value: link, "aria-label": t("address"), class: "sharing-address" });
    const code = el("div", { class: "sharing-code", role: "img", "aria-label": t("code") });
    code.innerHTML = renderQrCode(link);
    const done = el("span", { role: "status" });
    const copy = async (): Promise<void> => {
      const isCopied = await copied(link, address);
      done.textContent = t(isCopied ? "copied" : "copyByHand");
    };
    this.shown = guest_id;
    this.made.hidden = false;
    replaceChildren(
      this.made,
      el("p", {}, t("made", formatTime(expires))),
      el("div", { class: "sharing-copy" }, address, el("button", { type: "button", click: () => void copy() }, t("copy")), done),
      isLoopbackUrl() && el("p", { class: "warning" }, said("onlyHere")),
      code,
    );
  }

  /** What opens nothing any more is not kept on the page. */
  private hide(): void {
    this.made.hidden = true;
    replaceChildren(this.made);
  }

  private render(isUnread = false): void {
    const { links } = this;
    replaceKeepingFocus(
      this.list,
      links ? el("h3", {}, t("held", links.length)) : el("p", { role: "status" }, t(isUnread ? "unread" : "reading")),
      isUnread && links && el("p", { class: "warning", role: "alert" }, t("unread")),
      links?.length ? el("ul", {}, ...links.map((link) => this.row(link))) : links && el("p", { class: "sharing-empty" }, t("none")),
    );
  }

  private row(link: GuestLink): HTMLElement {
    const name = this.state().events.find(({ event_id }) => event_id === link.event_id)?.name ?? link.event_id ?? t("everything");
    const communes = link.communes.map((one) => one.name).join(", ");
    const facts = [t("until", formatTime(link.expires)), communes && t("communes", communes), t("by", link.made_by)];
    return el(
      "li",
      { "data-guest": link.guest_id },
      el("div", {}, el("strong", {}, name), el("small", {}, facts.filter(Boolean).join(" · "))),
      el("button", { type: "button", "aria-label": t("revokeOf", `${name}, ${t("until", formatTime(link.expires))}`), "data-kept": link.guest_id, click: () => void this.revoke(link) }, t("revoke")),
    );
  }
}

function lasting(hours: number): string {
  return hours > 24 ? t("days", hours / 24) : t("hour", hours);
}

/** Into the clipboard; where the browser lets no page do that (no TLS), the address is selected for the reader to copy. */
async function copied(text: string, field: HTMLInputElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    field.select();
    return document.execCommand("copy");
  }
}
