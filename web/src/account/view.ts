/** The room of what lets in: a short code for another machine, and tokens, made, shown once, listed, revoked one by one. */

import "../view.css";
import "./account.css";
import { api, ApiError } from "../api";
import { el, replaceKeepingFocus, replaceChildren } from "../dom";
import { t as said, translateOr } from "../i18n";
import type { State } from "../state";
import { formatTime } from "../time";
import type { TokenInfo, TokenScope } from "./types";
import { renderSecret } from "./secret";
import { t } from "./texts";

const SCOPES: TokenScope[] = ["all", "map", "uploads", "sync"];
const DAYS = [7, 30, 90, 365];
const USUAL_DAYS = 365;

export class AccountView {
  private readonly dialog: HTMLDialogElement;
  private readonly whose = el("select", { id: "account-whose" });
  private readonly label = el("input", { id: "account-label", type: "text", required: true, maxlength: 80, autocomplete: "off", placeholder: t("labelHint") });
  private readonly scope = el("select", { id: "account-scope" });
  private readonly days = el("select", { id: "account-days" });
  private readonly trouble = el("p", { class: "warning", role: "alert", hidden: true });
  private readonly shown = el("div", { class: "account-shown", role: "status", hidden: true });
  private readonly list = el("div", { class: "account-list" });
  private readonly own: string;
  private readonly isAdmin: boolean;
  private tokens: TokenInfo[] | null = null;
  /** The token that is on the page. */
  private shownId = "";

