/**
 * The meeting: the picture and one caption that is read from across the room. One screen presents, every other follows
 * it in hard cuts, or looks around by itself. Keys are those of a presenter's remote.
 */

import { toLonLat } from "ol/proj";
import { api, ApiError } from "../api";
import { buildCaption, withNoBreakSpaces } from "../caption";
import { debounce, el, replaceChildren, setText } from "../dom";
import { t } from "../i18n";
import { findImagingFlight, mayShowImagery, visibleKey, type ImagedPoint } from "../imagingFlight";
import { classificationBadge, classificationWithin } from "../classification";
import { isSameView, fitToGround, applySharedView, readSharedView } from "../sharedView";
import { isGuest, canWrite, listUrgent } from "../marks";
import { formatWaitingArea } from "../numbers";
import type { ViewContext, ViewSwitcher } from "../views";
import { currentEvent, readLink, writeLink, type State } from "../state";
import { formatTime } from "../time";
import { BriefingPlaceListPanel } from "./briefingPlaceList";
import { readBriefingPlaces, type BriefingPlace } from "./briefingPlaces";

type Role = "off" | "alone" | "present" | "follow";

const SEND_MS = 150;
const STILL_HERE_MS = 15_000;
const IDLE_MS = 4_000;
const ASK_MS = 200;

export class MeetingView {
  private readonly caption = el("div", { class: "meeting-caption", role: "status" });
  private readonly bar = el("div", { class: "meeting-bar", role: "toolbar" });
  private readonly trouble = el("p", { class: "meeting-trouble", role: "alert", hidden: true });
  /** To whom looks around while somebody begins to present: it stays until it is answered, whoever watches. */
  private readonly call = el("div", { class: "meeting-call", role: "alert", hidden: true });
  private readonly list: BriefingPlaceListPanel;
  private readonly element: HTMLElement;
  private readonly screen = screenId();
  private role: Role = "off";
  private resumes = false;
  /** Whether another screen presented when this one last looked. */
  private isOther = false;
  /** Of the view that `seen` names; null: it is being asked. */
  private imaged: ImagedPoint | null = null;
  private seen = "";
  private commune: string | null = null;
  private place: BriefingPlace | null = null;
  private asked = 0;
  private applied = 0;
  private idle = 0;
  private said = "";
  private sent = "";
  private sending: Promise<void> = Promise.resolve();
  private isQueued = false;
  private readonly send = debounce(() => void this.sendNow(), SEND_MS);
  private readonly ask = debounce(() => void this.askNow(), ASK_MS);

  constructor(
    private readonly house: ViewContext,
    private readonly rooms: ViewSwitcher,
  ) {
    this.list = new BriefingPlaceListPanel({
      go: (place) => this.go(place),
      now: (name) => this.viewHere(name),
      suggested: () => this.nameHere(),
      mayWrite: () => canWrite(house.store.state.session),
      onChange: () => this.render(house.store.state),
    });
    this.element = el("section", { class: "meeting" }, this.caption, el("div", { class: "meeting-told" }, this.call, this.trouble), this.list.element, this.bar);
    house.map.on("moveend", () => this.moved());
    house.map.getView().on(["change:center", "change:resolution"], () => this.tick(house.store.state));
    window.addEventListener("keydown", (event) => this.onKey(event), true);
    for (const sign of ["pointermove", "pointerdown", "keydown"]) window.addEventListener(sign, () => this.wake());
    window.setInterval(() => {
      if (this.role === "present") void this.sendNow();
      if (this.role === "follow") void this.hear();
    }, STILL_HERE_MS);
  }

  get isOn(): boolean {
    return this.role !== "off";
  }

  enter(): void {
    if (this.role !== "off") return;
    const { store, stage } = this.house;
    this.isOther = this.isOtherPresenting(store.state);
    this.role = this.isOther ? "follow" : "alone";
    this.hang(null);
    this.clear();
    this.resumes = readLink().meet === "present";
    this.lay(true);
    stage.append(this.element);
    this.render(store.state);
    if (this.role === "follow") void this.apply();
    this.ask();
    this.wake();
  }

  /** Waits for a presenter although nobody presents yet: the wall screen that is switched on before the meeting. */
  wait(): void {
    this.turn("follow");
  }

