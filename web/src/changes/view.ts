/** The review: the list of candidates, walked through by keys, each over the two pictures that it was found in. */

import "./review.css";
import { api } from "../api";
import { isMissingImage, openLocalImage } from "../compare/localImages";
import type { ViewContext, ViewSwitcher } from "../views";
import type { State } from "../state";
import { CHANGE_KINDS, type ChangeKind, type ChangeLine, type ComparedPair, type DecisionRequest } from "./types";
import { Decisions } from "./decisions";
import { ChangeDrawing } from "./drawing";
import { Filters, type Filter } from "./filters";
import { centreOnChange, pointInChange, keepInView } from "./navigation";
import { Impacts } from "./impact";
import { formatPairDates, digitisingContext, describeMissing, listPairs, choosePair, dividerShareForBoth, describeForeignSide, listMissingFiles } from "./imagePair";
import { ReviewPanel, type ReviewActions, type EditMode, type ReviewPanelState } from "./reviewPanel";
import { RegistrationWindowsOverlay } from "./registrationWindows";
import { t } from "./texts";

const REPEATED = ["j", "k"];
const STANDING = ["proposed", "accepted", "rejected"];

export class ReviewView {
  private readonly drawing = new ChangeDrawing();
  private changes: ChangeLine[] = [];
  /** Of which two pictures they are. */
  private comparisons: readonly ComparedPair[] = [];
  /** Over which pictures the server lets changes of this event be drawn; asked once where that is in question. */
  private pictures: { eventId: string; names: readonly string[] | null } | null = null;
  private matched = 0;
  private chosen: string | null = null;
  /** The change that a link named, until the list has come. */
  private linked: string;
  /** Lines of the chosen change, if they were asked for. */
  private history: ChangeLine[] | null = null;
  private kind: ChangeKind = "landslide";
  /** Of what is being drawn: asked each time, for the last one was another place's. */
  private drawnKind: ChangeKind | null = null;
  /** What became of the corners of the outline in hand. */
  private fewer: ReviewPanelState["fewer"] = null;
  /** What is written beside the next decision, by change ("": of what is being drawn); kept while the reader goes on. */
  private readonly drafts = new Map<string, string>();
  /** What others have just done to the chosen change: nothing of theirs is overturned by a key that was on its way. */
  private overtaken = "";
  private editing: EditMode | null = null;
  /** What the outline in hand began from: somebody else's newer one is not written over unseen. */
  private edited: Record<string, number> = {};
  /** Where the swipe's handle stood before an outline was taken in hand. */
  private shareBefore: number | null = null;
  private isLeft = false;
  /** Whether the list is the server's; before that nobody knows whether there is nothing. */
  private isRead = false;
  /** What is said of what was done last; it goes with whatever is done next. */
  private trouble = "";
  /** Whether something was asked for while the step before was not answered: it is not done, and that is said. */
  private isPassedOver = false;
  private readonly filters = new Filters();
  private readonly windows = new RegistrationWindowsOverlay();
  private readonly decisions = new Decisions();
  private readonly impacts = new Impacts();
  private notes = 0;
  private asked = 0;
  private readonly onKey = (event: KeyboardEvent): void => this.key(event);
  private readonly acts: ReviewActions = {
    close: () => this.close(),
    decide: (action) => void this.decide(action),
    comment: () => void this.comment(),
    redraw: () => this.redraw(),
    draw: () => this.draw(),
    undo: () => void this.undo(),
    tell: () => void this.tell(),
    save: () => void this.save(),
    cancel: () => this.cancel(),
    choose: (change) => this.choose(change),
    setKind: (kind) => this.setKind(kind),
    setNote: (note) => this.drafts.set(this.noteOf, note),
    filter: (filter) => this.filter(filter),
    showWindows: (isOn) => this.showWindows(isOn),
    open: (name, file) => void this.open(name, file),
  };
  private readonly panel = new ReviewPanel(this.acts);

  constructor(
    private readonly house: ViewContext,
    private readonly rooms: ViewSwitcher,
    private readonly onClosed: () => void,
  ) {
    this.linked = house.store.state.review ?? "";
    house.stage.append(this.panel.element);
    house.stage.classList.add("reviewing");
    house.confirmed.setReviewed(true);
    window.addEventListener("keydown", this.onKey, true); // before Escape leaves the comparison
    this.show();
    void this.read();
  }

