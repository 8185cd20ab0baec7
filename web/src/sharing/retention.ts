/** What is kept how long, for administrators: terms, holds, and the list of what is due, which somebody confirms. */

import { api, ApiError } from "../api";
import { el, replaceKeepingFocus, replaceChildren } from "../dom";
import { t as said } from "../i18n";
import { formatDate } from "../time";
import type { DueGroup, RetentionHold, RetentionState, RetentionTerm } from "./types";
import { kindName, t } from "./texts";

const MOST_ROWS = 200;

export class Retention {
  readonly element = el("section", {});
  private readonly trouble = el("p", { class: "warning", role: "alert", hidden: true });
  private readonly done = el("p", { role: "status", hidden: true });
  private readonly list = el("div", {});
  private told: RetentionState | null = null;
  private isUnread = false;
  private isAsking = false;
  private isWorking = false;

  constructor() {
    this.element.append(el("h2", {}, t("retention")), el("p", { class: "sharing-note" }, t("retentionNote")), this.list, this.trouble, this.done);
  }

  async read(): Promise<void> {
    this.render();
    const told = await api.retention().catch(() => null);
    this.isUnread = told === null;
    this.told = told ?? this.told;
    this.render();
  }

  private render(): void {
    const { told } = this;
    if (!told) {
      replaceChildren(this.list, el("p", { role: "status", class: this.isUnread ? "warning" : "" }, t(this.isUnread ? "unread" : "reading")));
      return;
    }
    replaceKeepingFocus(
      this.list,
      this.isUnread && el("p", { class: "warning", role: "alert" }, t("unread")),
      el("h3", {}, t("due", told.due.originals)),
      ...this.ofDue(told),
      el("h3", {}, t("terms")),
      told.terms.length ? el("ul", {}, ...told.terms.map(termRow)) : el("p", { class: "sharing-empty" }, t("termsNone")),
      el("h3", {}, t("holds", told.holds.length)),
      told.holds.length ? el("ul", {}, ...told.holds.map(holdRow)) : el("p", { class: "sharing-empty" }, t("holdsNone")),
      el("p", { class: "sharing-note" }, t("retentionHow")),
    );
  }

  private ofDue({ due }: RetentionState): HTMLElement[] {
    const shown = due.groups.slice(0, MOST_ROWS);
    const rows: HTMLElement[] = shown.length ? [el("ul", { class: "due-list" }, ...shown.map(dueRow))] : [el("p", { class: "sharing-empty" }, t("dueNone"))];
    if (due.groups.length > shown.length) rows.push(el("ul", {}, el("li", {}, t("dueMore", due.groups.length - shown.length))));
    if (due.begun) rows.push(el("p", { class: "warning" }, t("dueBegun", due.begun)));
    return due.originals || due.begun ? [...rows, this.asking(due.originals, due.digest)] : rows;
  }

  /** Two presses: what is let go does not come back. */
  private asking(originals: number, digest: string): HTMLElement {
    const again = (is: boolean): void => {
      this.isAsking = is;
      this.render();
      this.list.querySelector<HTMLElement>(".due-confirm button")?.focus();
    };
    const first = el("button", { type: "button", click: () => again(true) }, originals ? t("confirm") : t("complete"));
    if (!this.isAsking) return el("div", { class: "due-confirm" }, first);
    const sure = el("button", { type: "button", class: "due-sure", disabled: this.isWorking, click: () => void this.confirm(digest) }, this.isWorking ? t("working") : t("sure", originals));
    const no = el("button", { type: "button", disabled: this.isWorking, click: () => again(false) }, t("notNow"));
    return el("div", { class: "due-confirm" }, el("p", { class: "warning" }, t("sureNote", digest)), no, sure);
  }

  private async confirm(digest: string): Promise<void> {
    this.working(true);
    this.trouble.hidden = this.done.hidden = true;
    try {
      const { let_go, waiting } = await api.confirmRetention(digest);
      this.done.textContent = [t("letGoDone", let_go), waiting.length ? t("waiting", waiting.join(", ")) : ""].filter(Boolean).join(" ");
      this.done.hidden = false;
    } catch (error) {
      this.trouble.textContent = error instanceof ApiError ? error.message : said("noAnswer");
      this.trouble.hidden = false;
    }
    this.isAsking = false;
    this.working(false);
    await this.read();
  }

  private working(is: boolean): void {
    this.isWorking = is;
    this.render();
  }
}

function dueRow(group: DueGroup): HTMLElement {
  const whose = group.flight ?? group.event ?? group.names.join(", ");
  const why = group.told_by ? t("dueElsewhere", group.told_by) : t("duePast", group.days ?? 0);
  return el("li", {}, el("div", {}, el("strong", {}, whose), el("small", {}, `${why} · ${t("dueSince", formatDate(group.since))}`)), el("span", {}, t("dueCount", group.originals, kindName(group.kind))));
}

function termRow(term: RetentionTerm): HTMLElement {
  const days = term.days === null ? t("forEver") : t("termDays", term.days);
  return el("li", {}, el("div", {}, el("strong", {}, kindName(term.kind)), el("small", {}, `${term.event ?? t("everyEvent")} · ${t("setBy", term.by, formatDate(term.at))}`)), el("span", {}, days));
}

function holdRow(hold: RetentionHold): HTMLElement {
  return el("li", {}, el("div", {}, el("strong", {}, hold.name), el("small", {}, `${hold.reason} · ${t("setBy", hold.by, formatDate(hold.at))}`)));
}