  render(state: State): void {
    if (this.role === "off") return;
    const { presented } = state;
    if (this.resumes && presented) this.resume(presented.screen === this.screen);
    if (this.role === "present" && presented && presented.screen !== this.screen && presented.version > this.applied) this.turn("follow");
    if (this.role === "follow" && presented && presented.version !== this.applied) void this.apply();
    this.callFor(state);
    if (this.role === "present" && this.isUnsent(state)) this.send();
    if (!isGuest(state.session)) this.list.open(state.eventId); // guests are not told what the meeting will walk through
    this.offer(state);
    this.ask();
    this.say(state);
  }

  /** The server is back. */
  askAgain(): void {
    if (this.role !== "off") this.list.askAgain();
  }

  tick(state: State): void {
    if (this.role !== "off") this.say(state);
  }

  /** The view came to rest somewhere else. */
  moved(): void {
    if (this.role === "off") return;
    if (this.role === "present") this.send();
    this.ask();
    this.say(this.house.store.state);
  }

  private lay(isOn: boolean): void {
    document.documentElement.classList.toggle("in-meeting", isOn);
    document.documentElement.classList.remove("meeting-idle");
    document.documentElement.classList.toggle("following", isOn && this.role === "follow");
    this.house.marks.inMeeting(isOn);
    writeLink({ meet: !isOn ? "" : this.role === "alone" ? "on" : this.role });
    this.rooms.map.updateSize();
  }

  private turn(role: Role): void {
    if (this.role === role || this.role === "off") return;
    this.role = role;
    this.resumes = false;
    this.trouble.hidden = true;
    this.lay(true);
    this.clear();
    if (role === "follow") void this.apply();
    this.render(this.house.store.state);
  }

  /** Who follows sees what is presented, and nothing that was opened or looked for here. */
  private clear(): void {
    if (this.role !== "follow") return;
    this.list.close();
    this.house.communes.highlight(null);
  }

  private isOtherPresenting({ presented }: State): boolean {
    return presented !== null && presented.screen !== this.screen;
  }

  /** Somebody begins to present, or ends it: who looks around hears of it once, and may follow. */
  private callFor(state: State): void {
    const isOther = this.isOtherPresenting(state);
    if (this.role !== "alone" || !isOther) this.hang(null);
    else if (!this.isOther || !this.call.hidden) this.hang(state.presented?.presenter ?? "");
    this.isOther = isOther;
  }

  /** Asks whether to follow this one; null: there is nothing to ask. */
  private hang(presenter: string | null): void {
    this.call.hidden = presenter === null;
    if (presenter === null) return;
    const words = [t("meetingBegins", presenter), t("meetingFollow", presenter), t("meetingStay")] as const;
    if (this.call.dataset["said"] === words.join("|")) return;
    this.call.dataset["said"] = words.join("|");
    replaceChildren(
      this.call,
      el("strong", {}, words[0]),
      el("button", { type: "button", class: "follow", click: () => this.turn("follow") }, words[1]),
      el("button", { type: "button", class: "stay", click: () => this.hang(null) }, words[2]),
    );
  }

  /** The page was loaded again, or copied, while it presented. */
  private resume(isStillOurs: boolean): void {
    if (isStillOurs) void this.present(false);
    else this.turn("follow");
  }

  private leave(): void {
    if (this.role === "present") this.stop();
    this.role = "off";
    this.list.close();
    this.lay(false);
    this.element.remove();
  }

  private stop(): void {
    this.turn("alone");
    // after what is on its way, which would begin it again; silent for a minute it ends by itself
    this.sending = this.sending.then(() => api.endMeeting(this.screen)).then(
      () => undefined,
      () => undefined,
    );
  }

  /** What is presented, in one cut. */
  private async apply(): Promise<void> {
    const { store } = this.house;
    const { presented } = store.state;
    if (!presented) return;
    this.applied = presented.version;
    this.place = null; // its name must not stand over what comes
    applySharedView(store, presented.view);
    await this.rooms.settled();
    if (this.role !== "follow" || store.state.presented?.version !== presented.version) return;
    fitToGround(this.rooms.map, presented.bounds);
    const { title } = presented.view;
    this.place = title ? { ...presented, name: title } : null;
    this.say(store.state);
  }

  private async present(take: boolean): Promise<void> {
    this.applied = this.house.store.state.presented?.version ?? 0;
    const sent = this.sendNow(take, true);
    this.turn("present");
    await sent;
  }

