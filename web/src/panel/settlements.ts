/** Settlements that cut roads propose to be isolated, or of which a person said something; who decides says it here. */

import { api, ApiError } from "../api";
import { mayDecide } from "../changes/types";
import { el, replaceKeepingFocus } from "../dom";
import { t } from "../i18n";
import { formatNumber } from "../numbers";
import type { Store } from "../state";
import { formatTime } from "../time";

const ACCESS = ["isolated", "reachable", "unknown"] as const;

export type Access = (typeof ACCESS)[number];

export interface SettlementSaid {
  settlement_id: string;
  name: string;
  commune_name: string;
  /** As a person said; unknown where nobody has. */
  access: Access;
  /** By the roads that are cut. */
  proposed: Access;
  roads_say: "cut_off" | "joined" | "no_road" | "not_joined" | "no_layer";
  version: number;
  said_by: string | null;
  said: string | null;
  note: string;
}

export interface SettlementsSaid {
  reach_m: number;
  settlements: SettlementSaid[];
}

/** Longer lists are looked through in their file. */
const MOST = 200;

export class SettlementPanel {
  readonly element = el("section", { class: "layers settlements", hidden: true });
  private found: SettlementSaid[] = [];
  private reachM = 0;
  private note = "";
  private trouble = "";
  private asked = 0;

  constructor(private readonly store: Store) {
    store.subscribe((state, before) => {
      const isElsewhere = state.eventId !== before.eventId || state.asOf !== before.asOf;
      if (isElsewhere) this.found = []; // those of a drill are not seen for a moment
      if (isElsewhere || state.changed !== before.changed || state.specialist !== before.specialist) void this.read();
      if (isElsewhere || state.language !== before.language || state.session !== before.session) this.render();
    });
  }

  private async read(): Promise<void> {
    const turn = ++this.asked;
    const { eventId, asOf, specialist } = this.store.state;
    if (!eventId || !specialist.some(({ kind }) => kind === "settlement")) return this.take({ reach_m: 0, settlements: [] });
    const answer = await api.settlements(eventId, asOf).catch(() => null);
    if (turn !== this.asked) return;
    if (answer) return this.take(answer);
    this.trouble = t("settlementsUnread");
    this.render();
  }

  private take({ reach_m, settlements }: SettlementsSaid): void {
    [this.reachM, this.found, this.trouble] = [reach_m, settlements, ""];
    this.render();
  }

  private render(): void {
    const { state } = this.store;
    this.element.hidden = !this.found.length && !this.trouble;
    const isOpen = this.element.querySelector("details")?.open ?? false;
    const shown = this.found.filter((one) => one.access !== "unknown" || one.proposed !== "unknown");
    const rest = this.found.filter((one) => !shown.includes(one));
    const may = mayDecide(state.session) && state.asOf === null;
    const details = el(
      "details",
      {},
      el("summary", {}, t("settlementsUnknown", formatNumber(rest.length, 0))),
      el("ul", {}, ...rest.slice(0, MOST).map((one) => this.row(one, may))),
      rest.length > MOST && el("p", { class: "impact-note" }, t("settlementsMore", formatNumber(MOST, 0))),
    );
    details.open = isOpen;
    replaceKeepingFocus(
      this.element,
      el("h2", {}, t("settlements")),
      ...(this.trouble ? [el("p", { class: "warning", role: "alert" }, this.trouble)] : []),
      el("p", { class: "impact-note" }, t("settlementsNote", formatNumber(this.reachM, 0))),
      ...(may ? [this.noteField()] : []),
      el("ul", {}, ...shown.map((one) => this.row(one, may))),
      ...(rest.length ? [details] : []),
    );
  }

  private noteField(): HTMLElement {
    const input = (event: Event): void => void (this.note = (event.target as HTMLInputElement).value);
    return el("label", { class: "settlement-note" }, t("settlementHow"), el("input", { maxlength: 1000, autocomplete: "off", value: this.note, input, "data-kept": "settlement-note" }));
  }

  private row(one: SettlementSaid, may: boolean): HTMLElement {
    const said = one.said_by && one.said ? `${one.said_by}, ${formatTime(one.said)}` : t("settlementNobody");
    const choice = (access: Access): HTMLElement =>
      el(
        "button",
        { type: "button", "aria-pressed": String(one.said_by !== null && one.access === access), "data-kept": `${one.settlement_id}-${access}`, click: () => void this.say(one, access) },
        t(`access_${access}`),
      );
    return el(
      "li",
      { class: `settlement ${one.access}`, "data-settlement": one.settlement_id },
      el("div", {}, el("strong", {}, one.name), one.commune_name && ` · ${one.commune_name}`, " ", el("b", { class: "access" }, t(`access_${one.access}`))),
      el("small", {}, [said, one.note].filter(Boolean).join(" · ")),
      one.proposed === "isolated" && one.access !== "isolated" ? el("small", { class: "proposed" }, t("roads_cut_off")) : el("small", {}, t(`roads_${one.roads_say}`)),
      may && el("div", { class: "settlement-say", role: "group", "aria-label": one.name }, ...ACCESS.map(choice)),
    );
  }

  private async say(one: SettlementSaid, access: Access): Promise<void> {
    const { eventId } = this.store.state;
    if (!eventId) return;
    try {
      await api.saySettlement(one.settlement_id, { event_id: eventId, access, note: this.note, based_on: one.version });
      this.note = "";
      await this.read();
    } catch (error) {
      await this.read();
      this.trouble = error instanceof ApiError ? error.message : t("noAnswer");
      this.render();
    }
  }
}
