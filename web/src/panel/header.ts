/** The strip on top: which event, is it a drill, find a commune, what time it is, the meeting, which language, who. */

import type { EventInfo } from "../api";
import { mayDecide } from "../changes/types";
import { el, replaceChildren, setText } from "../dom";
import { t, translateOr } from "../i18n";
import { signOut } from "../signOut";
import { canWrite } from "../marks";
import { currentEvent, type State, type Store } from "../state";
import { formatTime, formatZone } from "../time";
import { MachineBadges } from "./machineBadges";

/** Of the field of events: its padding, and the arrow. */
const BESIDE_NAME_PX = 44;

export class Header {
  readonly element = el("header", { class: "top" });
  private said = "";
  private readonly machine;
  private readonly link = el("span", { class: "link-state", role: "status" });
  /** On the map until it is true no more: who walks away from a shared computer must know that it is still open. */
  readonly notLeft = el("p", { class: "room-notice", role: "alert", hidden: true });
  private readonly clock = el("time", { class: "top-clock" });
  /** What a meeting needs least: behind one button where the strip has no room for all. */
  private readonly rare = el("div", { class: "top-rare", id: "top-rare" });
  private readonly more = el("button", { type: "button", class: "more-open", "aria-controls": "top-rare", click: () => this.openRare(!this.rare.classList.contains("open")) }, "⋯");

  /** Measures how broad the event's name is. */
  private readonly pen = document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D;
  private readonly phone = window.matchMedia("(max-width: 720px)");
  /** The button that signs out. */
  private leaving: HTMLElement | null = null;