  /** Whether taps on the map are corners of an outline. */
  get takesTaps(): boolean {
    return this.editing !== null;
  }

  render(state: State, before: State): void {
    this.drawing.attach(this.rooms.maps);
    this.windows.attach(this.rooms.maps);
    if (state.eventId !== before.eventId) this.forget();
    if (state.eventId !== before.eventId || state.changed !== before.changed) void this.read();
    if (state.flights !== before.flights) this.flightsCame();
    this.keepInSight(state, before);
    const pair = ({ compare }: State): string => JSON.stringify([compare?.before, compare?.after]);
    if (state.language !== before.language || pair(state) !== pair(before)) this.show();
  }

  /** Another way to compare the same two gives each another part of the window. */
  private keepInSight({ compare: now }: State, { compare: before }: State): void {
    if (now && before && now.mode !== before.mode && this.current) keepInView(this.rooms.map, this.current, before.mode, now.mode, this.house.stage.clientWidth);
  }

  /** A picture that was not on the map may be now. */
  private flightsCame(): void {
    const { compare } = this.house.store.state;
    if (this.current && compare && [compare.before, compare.after].some((side) => side.kind === "picture")) this.compare(this.current);
    this.show();
  }

  close(): void {
    this.isLeft = true;
    this.asked += 1;
    this.drawing.stop();
    this.drawing.detach();
    this.windows.detach();
    this.house.stage.classList.remove("reviewing", "outlining");
    this.house.confirmed.setReviewed(false);
    window.removeEventListener("keydown", this.onKey, true);
    this.panel.element.remove();
    this.onClosed();
    this.house.store.set({ review: null, reviewedAt: null });
  }

  /** A drill's changes never stand on a real map, also not for a moment. */
  private forget(): void {
    this.stopEditing();
    [this.changes, this.matched, this.chosen, this.history, this.isRead] = [[], 0, null, null, false];
    this.house.store.set({ review: "", reviewedAt: null });
    this.filters.forget();
    this.drafts.clear();
    this.isPassedOver = false;
    this.decisions.forget();
    this.show();
  }

  private async read(): Promise<void> {
    const { eventId } = this.house.store.state;
    const turn = ++this.asked;
    if (!eventId) return this.show();
    const found = await api.changes(eventId).catch(() => null);
    if (turn !== this.asked || eventId !== this.house.store.state.eventId) return;
    if (found) {
      const seen = this.current;
      void this.recall(eventId);
      [this.changes, this.matched, this.isRead] = [found.features, found.numberMatched, true];
      this.comparisons = found.comparisons;
      if (this.pictures?.eventId === eventId) void this.readPictures(eventId); // what was compared since may be drawn over
      if (this.trouble === t("notRead")) this.trouble = ""; // what else is said stays until something else is done
      if (seen && this.current && this.current.properties.version !== seen.properties.version) this.overtake(this.current);
      if (!this.current && !this.editing) this.chooseFirst(seen ? t("goneMeanwhile") : this.trouble);
      void this.filters.read(eventId, () => this.show());
    } else this.trouble = t("notRead");
    this.show();
  }

  /** What the link named, else what comes first. */
  private chooseFirst(trouble: string): void {
    const named = this.changes.find((one) => one.properties.change_id === this.linked) ?? null;
    const isLost = this.linked !== "" && named === null;
    this.linked = "";
    this.choose(named ?? this.firstListed(), isLost ? t("linkedGone") : trouble);
  }

  private overtake({ properties }: ChangeLine): void {
    const { kind, action, author, status } = properties;
    [this.kind, this.history] = [kind, null];
    const said = t("overtaken", author || t("somebody"), t(`action_${action}`).toLowerCase());
    this.trouble = said;
    this.overtaken = status === "proposed" ? "" : said;
  }

  /** Of what a note is that is being written. */
  private get noteOf(): string {
    return this.editing === "draw" ? "" : (this.chosen ?? "");
  }

