/** Before and after: two maps under one view, swept over each other, shown in turns, or side by side. */

import type Map from "ol/Map";
import { findOpenChoice, debounce, el, replaceKeepingFocus } from "../dom";
import { t } from "../i18n";
import { rememberInLink } from "../map/view";
import { formatRevision } from "../revisions";
import { isComplete, type State, type Store } from "../state";
import { formatTime } from "../time";
import { findPairDoubt } from "./pairCheck";
import { listComparableFlights, sideExists, MODES, publishedRevisions, readSide, writeSide, type Comparison, type Mode, type Side } from "./sides";
import { ComparedMap, type SharedView } from "./comparedMap";

const STEP = 2;
const REST_MS = 250;

export class CompareStage {
  readonly element = el("section", { class: "compare" });
  private readonly bar = el("div", { class: "compare-bar" });
  private readonly handle = el("div", { class: "swipe-handle", role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 100 });
  private readonly before: ComparedMap;
  private readonly after: ComparedMap;
  private drawn: readonly unknown[] = [];
  private said = "";
  private chosen = "";
  private waits = false;
  /** Where the line stood, and between which two pictures, when another way to compare was chosen. */
  private line: { pair: string; share: number } | null = null;
  private isClosed = false;
  private readonly onKey = (event: KeyboardEvent): void => this.key(event);

  constructor(
    private readonly store: Store,
    shared: SharedView,
    private readonly onMoved: () => void,
  ) {
    this.before = new ComparedMap("before", shared);
    this.after = new ComparedMap("after", shared);
    this.element.append(this.before.frame, this.after.frame, this.handle, this.bar);
    this.link(this.before, this.after);
    this.link(this.after, this.before);
    this.handle.addEventListener("pointerdown", (event) => this.drag(event));
    window.addEventListener("keydown", this.onKey);
    const rest = debounce(() => this.render(this.store.state, true), REST_MS);
    this.before.map.on("moveend", () => {
      rememberInLink(this.before.map);
      this.onMoved();
      rest();
    });
  }

  /** It is on the page now: the maps have their sizes. */
  attach(): void {
    this.before.map.updateSize();
    this.after.map.updateSize();
    // the arrows move the line at once, unless somebody is typing: this comes when the pictures are ready
    if (!document.activeElement?.closest("input, select, textarea")) this.handle.focus({ preventScroll: true });
  }

  get map(): Map {
    return this.before.map;
  }

  get maps(): Map[] {
    return [this.before.map, this.after.map];
  }

  render(state: State, isAnew = false): void {
    const { compare } = state;
    if (!compare || this.isClosed) return;
    const drawn = [state.flights, state.revisions, state.spectral, state.eventId, state.reviewedAt, writeSide(compare.before), writeSide(compare.after)];
    const isOther = isAnew || drawn.some((one, n) => one !== this.drawn[n]);
    this.drawn = drawn;
    this.lay(compare);
    this.offer(state, compare);
    const doubt = findPairDoubt(state, compare);
    const note = doubt && t(doubt);
    this.before.update(state, compare.before, isOther, note);
    this.after.update(state, compare.after, isOther, note);
  }

  askAgain(): void {
    this.before.askAgain();
    this.after.askAgain();
    this.render(this.store.state, true);
  }

  close(): void {
    this.isClosed = true;
    window.removeEventListener("keydown", this.onKey);
    this.before.dispose();
    this.after.dispose();
    this.element.remove();
  }

  /** Where each map shows: the maps themselves are the same in all three. */
  private lay({ mode, share }: Comparison): void {
    if (this.element.dataset["mode"] !== mode) {
      this.element.dataset["mode"] = mode;
      this.before.map.updateSize();
      this.after.map.updateSize();
      for (const one of [this.before, this.after]) one.point(null);
    }
    const showsAfter = mode !== "flicker" || share >= 50;
    this.after.frame.style.visibility = showsAfter ? "visible" : "hidden";
    this.before.frame.classList.toggle("covered", mode === "flicker" && showsAfter);
    this.after.target.style.clipPath = mode === "swipe" ? `inset(0 0 0 ${share}%)` : "";
    this.handle.hidden = mode !== "swipe";
    this.handle.style.left = `${share}%`;
    this.handle.setAttribute("aria-valuenow", String(Math.round(share)));
    this.handle.setAttribute("aria-label", t("swipeHandle"));
  }