  constructor(
    private readonly store: Store,
    private readonly search: HTMLElement,
    private readonly chooseEvent: (id: string) => void,
    private readonly doors: { meet: () => void; review: () => void; list: () => void; print: () => void; share: () => void; keys: () => void },
  ) {
    this.machine = new MachineBadges(() => store.state.session !== null && store.state.session.account?.role !== "guest");
    new ResizeObserver(() => this.fit()).observe(this.element);
    this.rare.addEventListener("click", () => {
      this.openRare(false);
      if (this.more.offsetWidth) this.more.focus(); // where a room is left again, for the button pressed is hidden
    });
    window.addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !this.rare.contains(target) && target !== this.more) this.openRare(false);
    });
    this.element.addEventListener("keydown", (event) => event.key === "Escape" && this.openRare(false));
  }

  /** The clock ticks alone, so that an open event list is not redrawn under the reader's hand. */
  tick(state: State): void {
    writeTime(this.clock, state.nowMs);
    this.fit(); // how the machine fares is told now and then, and takes room
  }

  /** The event's name is read before the rest, as far as it has room by its style; on a phone it has what is left. */
  private nameRoom(isPhone: boolean): void {
    const select = this.element.querySelector<HTMLSelectElement>("select.event");
    if (!select) return;
    const { font, flexBasis } = getComputedStyle(select);
    this.pen.font = font;
    const whole = this.pen.measureText(select.selectedOptions[0]?.text ?? "").width + BESIDE_NAME_PX;
    select.style.minWidth = isPhone ? "" : `${Math.ceil(Math.min(whole, parseFloat(flexBasis) || whole))}px`;
  }

  /** Gives way in steps until the last button, which signs out, is on the screen: the day and the brand, what is rare, the clock; then the event's name. */
  private fit(): void {
    const { classList } = this.element;
    const isOver = (): boolean => this.element.scrollWidth > this.element.clientWidth;
    const isOpen = this.rare.classList.contains("open");
    this.rare.classList.remove("open"); // it lies under the strip, and is not of its width
    const steps = ["short", "tight", "tightest"];
    classList.remove(...steps);
    const isPhone = this.phone.matches; // the map is what it has room for: one line, and all that is rare behind its last button
    const door = this.leaving;
    if (door && (door.parentElement === this.rare) !== isPhone) (isPhone ? this.rare : this.element).append(door);
    this.nameRoom(isPhone);
    if (isPhone) classList.add(...steps);
    else for (const step of steps) if (isOver()) classList.add(step);
    if (!isPhone && isOver()) this.element.querySelector<HTMLElement>("select.event")?.style.removeProperty("min-width");
    if (classList.contains("tight")) this.openRare(isOpen);
  }

  private openRare(isOpen: boolean): void {
    this.rare.classList.toggle("open", isOpen);
    this.more.setAttribute("aria-expanded", String(isOpen));
    const label = t("more");
    this.more.title = label;
    this.more.setAttribute("aria-label", label);
  }

  render(state: State): void {
    const event = currentEvent(state);
    writeTime(this.clock, state.nowMs);
    this.link.classList.toggle("lost", !state.online);
    this.link.title = t(state.online ? "linkGood" : "linkLost");
    setText(this.link, this.link.title);
    const said = JSON.stringify([state.language, state.eventId, state.events, state.session, state.presented?.presenter]);
    if (said === this.said) return; // who types, or has the list open, is not interrupted by a flight's news
    this.said = said;
    this.machine.render();
    this.openRare(false);
    this.leaving = this.account(state);
    replaceChildren(
      this.rare,
      el("button", { type: "button", class: "print-open", title: t("printMap"), "aria-label": t("printMap"), click: this.doors.print }, t("print")),
      this.share(state),
      this.keys(state),
      this.languageChoice(state),
    );
    replaceChildren(
      this.element,
      el("button", { type: "button", class: "list-fold", "aria-label": t("foldList"), title: t("foldList"), "aria-controls": "panel", click: this.doors.list }, "☰"),
      el("div", { class: "brand" }, "flycam"),
      this.eventChoice(state),
      event?.is_drill && el("strong", { class: "drill-badge", title: t("drillNote") }, t("drill")),
      event?.risk_level != null && riskBadge(event.risk_level),
      this.search,
      this.link,
      this.clock,
      this.machine.disk,
      this.machine.battery,
      this.rare,
      this.meeting(state),
      this.review(state),
      this.upload(state),
      this.more,
      this.leaving,
    );
    this.fit();
  }

  private eventChoice(state: State): HTMLElement {
    if (!state.events.length) return el("span", { class: "event-none" }, t("noEvent"));
    const select = el("select", {
      class: "event",
      title: nameOf(currentEvent(state)),
      "aria-label": t("event"),
      change: (e) => this.chooseEvent((e.target as HTMLSelectElement).value),
    });
    for (const event of state.events) select.append(el("option", { value: event.event_id, selected: event.event_id === state.eventId }, nameOf(event)));
    return select;
  }

  private languageChoice(state: State): HTMLElement {
    const other = state.language === "vi" ? "en" : "vi";
    return el(
      "button",
      {
        type: "button",
        class: "language",
        lang: other,
        click: () => this.store.set({ language: other }),
      },
      other === "vi" ? "Tiếng Việt" : "English",
    );
  }

  /** The meeting; when somebody presents it says so to every screen. */
  private meeting(state: State): HTMLElement {
    const { presented } = state;
    const title = presented ? t("meetingOn", presented.presenter) : t("meetingNote");
    return el("button", { type: "button", class: `meet ${presented ? "on" : ""}`, title, "aria-label": `${t("meeting")}. ${title}`, click: this.doors.meet }, t("meeting"));
  }

  /** For who may decide what changed. */
  private review(state: State): HTMLElement | null {
    if (!mayDecide(state.session) || !state.eventId) return null;
    return el("button", { type: "button", class: "review-door", title: t("reviewNote"), click: this.doors.review }, t("review"));
  }

  /** For who may invite. */
  private share(state: State): HTMLElement | null {
    if (!canWrite(state.session)) return null;
    return el("button", { type: "button", class: "share-door", title: t("shareNote"), click: this.doors.share }, t("share"));
  }

  private upload(state: State): HTMLElement | null {
    if (!canWrite(state.session)) return null;
    return el("a", { class: "button upload-link", href: "./upload.html" }, t("upload"));
  }

  /** For who has an account: what lets them in. */
  private keys(state: State): HTMLElement | null {
    const account = state.session?.account;
    if (!account || account.role === "guest") return null;
    return el("button", { type: "button", class: "keys-door", title: t("keysNote"), "aria-label": t("keysNote"), click: this.doors.keys }, t("keys"));
  }

  private account(state: State): HTMLElement | null {
    const account = state.session?.account;
    if (!account) return null;
    const say = (trouble: string): void => {
      this.notLeft.hidden = !trouble;
      setText(this.notLeft, trouble);
    };
    return el(
      "button",
      { type: "button", class: "account", title: `${account.name} (${translateOr(`role_${account.role}`, account.role)})`, click: () => void signOut(account.name, say) },
      t("logout"),
    );
  }
}

/** As the field has it: a drill says so. */
function nameOf(event: EventInfo | null): string {
  if (!event?.is_drill || event.name.toLocaleUpperCase("vi").startsWith(t("drillMark"))) return event?.name ?? "";
  return `[${t("drillMark")}] ${event.name}`;
}

/** The day gives way where the strip is short of room; the hour stays. */
function writeTime(clock: HTMLElement, nowMs: number): void {
  const [day = "", hour = ""] = formatTime(nowMs).split(" ");
  if (clock.textContent === `${day} ${hour}`) return;
  clock.title = `${day} ${hour} (${formatZone(nowMs)})`;
  replaceChildren(clock, el("span", { class: "clock-day" }, `${day} `), hour);
}

/** The law's words; where the strip is short of room, a short form of them. */
function riskBadge(level: number): HTMLElement {
  const whole = t("riskLevel", level);
  return el("span", { class: "risk", title: whole }, el("span", { class: "risk-whole" }, whole), el("span", { class: "risk-short" }, t("riskShort", level)));
}
