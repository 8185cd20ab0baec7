/**
 * The strip under the map: flights of the event in the order of their capture. Choosing one shows the map as of its
 * last picture: what was captured later is hidden. On the right: now, and what is in the air.
 */

import { isFlying } from "../liveFlights";
import type { FlightInfo } from "../api";
import { el, replaceKeepingFocus, setText } from "../dom";
import { t } from "../i18n";
import { listEventFlights, isCapturedBy, isComplete, type State, type Store } from "../state";
import { formatAgo, formatClock, formatDate, formatPeriod, formatZoneNote } from "../time";
import { listLiveFlights, formatLoss } from "./liveFlights";

const HOUR_MS = 3_600_000;
/** Flights closer to each other stand side by side; between others the pause is said. */
const PAUSE_MS = 6 * HOUR_MS;
const LEAST_GAP_PX = 34;
const MOST_GAP_PX = 120;

export class Timeline {
  readonly element = el("section", { class: "timeline", hidden: true });
  private readonly compare = el("button", { type: "button", class: "compare-open" });
  private readonly line = el("div", { class: "moments", role: "group" });
  private readonly now = el("button", { type: "button", class: "moment now", click: () => this.choose(null) });
  private readonly live = el("span", { class: "live-badges", role: "status" });
  private drawn = "";
  private shown = "";
  /** "gày" is no word: of a pause that is scrolled out in part, none is said. */
  private readonly cut = new IntersectionObserver((seen) => {
    for (const { target, intersectionRatio } of seen) target.classList.toggle("cut", intersectionRatio < 0.95);
  }, { root: this.line, threshold: [0.95] });