  /** A stream that went silent looks like a presenter who stands still: a question that is not answered has it opened anew. */
  private async hear(): Promise<void> {
    const { store } = this.house;
    const presented = await api.meeting().catch(() => undefined);
    const known = store.state.presented;
    if (presented === undefined || presented?.version === known?.version) return;
    if (presented && known && presented.version < known.version) return; // the stream told more meanwhile
    store.set({ presented });
  }

  /**
   * One after the other: what is sent later must not arrive before who presents is settled. While one is on its way one
   * more waits; it says what is seen when its turn comes.
   */
  private sendNow(take = false, isFirst = false): Promise<void> {
    if (this.isQueued && !isFirst) return this.sending;
    this.isQueued = true;
    this.sending = this.sending.then(() => {
      this.isQueued = false;
      return isFirst || this.role === "present" ? this.sendOne(take) : undefined;
    });
    return this.sending;
  }

  /** What others are told is no reason to tell it again: two pages that did so would answer each other for ever. */
  private isUnsent(state: State): boolean {
    return JSON.stringify(readSharedView(state, this.rooms.map)) !== this.sent;
  }

  private async sendOne(take: boolean): Promise<void> {
    const here = this.viewHere(this.place?.name ?? "");
    if (!here) return;
    this.sent = JSON.stringify(readSharedView(this.house.store.state, this.rooms.map));
    const title = this.place && isSameView(this.place.bounds, here.bounds) ? this.place.name : undefined;
    const view = title ? { ...here.view, title } : here.view;
    try {
      const shown = await api.present({ screen: this.screen, view, bounds: here.bounds, take });
      this.applied = Math.max(this.applied, shown?.version ?? 0);
      this.tell(null);
    } catch (error) {
      if (this.role !== "present") return;
      if (error instanceof ApiError && error.status === 409) this.turn("follow");
      else if (error instanceof ApiError) this.turn("alone");
      this.tell(error instanceof ApiError ? error.message : t("meetingNotSent"));
    }
  }

  private tell(trouble: string | null): void {
    this.trouble.hidden = trouble === null;
    setText(this.trouble, trouble ?? "");
  }

  private viewHere(name: string): BriefingPlace | null {
    const here = readSharedView(this.house.store.state, this.rooms.map);
    return here && { ...here, name };
  }

  private async go(place: BriefingPlace): Promise<void> {
    if (this.role === "follow") return;
    this.place = null;
    applySharedView(this.house.store, place.view);
    await this.rooms.settled();
    fitToGround(this.rooms.map, place.bounds);
    this.place = place;
    this.moved();
  }

  private nameHere(): string {
    const flight = this.imaged?.flight;
    return [this.commune ?? flight?.name, flight && formatTime(flight.last)].filter(Boolean).join(" – ") || (currentEvent(this.house.store.state)?.name ?? "");
  }

  private async askNow(): Promise<void> {
    if (this.role === "off") return;
    const turn = ++this.asked;
    const { store, communes } = this.house;
    const centre = this.centre();
    const seen = visibleKey(store.state, centre);
    const [lon = 0, lat = 0] = toLonLat(centre);
    const imaged = await findImagingFlight(store.state, lon, lat);
    if (turn !== this.asked || seen !== this.seen) return; // of another view; this one is asked by whoever changed it
    this.imaged = imaged;
    this.commune = communes.nameAt(centre);
    this.say(store.state);
  }

  private centre(): number[] {
    return this.rooms.map.getView().getCenter() ?? [0, 0];
  }

  /** What is known of one view is not said of another, not even until the answer comes. */
  private forget(state: State): void {
    const seen = visibleKey(state, this.centre());
    if (seen === this.seen) return;
    this.seen = seen;
    this.imaged = null;
    this.commune = null;
  }

