/** Meeting packs: of one flight or of all that are shown; asked for, watched while the server makes them, approved, fetched. */

import { api, ApiError, NetworkError, packFileUrl, type FlightInfo, type PackInfo, type Paper } from "../api";
import { el } from "../dom";
import { pickLanguage, language, t } from "../i18n";
import { isGuest, canWrite } from "../marks";
import { isCapturedBy, type State } from "../state";
import { formatTime } from "../time";
import { formatBytes } from "../upload/byteFormat";

const LOOK_MS = 1500;
const LIST_MS = 30_000;
const UNDER_WAY = ["waiting", "making"];
const PAPERS: Paper[] = ["a4", "a3"];
const JUDGES = ["analyst", "admin"];

export class Packs {
  private readonly packs = new Map<string, PackInfo>();
  private readonly troubles = new Map<string, string>();
  private paper: Paper = "a4";
  /** Those that others made, or that were made before the page was opened. */
  private listed: PackInfo[] = [];
  private listedMs = -Infinity;

  constructor(private readonly changed: () => void) {}

  button(flightId: string): HTMLElement {
    const disabled = this.isUnderWay([flightId]);
    return el("button", { type: "button", class: "pack", disabled, click: () => void this.ask([flightId]) }, t("pack"));
  }

  /** What became of it; nothing where none was asked for in this language. */
  line(flightId: string, state: State): HTMLElement | null {
    return this.lineOf([flightId], state);
  }

  /** Above the flights: one button for all that are shown, and what is ready to be fetched. */
  desk(state: State, flights: FlightInfo[]): HTMLElement | null {
    if (!state.session || isGuest(state.session)) return null;
    const shown = flights.filter((one) => one.bounds && one.state !== "withdrawn" && !state.hidden.has(one.flight_id) && isCapturedBy(one, state.asOf)).map((one) => one.flight_id);
    const here = new Set(flights.map((one) => one.flight_id));
    const known = new Set([...this.packs.values()].map((one) => one.pack_id));
    const others = this.listed.filter((one) => one.state === "made" && !known.has(one.pack_id) && one.flights.every((id) => here.has(id)));
    const ended = this.ended(state).filter((one) => !known.has(one.pack_id) && one.flights.every((id) => here.has(id)));
    const asks = canWrite(state.session) && shown.length > 0;
    if (!asks && !others.length && !ended.length) return null;
    return el(
      "div",
      { class: "pack-desk" },
      asks && this.asking(shown),
      asks && shown.length > 1 && this.lineOf(shown, state),
      ...ended.map((one) => el("p", { class: "warning pack-line", role: "status" }, el("strong", {}, `${namesOf(one, flights)} · ${one.paper.toUpperCase()}`), `: ${pickLanguage(one.sentence_vi, one.sentence)}`)),
      others.length > 0 && el("details", { open: others.some((one) => one.approved_by) }, el("summary", {}, `${t("packList")} (${others.length})`), el("ul", {}, ...others.map((one) => el("li", {}, this.said(one, state, flights))))),
    );
  }

  /** One's own that were not made, as when the server stopped, until the same is asked for again. */
  private ended(state: State): PackInfo[] {
    const { account } = state.session ?? {};
    return this.listed.filter((one, index) => {
      const isAskedAgain = this.listed.slice(0, index).some((newer) => newer.owner === one.owner && keyOf(newer.flights, newer.paper) === keyOf(one.flights, one.paper));
      return one.state === "failed" && (!account || one.owner === account.name) && !isAskedAgain;
    });
  }

  private asking(shown: string[]): HTMLElement {
    const choose = (event: Event): void => {
      this.paper = (event.target as HTMLSelectElement).value as Paper;
      this.changed();
    };
    const papers = el("select", { id: "pack-paper", change: choose }, ...PAPERS.map((one) => el("option", { value: one, selected: one === this.paper }, one.toUpperCase())));
    const all = el("button", { type: "button", class: "pack-shown", disabled: this.isUnderWay(shown), click: () => void this.ask(shown) }, t("packShown", shown.length));
    return el("div", { class: "pack-ask" }, shown.length > 1 && all, el("label", { for: "pack-paper" }, t("packPaper"), papers));
  }

  private lineOf(flights: string[], state: State): HTMLElement | null {
    const pack = this.packs.get(this.key(flights));
    const trouble = this.troubles.get(this.key(flights)) ?? (pack?.state === "failed" ? pickLanguage(pack.sentence_vi, pack.sentence) : "");
    if (trouble) return el("p", { class: "warning pack-line", role: "alert" }, trouble);
    if (!pack) return null;
    if (this.isUnderWay(flights)) return el("p", { class: "pack-line", role: "status" }, t("packMaking"));
    return this.said(pack, state);
  }