  constructor(
    private readonly store: Store,
    openComparison: () => void,
  ) {
    this.compare.addEventListener("click", openComparison);
    this.element.append(this.compare, this.line, this.now, this.live);
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  render(state: State): void {
    const flights = momentsOf(state);
    this.element.hidden = imagedOf(state).length === 0 && listLiveFlights(state).length === 0;
    this.compare.setAttribute("aria-pressed", String(state.compare !== null));
    const shown = JSON.stringify([state.eventId, state.asOf]);
    const drawn = JSON.stringify([shown, state.language, flights.map((one) => [one.flight_id, one.name, one.first, one.last])]);
    if (drawn === this.drawn) return;
    const isOther = shown !== this.shown;
    const { scrollLeft } = this.line;
    [this.drawn, this.shown] = [drawn, shown];
    const held = document.activeElement;
    const isHeld = held instanceof HTMLElement && this.line.contains(held);
    this.line.setAttribute("aria-label", t("timeline"));
    this.element.classList.toggle("past", state.asOf !== null);
    setText(this.compare, t("compare"));
    this.compare.title = t("compareNote");
    setText(this.now, t("now"));
    this.now.title = t("nowNote");
    this.now.setAttribute("aria-pressed", String(state.asOf === null));
    const zone = formatZoneNote(flights[flights.length - 1]?.last ?? state.nowMs);
    const moments = flights.flatMap((flight, n) => this.moment(state, flight, flights[n - 1], flights[n + 1]));
    replaceKeepingFocus(this.line, ...moments, ...(zone ? [el("span", { class: "zone" }, zone)] : []));
    this.cut.disconnect();
    this.line.querySelectorAll(".pause").forEach((one) => this.cut.observe(one));
    const chosen = this.line.querySelector<HTMLElement>('[aria-pressed="true"]');
    if (isHeld && isOther) chosen?.focus();
    if (isHeld && !isOther) this.line.scrollLeft = scrollLeft;
    else if (chosen) this.line.scrollLeft = chosen.offsetLeft - this.line.offsetLeft - (this.line.clientWidth - chosen.offsetWidth) / 2;
    else this.line.scrollLeft = this.line.scrollWidth;
  }

  /** What is in the air, or since when nothing comes from there. */
  tick(state: State, monotonicMs: number): void {
    const said = listLiveFlights(state)
      .filter(isFlying)
      .map((one) => {
        const loss = formatLoss(one, monotonicMs);
        const words = loss ?? t(one.said.is_recording ? "aloftReplay" : "liveBadge");
        return { words, name: loss === null ? "live-badge" : "live-badge lost", title: one.said.name };
      });
    while (this.live.children.length > said.length) this.live.lastChild?.remove();
    said.forEach(({ words, name, title }, n) => {
      const badge = (this.live.children[n] ?? this.live.appendChild(el("span"))) as HTMLElement;
      setText(badge, words);
      if (badge.className !== name) badge.className = name;
      if (badge.title !== title) badge.title = title;
    });
  }

  private moment(state: State, flight: FlightInfo, before: FlightInfo | undefined, after: FlightInfo | undefined): HTMLElement[] {
    const isSameDay = before !== undefined && formatDate(before.last) === formatDate(flight.last);
    const isLastBy = isCapturedBy(flight, state.asOf) && (after === undefined || !isCapturedBy(after, state.asOf));
    const isChosen = state.asOf !== null && isLastBy;
    const button = el(
      "button",
      {
        type: "button",
        class: `moment ${isCapturedBy(flight, state.asOf) ? "" : "later"}`,
        "data-moment": flight.last,
        "data-kept": flight.flight_id,
        "aria-pressed": String(isChosen),
        title: `${flight.name}\n${formatPeriod(flight.first, flight.last)}`,
        click: () => this.choose(flight.last),
      },
      ...(isSameDay ? [] : dayOf(flight.last)),
      formatClock(flight.last),
    );
    const pauseMs = before ? Date.parse(flight.first) - Date.parse(before.last) : 0;
    return pauseMs >= PAUSE_MS ? [pause(pauseMs), button] : [button];
  }

  private choose(moment: string | null): void {
    const newest = imagedOf(this.store.state).pop();
    this.store.set({ asOf: moment === newest?.last ? null : moment });
  }

  /** Arrows go from flight to flight, Home and End to the first and to now. */
  private onKey(event: KeyboardEvent): void {
    const { asOf } = this.store.state;
    const flights = momentsOf(this.store.state);
    const isNowMore = imagedOf(this.store.state).pop() !== flights[flights.length - 1]; // what is still coming is seen only now
    const at = asOf === null ? flights.length - (isNowMore ? 0 : 1) : flights.filter((one) => isCapturedBy(one, asOf)).length - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: flights.length }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const flight = flights[Math.max(0, to)];
    this.choose(flight ? flight.last : null);
    if (this.store.state.asOf === null) this.now.focus();
  }
}

/** Flights a moment is offered of. */
function momentsOf(state: State): FlightInfo[] {
  return imagedOf(state).filter(isComplete);
}

/** Flights of the event with imagery, the oldest first. */
function imagedOf(state: State): FlightInfo[] {
  const flights = listEventFlights(state).filter((flight) => flight.state !== "withdrawn" && flight.bounds);
  return [...flights].sort((a, b) => Date.parse(a.last) - Date.parse(b.last));
}

/** "10/09/2024 ", of which a phone leaves out the year. */
function dayOf(iso: string): (string | HTMLElement)[] {
  const [day = "", month = "", year = ""] = formatDate(iso).split("/");
  return [`${day}/${month}`, el("span", { class: "year" }, `/${year}`), " "];
}

/** The longer, the wider, but never so wide that the flights leave the screen. */
function pause(ms: number): HTMLElement {
  const width = Math.min(MOST_GAP_PX, LEAST_GAP_PX + 10 * Math.log2(1 + ms / HOUR_MS));
  const gap = el("span", { class: "pause", "aria-hidden": "true" }, pauseSaid(ms));
  gap.style.width = `${Math.round(width)}px`;
  return gap;
}

function pauseSaid(ms: number): string {
  const days = Math.round(ms / (24 * HOUR_MS));
  if (days < 2) return formatAgo(ms / 1000);
  return days < 2 * 365 ? t("days", days) : t("years", Math.floor(days / 365.25));
}