  constructor(state: State, onClose: () => void) {
    const account = state.session?.account;
    this.own = account?.name ?? "";
    this.isAdmin = account?.role === "admin";
    const title = account ? t("roomOf", account.name, translateOr(`role_${account.role}`, account.role)) : t("room");
    this.whose.append(el("option", { value: this.own }, this.own));
    this.scope.append(...SCOPES.map((one) => el("option", { value: one }, t(`scope_${one}`))));
    this.days.append(...DAYS.map((one) => el("option", { value: one, selected: one === USUAL_DAYS }, t("day", one))), el("option", { value: "" }, t("never")));
    const close = el("button", { type: "button", click: () => this.dialog.close() }, t("close"));
    this.dialog = el(
      "dialog",
      { class: "room-dialog account-room", "aria-labelledby": "account-title" },
      el("div", { class: "room-bar" }, el("h1", { id: "account-title" }, title), close),
      el("div", { class: "account-desk", tabindex: 0, role: "group", "aria-labelledby": "account-title" }, this.isAdmin && field(this.whose, t("whose")), this.trouble, this.shown, this.elsewhere(), this.making(), this.list),
    );
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      onClose();
    });
  }

  enter(): void {
    document.body.append(this.dialog);
    this.dialog.showModal();
    void this.read();
    if (this.isAdmin) void this.readAccounts();
  }

  private elsewhere(): HTMLElement {
    const make = el("button", { type: "button", click: () => void this.makeCode() }, t("codeMake"));
    return el("section", {}, el("h2", {}, t("elsewhere")), el("p", { class: "account-note" }, t("elsewhereNote")), make);
  }

  private making(): HTMLElement {
    const submit = (event: Event): void => {
      event.preventDefault();
      void this.makeToken();
    };
    const button = el("button", { type: "submit", class: "account-make" }, t("button"));
    const form = el("form", { class: "account-form", submit }, field(this.label, t("label")), field(this.scope, t("scope")), field(this.days, t("days")), button);
    return el("section", {}, el("h2", {}, t("make")), el("p", { class: "account-note" }, t("makeNote")), form);
  }

  private async readAccounts(): Promise<void> {
    const known = await api.accounts().catch(() => null);
    if (known) replaceChildren(this.whose, ...known.map(({ name, role }) => el("option", { value: name, selected: name === this.own }, `${name} (${translateOr(`role_${role}`, role)})`)));
  }

  private async read(): Promise<void> {
    if (!this.tokens) this.render();
    const tokens = await api.tokens().catch(() => null);
    this.tokens = tokens ?? this.tokens;
    this.render(tokens === null);
  }

  private async makeCode(): Promise<void> {
    const made = await this.tried(api.makeCode(this.whose.value));
    if (made) this.show("", t("codeMade", made.account, made.seconds / 60), made.code);
  }

  private async makeToken(): Promise<void> {
    const days = this.days.value ? Number(this.days.value) : null;
    const made = await this.tried(api.makeToken({ label: this.label.value, scope: this.scope.value as TokenScope, days, account: this.whose.value }));
    if (!made) return;
    this.label.value = "";
    this.show(made.token_id, t("made", made.label), made.token);
    await this.read();
  }

  private async revoke(token: TokenInfo): Promise<void> {
    if (!(await this.tried(api.revokeToken(token.token_id)))) return;
    if (token.is_mine_now) return window.location.reload(); // this page is signed out with it
    if (token.token_id === this.shownId) this.hide();
    await this.read();
    this.label.focus(); // its button is gone
  }

  /** What the server answered; null where it refused or is not there, which is said. */
  private async tried<T>(asked: Promise<T>): Promise<T | null> {
    this.trouble.hidden = true;
    return asked.catch((error: unknown) => {
      this.trouble.textContent = error instanceof ApiError ? error.message : said("noAnswer");
      this.trouble.hidden = false;
      this.trouble.scrollIntoView({ block: "nearest" });
      return null;
    });
  }

  private show(tokenId: string, what: string, secret: string): void {
    this.shownId = tokenId;
    this.shown.hidden = false;
    replaceChildren(this.shown, el("p", {}, what), renderSecret(secret, what));
    this.shown.scrollIntoView({ block: "nearest" });
  }

  private hide(): void {
    this.shown.hidden = true;
    replaceChildren(this.shown);
  }

  private render(isUnread = false): void {
    const { tokens } = this;
    replaceKeepingFocus(
      this.list,
      tokens ? el("h2", {}, t("held", tokens.length)) : el("p", { role: "status" }, t(isUnread ? "unread" : "reading")),
      isUnread && tokens && el("p", { class: "warning", role: "alert" }, t("unread")),
      tokens && el("ul", {}, ...tokens.map((token) => this.row(token))),
    );
  }

  /** As the list names it; tokens of others are known to administrators alone. */
  private nameOf(token: TokenInfo): string {
    const name = token.label || t("first");
    return this.isAdmin ? `${token.account}: ${name}` : name;
  }

  private ending({ ends_with_it: { tokens, guests } }: TokenInfo): string {
    const named = tokens.map((id) => this.tokens?.find((one) => one.token_id === id)).map((one, at) => (one ? this.nameOf(one) : tokens[at]));
    return [...named, ...(guests.length ? [t("links", guests.length)] : [])].join("; ");
  }

  private row(token: TokenInfo): HTMLElement {
    const name = this.nameOf(token);
    const ending = this.ending(token);
    const facts = [
      t(`scope_${token.scope}`),
      token.expires ? t("until", formatTime(token.expires)) : t("never"),
      token.used ? t("used", formatTime(token.used)) : t("unused"),
      token.made_by !== token.account && t("by", token.made_by),
    ];
    return el(
      "li",
      { "data-token": token.token_id },
      el("div", {}, el("strong", {}, name), token.is_mine_now && el("em", {}, ` ${t("here")}`), el("small", {}, facts.filter(Boolean).join(" · ")), ending && el("small", {}, t("ends", ending))),
      el("button", { type: "button", "aria-label": t("revokeOf", name), "data-kept": token.token_id, click: () => void this.revoke(token) }, t("revoke")),
    );
  }
}

function field(control: HTMLSelectElement | HTMLInputElement, name: string): HTMLElement {
  return el("label", { for: control.id }, name, control);
}