  private said(pack: PackInfo, state: State, flights: FlightInfo[] = []): HTMLElement {
    const link = el("a", { href: packFileUrl(pack.pack_id), download: "" }, t("packFetch", formatBytes(pack.size)));
    const names = namesOf(pack, flights);
    const made = formatTime(pack.made ?? pack.asked);
    const whose = pack.approved_by ? approvedSaid(pack, pack.approved_by, made) : [t("packDraft", made), names ? t("packOf", pack.owner) : ""].filter(Boolean).join(" ");
    const { account } = state.session ?? {};
    const approve = !pack.approved_by && !pack.has_final && account && JUDGES.includes(account.role);
    return el(
      "p",
      { class: "pack-line", role: "status" },
      names && el("strong", {}, `${names} · ${pack.paper.toUpperCase()} `),
      link,
      ` ${whose} `,
      approve && el("button", { type: "button", class: "pack-approve", click: () => void this.approve(pack, account.name) }, t("packApprove")),
    );
  }

  private isUnderWay(flights: string[]): boolean {
    return UNDER_WAY.includes(this.packs.get(this.key(flights))?.state ?? "");
  }

  private ask(flights: string[]): Promise<void> {
    return this.watch(this.key(flights), () => api.askPack(flights, language(), this.paper));
  }

  private async approve(pack: PackInfo, name: string): Promise<void> {
    if (!window.confirm(t(pack.is_one_person ? "packApproveOwn" : "packApproveAsk", name))) return;
    await this.watch(keyOf(pack.flights, pack.paper), async () => {
      const final = await api.approvePack(pack.pack_id);
      this.listedMs = -Infinity; // the draft in the list is no longer to be approved
      return final;
    });
  }

  private async watch(asked: string, begin: () => Promise<PackInfo>): Promise<void> {
    this.troubles.delete(asked);
    try {
      this.know(asked, await begin());
      while (UNDER_WAY.includes(this.packs.get(asked)?.state ?? "")) {
        await new Promise((done) => window.setTimeout(done, LOOK_MS));
        this.know(asked, await this.look(this.packs.get(asked)!));
      }
    } catch (error) {
      this.packs.delete(asked);
      this.troubles.set(asked, error instanceof ApiError ? error.message : t("noAnswer"));
      this.changed();
    }
  }

  /** A line that is down for a while says nothing of the pack: it stays as it was. */
  private async look(pack: PackInfo): Promise<PackInfo> {
    return api.pack(pack.pack_id).catch((error: unknown) => {
      if (error instanceof NetworkError) return pack;
      throw error;
    });
  }

  private know(asked: string, pack: PackInfo): void {
    const before = this.packs.get(asked);
    this.packs.set(asked, pack);
    if (before?.pack_id !== pack.pack_id || before.state !== pack.state) this.changed();
  }

  /** Now and then: a pack that is late by half a minute is late for nobody, and the map comes before it. */
  tick(state: State): void {
    if (!state.session || isGuest(state.session)) return;
    const now = performance.now();
    if (now - this.listedMs < LIST_MS) return;
    this.listedMs = now;
    const read = async (): Promise<void> => {
      const listed = await api.packs().catch(() => null);
      if (!listed || JSON.stringify(listed) === JSON.stringify(this.listed)) return;
      this.listed = listed;
      this.takeUp(listed, state.session?.account?.name);
      this.changed();
    };
    void read();
  }

  /** One's own that were asked for before the page was loaded again, and are still being made. */
  private takeUp(listed: PackInfo[], name?: string): void {
    for (const one of listed) {
      const asked = keyOf(one.flights, one.paper);
      if (UNDER_WAY.includes(one.state) && (!name || one.owner === name) && !this.packs.has(asked)) void this.watch(asked, async () => one);
    }
  }

  private key(flights: string[]): string {
    return keyOf(flights, this.paper);
  }
}

/** Where who asked approved too, that is what is said of it. */
function approvedSaid(pack: PackInfo, by: string, made: string): string {
  if (pack.is_one_person) return t("packApprovedAlone", by, made);
  return `${t("packApproved", by, made)} ${t("packAsked", pack.asked_by)}`;
}

/** Of its flights, as far as they are among these. */
function namesOf(pack: PackInfo, flights: FlightInfo[]): string {
  return pack.flights.map((id) => flights.find((one) => one.flight_id === id)?.name).filter(Boolean).join(", ");
}

function keyOf(flights: string[], paper: Paper): string {
  return [...flights].sort().join(" ") + ` ${paper} ${language()}`;
}