  private get note(): string {
    return this.drafts.get(this.noteOf) ?? "";
  }

  private get current(): ChangeLine | null {
    return this.changes.find((one) => one.properties.change_id === this.chosen) ?? null;
  }

  /** What the filter lets through, and what is chosen: a decision takes nothing from under the reader's eyes. */
  private get listed(): ChangeLine[] {
    return this.changes.filter((one) => this.filters.passes(one) || one.properties.change_id === this.chosen);
  }

  /** The first that waits, else the first. */
  private firstListed(): ChangeLine | null {
    const passing = this.changes.filter((one) => this.filters.passes(one));
    return passing.find((one) => one.properties.status === "proposed") ?? passing[0] ?? null;
  }

  private filter(filter: Filter): void {
    const { eventId } = this.house.store.state;
    [this.filters.now, this.trouble] = [filter, ""];
    const settle = (): void => {
      if (this.isLeft) return;
      if (this.current && this.filters.passes(this.current)) this.show();
      else this.choose(this.firstListed());
    };
    if (!filter.cutsRoad || !eventId) return settle();
    this.filters.roads = "reading";
    this.show();
    void this.filters.read(eventId, settle);
  }

  private showWindows(isOn: boolean): void {
    [this.windows.isOn, this.trouble] = [isOn, ""];
    this.windows.attach(this.rooms.maps);
    this.show();
  }

  private choose(change: ChangeLine | null, trouble = ""): void {
    this.stopEditing();
    this.chosen = change?.properties.change_id ?? null;
    [this.history, this.trouble, this.overtaken] = [null, trouble, ""];
    this.notes += 1;
    if (change) {
      this.kind = change.properties.kind;
      this.compare(change);
      centreOnChange(this.rooms.map, change, this.house.store.state.compare?.mode ?? null);
    }
    this.house.store.set({ review: this.chosen ?? "", reviewedAt: change && pointInChange(change) });
    this.show();
  }

  private step(by: number): void {
    const { listed } = this;
    const at = listed.findIndex((one) => one.properties.change_id === this.chosen);
    const next = listed[Math.min(Math.max(at + by, 0), listed.length - 1)];
    if (next) this.choose(next);
  }

  /** The two pictures that it was found in, as before and after. */
  private compare(change: ChangeLine): void {
    const { store, stage } = this.house;
    const compare = choosePair(change, store.state.flights, store.state.compare, stage.clientWidth);
    if (compare) store.set({ compare });
  }

  private async decide(action: "accept" | "reject"): Promise<void> {
    const { current } = this;
    if (!current) return;
    const { change_id, version, status } = current.properties;
    if (this.overtaken && status !== `${action}ed`) {
      [this.trouble, this.overtaken] = [`${this.overtaken} ${t("pressAgain")}`, ""];
      return this.show();
    }
    const following = this.following(change_id);
    if (!(await this.send({ action, changes: { [change_id]: version }, kind: this.kind, note: this.note }))) return;
    const isStillThere = this.chosen === change_id && !this.editing; // who went on meanwhile is not led elsewhere
    if (following && isStillThere) this.choose(this.changes.find((one) => one.properties.change_id === following) ?? null, this.trouble);
  }

  /** The next one that waits, after this one or from the top. */
  private following(changeId: string): string | null {
    const { listed } = this;
    const at = listed.findIndex((one) => one.properties.change_id === changeId);
    const inTurn = [...listed.slice(at + 1), ...listed.slice(0, Math.max(at, 0))];
    return inTurn.find((one) => one.properties.status === "proposed")?.properties.change_id ?? null;
  }

  /** What is noted without a decision. */
  private async comment(): Promise<void> {
    const { current, note } = this;
    if (!current || !note.trim()) return;
    const { change_id, version } = current.properties;
    await this.send({ action: "comment", changes: { [change_id]: version }, note });
  }