  /** A choice that is open under the reader's hand stays: what is only newer is offered when it is left. */
  private offer(state: State, compare: Comparison): void {
    const chosen = JSON.stringify([state.language, compare.mode, writeSide(compare.before), writeSide(compare.after)]);
    const said = JSON.stringify([chosen, offeredSaid(state)]);
    if (said === this.said) return;
    const held = chosen === this.chosen ? findOpenChoice(this.bar) : null;
    if (held) {
      if (!this.waits) held.addEventListener("blur", () => this.offerLate(), { once: true });
      this.waits = true;
      return;
    }
    [this.said, this.chosen, this.waits] = [said, chosen, false];
    const modes = MODES.map((mode) => this.modeButton(mode, compare.mode));
    replaceKeepingFocus(
      this.bar,
      this.choice(state, "before", compare.before),
      el("div", { class: "compare-modes", role: "group", "aria-label": t("compare") }, ...modes),
      this.choice(state, "after", compare.after),
      el("button", { type: "button", class: "close", "data-kept": "close", "aria-label": t("compareClose"), title: t("compareClose"), click: () => this.store.set({ compare: null }) }, "×"),
    );
  }

  private offerLate(): void {
    this.waits = false;
    window.setTimeout(() => this.render(this.store.state), 0); // the focus is still where it was
  }

  private modeButton(mode: Mode, chosen: Mode): HTMLElement {
    const choose = (): void => {
      // who presses "in turns" again wants the other picture
      if (mode === "flicker" && chosen === "flicker") this.turn();
      else this.choose(mode);
    };
    return el("button", { type: "button", "data-mode": mode, "data-kept": mode, "aria-pressed": String(mode === chosen), title: t(`compareNote_${mode}`), click: choose }, t(`compare_${mode}`));
  }

  /** Every picture that may stand here, once: each flight as it is shown and in its other revisions, and all there was by a flight's end. */
  private choice(state: State, which: "before" | "after", side: Side): HTMLElement {
    const flights = listComparableFlights(state);
    const chosen = writeSide(side);
    const option = (one: Side, name: string): HTMLElement => el("option", { value: writeSide(one), selected: writeSide(one) === chosen }, name);
    const ofFlights = flights.flatMap((flight) => {
      const name = `${flight.name} – ${formatTime(flight.last)}`;
      const made = publishedRevisions(flight);
      const onShow = flight.mosaics[0]?.revision;
      const isChosen = (revision: number): boolean => side.kind === "flight" && side.flightId === flight.flight_id && side.revision === revision;
      const revisions = (made.length ? [...made, 0] : []).filter((one) => one !== onShow || isChosen(one)); // as it is shown it stands there already
      const as = (revision: number | null): Side => ({ kind: "flight", flightId: flight.flight_id, revision });
      return [option(as(null), name), ...revisions.map((one) => option(as(one), `${flight.name} – ${formatRevision(flight, one)}`))];
    });
    const own = flights.filter((one) => one.event_id === state.eventId);
    const first = Math.min(...own.map(({ last }) => Date.parse(last))); // by then there was that flight alone, which stands there already
    const moments = own.filter((one) => isComplete(one) && Date.parse(one.last) > first);
    const untils = moments.map(({ last }) => option({ kind: "until", moment: new Date(last).toISOString() }, t("untilMoment", formatTime(last))));
    // a browser shows the first option where none is selected: a picture that is not on the screen
    const isOffered = [...ofFlights, ...untils].some((one) => one.getAttribute("value") === chosen);
    const onScreen = el("option", { value: chosen, selected: true, disabled: true }, sideSaid(state, side));
    const change = (event: Event): void => {
      const read = readSide((event.target as HTMLSelectElement).value);
      if (read) this.change({ [which]: read });
    };
    return el(
      "label",
      { class: `compare-choice ${which}` },
      el("span", {}, t(which)),
      el("select", { change, "data-kept": which, "aria-label": t(which) }, !isOffered && onScreen, el("optgroup", { label: t("flights") }, ...ofFlights), untils.length > 0 && el("optgroup", { label: t("untilGroup") }, ...untils)),
    );
  }

