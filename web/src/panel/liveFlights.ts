/** A card for each live flight, on the map: how old its picture is, whether its links hold, what was left out. */

import { durationNowS, lostSinceMs, lostDurationS, findTrouble, type LiveFlight } from "../liveFlights";
import type { LinkInfo } from "../api";
import { el, replaceChildren, setText } from "../dom";
import { pickLanguage, t, type MessageKey } from "../i18n";
import { currentEvent, type State } from "../state";
import { formatAgo, formatClock, formatSeconds } from "../time";
import { VideoPlayer } from "./video";

/** A place older than this is no longer where the aircraft is. */
const PLACE_OLD_S = 3;

interface Shown {
  element: HTMLElement;
  name: HTMLElement;
  marks: HTMLElement;
  state: HTMLElement;
  rows: HTMLElement;
  more: HTMLElement;
  summary: HTMLElement;
  list: HTMLElement;
  view: HTMLElement;
  picture: HTMLImageElement;
  play: HTMLButtonElement;
  player: VideoPlayer;
}

export class LiveFlightCards {
  readonly element = el("section", { class: "airborne", hidden: true });
  private readonly elsewhere = el("div", { class: "airborne-elsewhere" });
  private shown: Record<string, Shown> = {};
  private elsewhereSaid = "";
  private flying: ReadonlySet<string> = new Set();

  constructor(
    private readonly goTo: (one: LiveFlight) => void,
    private readonly chooseEvent: (eventId: string) => void,
  ) {}

  /** Words are changed where they stand: a card that is open, or in focus, stays so. */
  update(state: State, nowMs: number): void {
    const here = listLiveFlights(state);
    const away = flyingElsewhere(state);
    this.element.hidden = !here.length && !away.length;
    this.element.setAttribute("aria-label", t("aloftTitle"));
    this.flying = new Set(here.filter(({ said }) => said.state === "flying").map(({ said }) => said.flight_id));
    const ids = here.map((one) => one.said.flight_id);
    for (const id of Object.keys(this.shown)) {
      if (ids.includes(id)) continue;
      this.shown[id]?.player.close();
      this.shown[id]?.element.remove();
      delete this.shown[id];
    }
    for (const one of here) this.fill((this.shown[one.said.flight_id] ??= this.card(one.said.flight_id, state)), one, nowMs);
    this.setInOrder(ids);
    this.sayElsewhere(away);
  }

  /** Those in the air first, as the server lists them; a card that stands right is not touched, so that its video goes on. */
  private setInOrder(ids: string[]): void {
    let before: Element | null = null;
    for (const id of ids) {
      const element = this.shown[id]?.element;
      if (!element) continue;
      const next: Element | null = before ? before.nextElementSibling : this.element.firstElementChild;
      if (next !== element) this.element.insertBefore(element, next);
      before = element;
    }
  }

  private card(flightId: string, state: State): Shown {
    const go = (): void => {
      const now = state.airborne.find((one) => one.said.flight_id === flightId);
      if (now) this.goTo(now);
    };
    const name = el("strong");
    const marks = el("span", { class: "drill-badge small" });
    const head = el("button", { type: "button", class: "airborne-name", click: go }, name, marks);
    const status = el("p", { class: "airborne-state", role: "status" });
    const rows = el("div", { class: "airborne-rows" });
    const summary = el("summary");
    const list = el("ul");
    const more = el("details", { hidden: true }, summary, list);
    const picture = el("img", { class: "airborne-picture", hidden: true, error: () => (picture.hidden = true) });
    picture.addEventListener("load", () => (picture.hidden = false));
    const player = new VideoPlayer(flightId, () => this.isFlying(flightId));
    const play = el("button", { type: "button", class: "airborne-play", click: () => player.toggle() });
    const view = el("div", { class: "airborne-view" }, picture, player.element, play);
    const element = el("article", { class: "airborne-card", "data-airborne": flightId }, head, status, rows, view, more);
    this.element.insertBefore(element, this.elsewhere.parentElement ? this.elsewhere : null);
    return { element, name, marks, state: status, rows, more, summary, list, view, picture, play, player };
  }

  private fill(card: Shown, one: LiveFlight, nowMs: number): void {
    const { said } = one;
    const trouble = findTrouble(one, nowMs);
    const isAside = said.state === "ended" && this.flying.size > 0;
    card.element.className = `airborne-card ${said.state} ${trouble ? "lost" : ""} ${isAside ? "aside" : ""}`;
    setText(card.name, said.name);
    setText(card.marks, [...(said.is_drill ? [t("drillMark")] : []), ...(said.is_recording ? [t("aloftReplay")] : [])].join(" · "));
    card.marks.className = said.is_drill ? "drill-badge small" : "drill-badge small replay";
    card.marks.hidden = !said.is_drill && !said.is_recording;
    setText(card.state, stateOf(one, nowMs));
    const rows = rowsOf(one, nowMs);
    while (card.rows.children.length > rows.length) card.rows.lastChild?.remove();
    rows.forEach((row, n) => setText(card.rows.children[n] ?? card.rows.appendChild(el("p")), row));
    this.see(card, one);
    this.fold(card, one);
  }

  /** The newest picture, in whose place the recorded video is played when asked for. */
  private see(card: Shown, { said }: LiveFlight): void {
    const { picture, player } = card;
    card.element.classList.toggle("playing", player.isOpen);
    picture.alt = t("aloftNewest");
    const isNew = said.picture_url !== null && picture.getAttribute("src") !== said.picture_url;
    if (isNew && !player.isOpen) picture.src = said.picture_url ?? "";
    if (said.picture_url === null) picture.hidden = true;
    card.play.hidden = !said.recorded_s && !player.isOpen;
    setText(card.play, t(player.isOpen ? "videoClose" : "videoPlay"));
    card.view.hidden = said.picture_url === null && card.play.hidden;
    player.relabel();
  }