  /** Who decided what on the chosen change, and when; asked again, it is put away. */
  private async tell(): Promise<void> {
    const { current } = this;
    if (!current) return;
    if (this.history) {
      [this.history, this.trouble] = [null, ""];
      return this.show();
    }
    const { change_id } = current.properties;
    const found = await api.changeHistory(change_id).catch(() => null);
    if (this.chosen !== change_id || this.isLeft) return;
    [this.history, this.trouble] = found ? [found.features, ""] : [null, t("notRead")];
    this.show();
    this.panel.element.querySelector(".review-history")?.scrollIntoView({ block: "nearest" });
  }

  /** A file of the reader's own computer, seen here alone. */
  private async open(name: string, file: File): Promise<void> {
    this.trouble = t("opening", file.name);
    this.show();
    const why = await openLocalImage(name, file);
    if (this.isLeft) return;
    this.trouble = why ? t(`open_${why}`, file.name, name) : "";
    const { store, stage } = this.house;
    const { compare, opened } = store.state;
    if (!why) store.set({ opened: opened + 1, compare: compare && { ...compare, share: dividerShareForBoth(compare, stage.clientWidth) } });
    this.show();
  }

  /** Two maps lie side by side at the swipe's handle, and an outline is of one: what is drawn is drawn on AFTER alone. */
  private showAfterWhole(): void {
    const { store } = this.house;
    const { compare } = store.state;
    if (compare?.mode !== "swipe" || compare.share === 0 || isMissingImage(compare.after)) return;
    this.shareBefore = compare.share;
    store.set({ compare: { ...compare, share: 0 } });
  }

  /** The handle back where it was, unless it was moved meanwhile. */
  private showBoth(): void {
    const { store } = this.house;
    const { compare } = store.state;
    if (this.shareBefore !== null && compare?.mode === "swipe" && compare.share === 0) store.set({ compare: { ...compare, share: this.shareBefore } });
    this.shareBefore = null;
  }

  private redraw(): void {
    const { current } = this;
    if (!current) return;
    [this.editing, this.trouble] = ["redraw", ""];
    this.showAfterWhole();
    this.edited = { [current.properties.change_id]: current.properties.version };
    this.fewer = this.drawing.edit(current);
    this.show();
  }

  private setKind(kind: ChangeKind): void {
    if (this.editing !== "draw") this.kind = kind;
    else this.drawnKind = kind;
    this.trouble = "";
    this.show();
  }

  private dropCorner(): void {
    this.trouble = this.drawing.dropCorner() ? "" : t("noCorner");
    this.show();
  }

  private draw(): void {
    if (this.strange) return this.show();
    this.editing = "draw";
    [this.drawnKind, this.trouble] = [null, ""];
    this.showAfterWhole();
    this.drawing.draw(() => this.drawn());
    this.show();
  }

  /** An outline is there now: that it was lacking is not said of it any more. */
  private drawn(): void {
    this.trouble = "";
    this.show();
  }

  /** Which of the two pictures in sight is none of the event's: the server would refuse what is drawn over it. */
  private get strange(): string {
    const { eventId, compare, flights } = this.house.store.state;
    if (!eventId || !describeForeignSide(eventId, compare, flights, [])) return ""; // two of the event's own flights: nothing to ask
    if (this.pictures?.eventId !== eventId) void this.readPictures(eventId);
    const names = this.pictures?.names;
    return names ? describeForeignSide(eventId, compare, flights, names) : "";
  }

  private async readPictures(eventId: string): Promise<void> {
    const before = this.pictures?.eventId === eventId ? this.pictures.names : null;
    this.pictures = { eventId, names: before };
    const told = await api.picturesOf(eventId).catch(() => null);
    if (this.pictures?.eventId !== eventId) return;
    const names = told?.pictures ?? before;
    this.pictures = names && { eventId, names };
    if (told) this.show();
  }

  /** An outline that is still being drawn is ended where it is. */
  private async save(): Promise<void> {
    const step = this.drawnStep() ?? (this.drawing.end() ? this.drawnStep() : null);
    if (step?.action === "draw" && this.strange) return this.show();
    if (step) return this.sendAndGo(step);
    const isKindLacking = this.editing === "draw" && this.drawing.outline() !== null;
    this.trouble = t(isKindLacking ? "kindFirst" : "outlineTooShort");
    this.show();
  }