  private change(change: Partial<Comparison>): void {
    const { compare } = this.store.state;
    if (compare) this.store.set({ compare: { ...compare, ...change } });
  }

  /** Who comes back to the line finds it where it was. */
  private choose(mode: Mode): void {
    const { compare } = this.store.state;
    if (!compare || compare.mode === mode) return;
    const pair = [compare.before, compare.after].map(writeSide).join(" ");
    if (compare.mode === "swipe") this.line = { pair, share: compare.share };
    const known = this.line?.pair === pair ? this.line.share : 50;
    this.change({ mode, share: mode === "flicker" ? 100 : known });
  }

  private turn(): void {
    this.change({ share: (this.store.state.compare?.share ?? 0) >= 50 ? 0 : 100 });
  }

  private drag(event: PointerEvent): void {
    event.preventDefault();
    this.handle.focus();
    this.handle.setPointerCapture(event.pointerId);
    const move = (one: PointerEvent): void => {
      const box = this.element.getBoundingClientRect();
      this.change({ share: Math.min(100, Math.max(0, (100 * (one.clientX - box.left)) / box.width)) });
    };
    const end = (): void => {
      this.handle.removeEventListener("pointermove", move);
      this.handle.removeEventListener("pointerup", end);
      this.handle.removeEventListener("pointercancel", end);
    };
    this.handle.addEventListener("pointermove", move);
    this.handle.addEventListener("pointerup", end);
    this.handle.addEventListener("pointercancel", end);
  }

  /** 1, 2, 3 choose how; the space bar changes pictures; arrows on the handle move the line; Escape ends it. */
  private key(event: KeyboardEvent): void {
    const { compare } = this.store.state;
    const held = event.target;
    if (!compare || event.ctrlKey || event.altKey || event.metaKey) return;
    if (held instanceof HTMLElement && held.closest("input, select, textarea, .timeline, .panel, .top")) return;
    const onHandle = held === this.handle;
    const actions: Record<string, (() => void) | undefined> = {
      "1": () => this.choose("swipe"),
      "2": () => this.choose("flicker"),
      "3": () => this.choose("side"),
      " ": compare.mode === "flicker" && !(held instanceof HTMLButtonElement && held.dataset["mode"] === "flicker") ? () => this.turn() : undefined,
      ArrowLeft: onHandle ? () => this.change({ share: Math.max(0, compare.share - STEP) }) : undefined,
      ArrowRight: onHandle ? () => this.change({ share: Math.min(100, compare.share + STEP) }) : undefined,
      Home: onHandle ? () => this.change({ share: 0 }) : undefined,
      End: onHandle ? () => this.change({ share: 100 }) : undefined,
      Escape: document.documentElement.classList.contains("in-meeting") ? undefined : () => this.store.set({ compare: null }),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** The pointer over one map is shown on the other, at the same place on the ground; a tap shows it on both. */
  private link(one: ComparedMap, other: ComparedMap): void {
    const isBeside = (): boolean => this.store.state.compare?.mode === "side";
    one.map.on("pointermove", (event) => {
      if (!isBeside()) return;
      one.point(null);
      other.point(event.coordinate);
    });
    one.map.on("click", (event) => {
      if (!isBeside()) return;
      one.point(event.coordinate);
      other.point(event.coordinate);
    });
    one.map.on("postrender", () => one.pointAgain());
    one.frame.addEventListener("pointerleave", (event) => {
      if ((event as PointerEvent).pointerType !== "touch") other.point(null);
    });
  }
}

/** A side in words, also of one that is not offered: whose picture it is or was, or as of when. */
function sideSaid(state: State, side: Side): string {
  if (side.kind === "until") return t("untilMoment", formatTime(side.moment));
  if (side.kind === "picture") return side.name;
  const flight = state.flights.find((one) => one.flight_id === side.flightId);
  const name = flight?.name ?? t("flight");
  const said = side.revision === null ? name : `${name} – ${formatRevision(flight, side.revision)}`;
  return sideExists(state, side) ? said : t("compareNotThere", said);
}

/** What the choosers print: nothing else is a reason to build them anew. */
function offeredSaid(state: State): unknown[] {
  return listComparableFlights(state).map((one) => [one.flight_id, one.event_id, one.name, isComplete(one), formatTime(one.last), publishedRevisions(one), one.is_streamed]);
}