  private isFlying(flightId: string): boolean {
    return this.flying.has(flightId);
  }

  private fold(card: Shown, one: LiveFlight): void {
    const lines = foldedOf(one);
    card.more.hidden = !lines.length;
    setText(card.summary, t("aloftMore"));
    while (card.list.children.length > lines.length) card.list.lastChild?.remove();
    lines.forEach((line, n) => setText(card.list.children[n] ?? card.list.appendChild(el("li")), line));
  }

  private sayElsewhere(away: LiveFlight[]): void {
    const all = away.map(({ said }) => [said.event_id, said.name].join()).join("\n") + t("aloftElsewhere", "");
    if (all === this.elsewhereSaid) return;
    this.elsewhereSaid = all;
    this.element.append(this.elsewhere);
    replaceChildren(
      this.elsewhere,
      ...away.map(({ said }) =>
        el("button", { type: "button", click: () => this.chooseEvent(said.event_id) }, t("aloftElsewhere", said.name)),
      ),
    );
  }
}

/** Live flights of the event on the screen. */
export function listLiveFlights(state: State): LiveFlight[] {
  return state.airborne.filter((one) => one.said.event_id === state.eventId);
}

/** Those of other real events: a drill is no news on a screen that shows something else. */
function flyingElsewhere(state: State): LiveFlight[] {
  const known = (id: string): boolean => state.events.some((event) => event.event_id === id);
  if (!currentEvent(state)) return [];
  return state.airborne.filter(
    ({ said }) => said.event_id !== state.eventId && !said.is_drill && said.state === "flying" && known(said.event_id),
  );
}

/** Since when nothing comes from an aircraft, in few words; null while all does. Silence of the server is none of the aircraft's. */
export function formatLoss(one: LiveFlight, nowMs: number): string | null {
  const trouble = findTrouble(one, nowMs);
  if (!trouble) return null;
  if (trouble === "server") return t("noAnswer");
  const atMs = lostSinceMs(one, trouble);
  return atMs === null ? t("lostSignal") : t("lostSignalSince", formatClock(atMs));
}

/** The one thing to be known first: how old the picture is, or what is lost. */
function stateOf(one: LiveFlight, nowMs: number): string {
  const trouble = findTrouble(one, nowMs);
  const { said } = one;
  const ageS = durationNowS(said.picture_s, one, nowMs);
  const picture = ageS === null ? t("aloftNoPicture") : t("aloftPicture", formatAgo(ageS));
  if (trouble) {
    const lost: Record<typeof trouble, MessageKey> = {
      server: "aloftLostServer",
      program: "aloftLostProgram",
      video: "aloftLostVideo",
      telemetry: "aloftLostTelemetry",
    };
    const sinceS = lostDurationS(one, trouble, nowMs);
    return sinceS === null ? t(lost[trouble]) : `${t(lost[trouble])} ${t("aloftSince", formatAgo(sinceS))}`;
  }
  if (said.state === "closing") return t("aloftClosing");
  if (said.state === "ended") {
    return said.failure ? t("aloftFailed", pickLanguage(said.failure.sentence_vi, said.failure.sentence)) : t("aloftEnded");
  }
  return said.is_matching ? `${picture} · ${t("aloftMatching")}` : picture;
}

/** What else everybody must see at a glance: when the last picture was taken, and how each link is. */
function rowsOf(one: LiveFlight, nowMs: number): string[] {
  const { said } = one;
  const trouble = findTrouble(one, nowMs);
  const rows: string[] = [];
  const ageS = durationNowS(said.picture_s, one, nowMs);
  if (said.picture) {
    const taken = t("aloftLastPicture", formatSeconds(said.picture));
    const isUnsaid = trouble !== null && trouble !== "video"; // how long the video is lost is its age
    rows.push(isUnsaid && ageS !== null ? `${taken} (${t("aloftPicture", formatAgo(ageS))})` : taken);
  }
  if (said.state !== "flying" || trouble === "server") return rows;
  const linkOf = (link: LinkInfo): string => {
    const silentS = durationNowS(link.silent_s, one, nowMs);
    if (!link.lost) return t("aloftLinkGood");
    return silentS === null ? t("aloftLinkNever") : t("aloftLinkLost", formatAgo(silentS));
  };
  rows.push(t("aloftLinks", linkOf(said.video), linkOf(said.telemetry)));
  const { aircraft } = said;
  const placeS = aircraft ? durationNowS(aircraft.age_s, one, nowMs) : null;
  if (placeS === null) rows.push(t("aloftNoPlace"));
  else if (placeS > PLACE_OLD_S) rows.push(t("aloftPlaceOld", formatAgo(placeS)));
  return rows;
}

/** What stands behind the fold: more of the flight, what of it was not used and why, what else is to be said. */
function foldedOf({ said }: LiveFlight): string[] {
  const leftOut = pickLanguage(said.left_out_said_vi, said.left_out_said);
  return [
    ...(said.is_recording ? [t("aloftRecording")] : []),
    ...(said.laid ? [t("aloftLaid", formatSeconds(said.laid))] : []),
    ...(said.recorded_s ? [t("aloftRecorded", formatAgo(said.recorded_s))] : []),
    ...(said.aircraft?.above_m != null ? [t("aloftHeight", Math.round(said.aircraft.above_m))] : []),
    ...(leftOut ? [`${t("aloftLeftOut")}: ${leftOut}`] : []),
    ...said.remarks.map((one) => pickLanguage(one.sentence_vi, one.sentence)),
  ];
}