  /** What is decided by the outline in hand; null: it is not closed yet. */
  private drawnStep(): DecisionRequest | null {
    const { edited: changes, editing, kind, drawnKind, note } = this;
    const { eventId, compare, flights } = this.house.store.state;
    const outline = this.drawing.outline();
    if (editing === "draw") return outline && eventId && drawnKind ? { action: "draw", event_id: eventId, kind: drawnKind, note, outlines: [outline], ...digitisingContext(compare, flights) } : null;
    return editing && outline && { action: "redraw", changes, kind, note, outlines: [outline] };
  }

  private async undo(): Promise<void> {
    const { last: undoes } = this.decisions;
    if (!undoes) {
      this.trouble = t("nothingToUndo");
      return this.show();
    }
    await this.sendAndGo({ action: "undo", undoes });
  }

  /** Sends a step and goes to the first change that it left standing, unless the reader went on meanwhile. */
  private async sendAndGo(step: DecisionRequest): Promise<void> {
    const { chosen, editing } = this;
    const lines = await this.send(step);
    const standing = lines?.find((one) => STANDING.includes(one.properties.status));
    if (standing && this.chosen === chosen && this.editing === editing) this.choose(standing, this.trouble);
  }

  private stopEditing(): void {
    [this.editing, this.fewer] = [null, null];
    this.drawing.stop();
    this.showBoth();
  }

  /** The lines that were written; null: it was not decided, and the reader is told why. */
  private async send(step: DecisionRequest): Promise<ChangeLine[] | null> {
    const { chosen, noteOf } = this;
    const decided = await this.decisions.send(step);
    if (!decided || this.isLeft) return null;
    if ("isBusy" in decided && decided.isBusy) {
      [this.isPassedOver, this.trouble] = [true, decided.trouble];
      this.show();
      return null;
    }
    const passedOver = this.isPassedOver ? t("passedOver") : "";
    this.isPassedOver = false;
    if ("lines" in decided) {
      this.trouble = passedOver;
      if (this.drafts.get(noteOf) === step.note) this.drafts.delete(noteOf); // what was written on meanwhile stays
      if (this.chosen === chosen) this.history = null;
      this.notes += 1;
      this.put(decided.lines);
      return decided.lines;
    }
    if (decided.isStale) await this.read();
    const { overtaken } = this;
    this.overtaken = ""; // this key was the one that was on its way
    this.trouble = [overtaken, decided.trouble, passedOver].filter(Boolean).join(" ");
    this.show();
    return null;
  }

  /** Of before this page was loaded a decision can be undone too, and none where others have decided since. */
  private async recall(eventId: string): Promise<void> {
    await this.decisions.recall(eventId);
    this.show();
  }