  /** The place, and when its picture was taken, how old that is, how far off it may be. */
  private say(state: State): void {
    this.forget(state);
    const here = readSharedView(state, this.rooms.map);
    if (this.place && here && !isSameView(this.place.bounds, here.bounds)) this.place = null;
    const waits = this.role === "follow" && !state.presented;
    const isBlank = waits && !this.imaged?.pixel; // nobody chose what is in sight: nothing need be said of no picture
    const event = currentEvent(state);
    const place = [this.place?.name, this.commune, this.imaged?.flight?.name, event?.name].find(Boolean) ?? "";
    const { name, facts } = buildCaption(place, this.imaged, state.nowMs, false, "middle", here !== null && mayShowImagery(state, here.bounds));
    const asOf = state.asOf && !state.compare ? withNoBreakSpaces(t("untilMoment", formatTime(state.asOf))) : null;
    const lost = !state.online && t(this.role === "follow" ? "meetingLostFollow" : "meetingLost");
    const level = here ? classificationWithin(state, here.bounds) : "open";
    const first = waits ? [] : [...listUrgent(state.marks), ...(state.waiting ? [t("changesWait", state.waiting.count, formatWaitingArea(state.waiting))] : [])].map(withNoBreakSpaces);
    const said = JSON.stringify([lost, first, waits, isBlank, name, facts, asOf, level, event?.is_drill, Boolean(state.compare), state.language]);
    if (said === this.said) return;
    this.said = said;
    this.element.classList.toggle("comparing", Boolean(state.compare));
    replaceChildren(
      this.caption,
      event?.is_drill && el("span", { class: "drill-badge" }, t("drillMark")),
      classificationBadge(level),
      lost && el("strong", {}, lost),
      first.length > 0 && el("strong", { class: "first" }, first.join(" · ")),
      el("b", {}, waits ? t("meetingWaits") : name),
      !state.compare && !isBlank && el("span", {}, [waits && name, asOf, ...facts].filter(Boolean).join(" · ")),
    );
  }

  private offer(state: State): void {
    const { presented } = state;
    const may = canWrite(state.session);
    const presenter = presented?.presenter ?? "";
    const button = (word: string, click: () => void, name = ""): HTMLElement => el("button", { type: "button", class: name, click }, word);
    const isOther = this.isOtherPresenting(state);
    const nodes: (HTMLElement | false)[] = [
      this.role === "present" && el("strong", { class: "on-air" }, t("meetingPresents")),
      this.role === "follow" && presented !== null && el("strong", {}, t("meetingFollows", presenter)),
      this.role === "present" && button(t("meetingStop"), () => this.stop()),
      this.role === "follow" && button(t("meetingAlone"), () => this.turn("alone")),
      this.role === "alone" && isOther && button(t("meetingFollow", presenter), () => this.turn("follow"), "follow"),
      this.role !== "present" && may && button(t(isOther ? "meetingTake" : "meetingPresent"), () => void this.present(isOther), "present"),
      this.role !== "follow" && !isGuest(state.session) && button(t("places", readBriefingPlaces(state.eventId ?? "").length), () => this.list.toggle(state.eventId), "places-open"),
      button(t("meetingLeave"), () => this.leave(), "leave"),
    ];
    const words = nodes.map((node) => (node ? node.textContent : "")).join("|");
    if (this.bar.dataset["said"] === words) return;
    this.bar.dataset["said"] = words;
    replaceChildren(this.bar, ...nodes);
  }

  /** The controls go away when nobody touches anything: a wall shows the picture. */
  private wake(): void {
    if (this.role === "off") return;
    const { classList } = document.documentElement;
    classList.remove("meeting-idle");
    window.clearTimeout(this.idle);
    this.idle = window.setTimeout(() => {
      if (!this.list.isOpen && !this.bar.contains(document.activeElement)) classList.add("meeting-idle");
    }, IDLE_MS);
  }

  private onKey(event: KeyboardEvent): void {
    if (this.role === "off" || event.ctrlKey || event.altKey || event.metaKey) return;
    const held = event.target instanceof HTMLElement ? event.target : null;
    if (held?.closest("input, select, textarea")) return;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      if (this.list.isOpen) this.list.close();
      else this.leave();
      return;
    }
    const step = { PageDown: 1, ArrowRight: 1, PageUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || this.role === "follow" || (held?.closest(".swipe-handle") && event.key.startsWith("Arrow"))) return;
    const place = this.list.step(step);
    if (!place) return;
    event.preventDefault();
    event.stopPropagation();
    void this.go(place);
  }
}

/** By which the server knows this page again, also after it was loaded anew; a tab made from it (which inherits all it kept) has another. */
function screenId(): string {
  const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  const known = sessionStorage.getItem("flycam.screen");
  if (known && navigation?.type === "reload") return known;
  const made = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("flycam.screen", made);
  return made;
}