  /** Changes as they stand now, in their places; new ones on top. What was decided beside them stays as it was read. */
  private put(lines: readonly ChangeLine[]): void {
    for (const line of lines) {
      const at = this.changes.findIndex((one) => one.properties.change_id === line.properties.change_id);
      const stands = STANDING.includes(line.properties.status);
      line.properties.decided_beside = this.changes[at]?.properties.decided_beside ?? [];
      if (at >= 0) this.changes.splice(at, 1, ...(stands ? [line] : []));
      else if (stands) this.changes.unshift(line);
    }
    this.show();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.documentElement.classList.contains("in-meeting") || document.body.classList.contains("printing")) return;
    const held = event.target;
    if (held instanceof HTMLElement && held.closest("input, select, textarea")) return this.typed(event, held);
    const isChosenKind = held instanceof HTMLElement && held.matches('.review-kind[aria-pressed="true"]'); // it says nothing more: what is drawn is meant
    if (event.key === "Enter" && held instanceof HTMLButtonElement && !isChosenKind) return; // which is what is meant
    // a dialog over the map, or a menu of the page, hears its own Escape
    if (event.key === "Escape" && !this.editing && held instanceof HTMLElement && held.closest("dialog, .room-over, .top, .panel")) return;
    const action = this.editing ? this.editingKeys()[event.key] : this.listKeys()[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || REPEATED.includes(event.key)) action(); // a key held down decides once
  }

  /** In the note's field letters are letters; Enter saves what is written, Escape leaves the field. */
  private typed(event: KeyboardEvent, field: HTMLElement): void {
    if (!this.panel.element.contains(field)) return;
    if (event.key === "Escape" && field.closest(".review-filters")) {
      field.blur(); // back to the list's keys, and not out of the comparison
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if (field.getAttribute("name") !== "note") return;
    if (event.key !== "Enter" && event.key !== "Escape") return;
    field.blur(); // letters are keys again
    if (event.key === "Enter") void (this.editing ? this.save() : this.comment());
    event.preventDefault();
    event.stopPropagation();
  }

  private editingKeys(): Record<string, (() => void) | undefined> {
    const kinds = CHANGE_KINDS.map((kind, n) => [String(n + 1), () => this.setKind(kind)] as const);
    return {
      Enter: () => void this.save(),
      Escape: () => this.escape(),
      Delete: () => this.dropCorner(),
      Backspace: () => this.dropCorner(),
      ...(this.editing === "draw" ? Object.fromEntries(kinds) : {}),
    };
  }

  private listKeys(): Record<string, (() => void) | undefined> {
    return {
      a: () => void this.decide("accept"),
      r: () => void this.decide("reject"),
      j: () => this.step(1),
      k: () => this.step(-1),
      c: () => this.panel.element.querySelector<HTMLElement>("[name=note]")?.focus(),
      f: () => this.panel.element.querySelector<HTMLElement>(".review-filters select")?.focus(),
      e: () => this.redraw(),
      n: () => this.draw(),
      h: () => void this.tell(),
      u: () => void this.undo(),
      escape: () => this.close(), // what is compared stays: the next one leaves that
    };
  }

  /** A key pressed in passing takes no drawing away: a corner first, and what is closed only if that is meant. */
  private escape(): void {
    if (this.drawing.takeBack()) return;
    if (!this.drawing.isChanged() || window.confirm(t("dropAsk"))) this.cancel();
  }

  private cancel(): void {
    this.stopEditing();
    this.trouble = "";
    this.show();
  }

  /** What was decided on the ground of the chosen one while it waits, each with the two pictures it is of. */
  private besideSaid(): ReviewPanelState["beside"] {
    const { current } = this;
    if (current?.properties.status !== "proposed") return [];
    const { flights } = this.house.store.state;
    return current.properties.decided_beside.map((one) => ({ ...one, pictures: formatPairDates(one, flights, false) || t("byHand") }));
  }

  private show(): void {
    if (this.isLeft) return;
    const { language, eventId, flights } = this.house.store.state;
    const pairs = listPairs(this.changes, flights);
    const dated = pairs.length > 1 ? this.changes : []; // of one pair the captions say it
    this.drawing.attach(this.rooms.maps);
    this.drawing.update(this.listed, this.chosen);
    void this.windows.show(this.current, () => this.show());
    this.house.stage.classList.toggle("outlining", this.editing !== null);
    const shown: ReviewPanelState = {
      eventId,
      changes: this.changes,
      listed: this.listed,
      pairs,
      dates: Object.fromEntries(dated.map((one) => [one.properties.change_id, formatPairDates(one.properties, flights, true)])),
      beside: this.besideSaid(),
      comparisons: this.comparisons,
      filter: this.filters.now,
      isFiltered: !this.filters.isOff,
      roads: this.filters.roads,
      windows: this.windows.isOn ? this.windows.told : null,
      matched: this.matched,
      isRead: this.isRead,
      chosen: this.chosen,
      history: this.history,
      impact: this.current ? this.impacts.of(this.current.properties, () => this.show()) : undefined,
      kind: this.editing === "draw" ? this.drawnKind : this.kind,
      fewer: this.fewer,
      editing: this.editing,
      isClosed: this.editing !== null && this.drawing.outline() !== null,
      trouble: this.trouble,
      missing: this.current ? describeMissing(this.current, flights) : "",
      unopened: this.current ? listMissingFiles(this.current, flights) : [],
      strange: this.strange,
      canUndo: this.decisions.last !== null,
      notes: this.notes,
      noted: [...this.drafts].flatMap(([change, note]) => (note.trim() ? [change] : [])),
    };
    this.panel.render(shown, language, this.note);
  }
}
