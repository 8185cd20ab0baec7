/** The review: the list of candidates, walked through by keys, each over the two pictures that it was found in. */

import "./review.css";
import { transformExtent } from "ol/proj";
import { api, ApiError } from "../api";
import { el, renew } from "../dom";
import { formatNumber } from "../numbers";
import type { House, Rooms } from "../rooms";
import type { State } from "../state";
import { CHANGE_KINDS, newStepId, sideOf, type ChangeKind, type ChangeLine, type StepAsked } from "./changes";
import { ChangeDrawing } from "./drawing";
import { t } from "./words";

const PANEL_PX = 330;
const MARGIN_PX = 90;
const CLOSEST_ZOOM = 20;
const STANDING = ["proposed", "accepted", "rejected"];

/** What the outline under the reader's hand is for. */
type Editing = "redraw" | "draw" | null;

export class ReviewRoom {
  readonly element = el("aside", { class: "review", "aria-label": t("title") });
  private readonly drawing = new ChangeDrawing();
  private changes: ChangeLine[] = [];
  private matched = 0;
  private chosen: string | null = null;
  private kind: ChangeKind = "landslide";
  /** What is written beside the next decision; nothing: what was noted before stays. */
  private note = "";
  private editing: Editing = null;
  private trouble = "";
  /** Steps of this screen that can be undone, the last one last. */
  private steps: string[] = [];
  /** A step that was not answered: the same asked again is the same step. */
  private unanswered: { said: string; id: string } | null = null;
  private isSending = false;
  private asked = 0;
  private said = "";
  private readonly onKey = (event: KeyboardEvent): void => this.key(event);

  constructor(
    private readonly house: House,
    private readonly rooms: Rooms,
    private readonly onClosed: () => void,
  ) {
    house.stage.append(this.element);
    window.addEventListener("keydown", this.onKey, true); // before Escape leaves the comparison
    void this.read();
  }

  /** Whether taps on the map are corners of an outline. */
  get takesTaps(): boolean {
    return this.editing !== null;
  }

  render(state: State, before: State): void {
    this.drawing.attach(this.rooms.maps);
    if (state.eventId !== before.eventId) this.forget();
    const isNews = state.changed !== before.changed || (state.online && !before.online);
    if (state.eventId !== before.eventId || isNews) void this.read();
    if (state.language !== before.language) this.show();
  }

  close(): void {
    this.drawing.stop();
    this.drawing.detach();
    window.removeEventListener("keydown", this.onKey, true);
    this.element.remove();
    this.onClosed();
  }

  /** A drill's changes never stand on a real map, also not for a moment. */
  private forget(): void {
    this.stopEditing();
    [this.changes, this.matched, this.chosen, this.steps] = [[], 0, null, []];
    this.show();
  }

  private async read(): Promise<void> {
    const { eventId } = this.house.store.state;
    const turn = ++this.asked;
    if (!eventId) return this.show();
    const found = await api.changes(eventId).catch(() => null);
    if (turn !== this.asked || eventId !== this.house.store.state.eventId) return;
    if (found) {
      const seen = this.current?.properties.version;
      [this.changes, this.matched, this.trouble] = [found.features, found.numberMatched, ""];
      if (this.current && this.current.properties.version !== seen) this.kind = this.current.properties.kind;
      if (!this.current && !this.editing) this.choose(this.waiting()[0] ?? this.changes[0] ?? null);
    } else this.trouble = t("notRead");
    this.show();
  }

  private get current(): ChangeLine | null {
    return this.changes.find((one) => one.properties.change_id === this.chosen) ?? null;
  }

  private waiting(): ChangeLine[] {
    return this.changes.filter((one) => one.properties.status === "proposed");
  }

  private choose(change: ChangeLine | null): void {
    this.stopEditing();
    this.chosen = change?.properties.change_id ?? null;
    this.note = "";
    if (change) {
      this.kind = change.properties.kind;
      this.compare(change);
      this.goTo(change);
    }
    this.show();
  }

  private step(by: number): void {
    const at = this.changes.findIndex((one) => one.properties.change_id === this.chosen);
    const next = this.changes[Math.min(Math.max(at + by, 0), this.changes.length - 1)];
    if (next) this.choose(next);
  }

  /** The two pictures that it was found in, as before and after; what is compared already stays. */
  private compare({ properties }: ChangeLine): void {
    const { store } = this.house;
    const { flights, compare } = store.state;
    const [before, after] = [sideOf(properties.before, flights), sideOf(properties.after, flights)];
    if (!before || !after) return;
    const next = { mode: compare?.mode ?? ("swipe" as const), share: compare?.share ?? 50, before, after };
    if (JSON.stringify([compare?.before, compare?.after]) !== JSON.stringify([before, after])) store.set({ compare: next });
  }

  private goTo(change: ChangeLine): void {
    const extent = transformExtent(change.bbox, "EPSG:4326", "EPSG:3857");
    const size = this.rooms.map.getSize();
    const covered = size && (size[0] ?? 0) > 2 * PANEL_PX ? PANEL_PX : 0;
    this.rooms.map.getView().fit(extent, {
      padding: [MARGIN_PX, MARGIN_PX + covered, MARGIN_PX, MARGIN_PX],
      maxZoom: CLOSEST_ZOOM,
      duration: 0,
      ...(size && { size }),
    });
  }

  private async decide(action: "accept" | "reject"): Promise<void> {
    const { current } = this;
    if (!current) return;
    const { change_id, version } = current.properties;
    const following = this.following(change_id);
    if (!(await this.send({ action, changes: { [change_id]: version }, kind: this.kind, note: this.note }))) return;
    if (following) this.choose(this.changes.find((one) => one.properties.change_id === following) ?? null);
  }

  /** The next one that waits, after this one or from the top. */
  private following(changeId: string): string | null {
    const at = this.changes.findIndex((one) => one.properties.change_id === changeId);
    const inTurn = [...this.changes.slice(at + 1), ...this.changes.slice(0, Math.max(at, 0))];
    return inTurn.find((one) => one.properties.status === "proposed")?.properties.change_id ?? null;
  }

  private redraw(): void {
    const { current } = this;
    if (!current) return;
    this.editing = "redraw";
    this.drawing.edit(current);
    this.show();
  }

  private draw(): void {
    this.editing = "draw";
    this.drawing.draw(() => this.show());
    this.show();
  }

  private async save(): Promise<void> {
    const outline = this.drawing.outline();
    const { current, editing } = this;
    const { eventId } = this.house.store.state;
    if (!outline || !editing || !eventId) return;
    if (editing === "draw") {
      const made = await this.send({ action: "draw", event_id: eventId, kind: this.kind, note: this.note, outlines: [outline] });
      if (made?.[0]) this.choose(made[0]);
    } else if (current) {
      const { change_id, version } = current.properties;
      if (await this.send({ action: "redraw", changes: { [change_id]: version }, kind: this.kind, note: this.note, outlines: [outline] })) this.stopEditing();
    }
    this.show();
  }

  private async undo(): Promise<void> {
    const undoes = this.steps[this.steps.length - 1];
    if (!undoes) {
      this.trouble = t("nothingToUndo");
      return this.show();
    }
    const lines = await this.send({ action: "undo", undoes });
    const back = lines?.find((one) => STANDING.includes(one.properties.status));
    if (back) this.choose(back);
  }

  private stopEditing(): void {
    this.editing = null;
    this.drawing.stop();
  }

  /** The lines that were written; null: it was not decided, and the reader is told why. */
  private async send(step: StepAsked): Promise<ChangeLine[] | null> {
    if (this.isSending) return null;
    const said = JSON.stringify(step);
    const id = this.unanswered?.said === said ? this.unanswered.id : newStepId();
    this.isSending = true;
    try {
      const { features } = await api.decide(id, step);
      [this.unanswered, this.trouble, this.note] = [null, "", ""];
      if (step.action === "undo") this.steps.pop();
      else this.steps.push(id);
      this.put(features);
      return features;
    } catch (error) {
      if (error instanceof ApiError) {
        this.unanswered = null;
        if (error.status === 409 || error.status === 404) await this.read();
        this.trouble = error.message;
      } else {
        this.unanswered = { said, id };
        this.trouble = t("notSaved");
      }
      this.show();
      return null;
    } finally {
      this.isSending = false;
    }
  }

  /** Changes as they stand now, in their places; new ones on top. */
  private put(lines: readonly ChangeLine[]): void {
    for (const line of lines) {
      const at = this.changes.findIndex((one) => one.properties.change_id === line.properties.change_id);
      const stands = STANDING.includes(line.properties.status);
      if (at >= 0) this.changes.splice(at, 1, ...(stands ? [line] : []));
      else if (stands) this.changes.unshift(line);
    }
    this.show();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.documentElement.classList.contains("in-meeting")) return;
    const held = event.target;
    if (held instanceof HTMLElement && held.closest("input, select, textarea")) return;
    if (event.key === "Enter" && held instanceof HTMLButtonElement) return; // which is what is meant
    const action = this.editing ? this.editingKeys()[event.key] : this.listKeys()[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  private editingKeys(): Record<string, (() => void) | undefined> {
    return { Enter: () => void this.save(), Escape: () => this.cancel() };
  }

  private listKeys(): Record<string, (() => void) | undefined> {
    return {
      a: () => void this.decide("accept"),
      r: () => void this.decide("reject"),
      j: () => this.step(1),
      k: () => this.step(-1),
      e: () => this.redraw(),
      n: () => this.draw(),
      u: () => void this.undo(),
    };
  }

  private cancel(): void {
    this.stopEditing();
    this.show();
  }

  /** The list is written anew only where it says something else: who has it in hand is not interrupted. */
  private show(): void {
    this.drawing.attach(this.rooms.maps);
    this.drawing.update(this.changes, this.chosen);
    const { language } = this.house.store.state;
    const isClosed = this.editing !== null && this.drawing.outline() !== null;
    const said = JSON.stringify([language, this.changes, this.matched, this.chosen, this.kind, this.editing, isClosed, this.trouble, this.steps.length]);
    if (said === this.said) return;
    this.said = said;
    this.element.setAttribute("aria-label", t("title"));
    renew(
      this.element,
      el("header", {}, el("h2", {}, t("title")), button("×", () => this.close(), "close", { "aria-label": t("close"), title: t("close") })),
      el("p", { class: "review-count", role: "status" }, this.counted()),
      this.trouble && el("p", { class: "review-trouble", role: "alert" }, this.trouble),
      this.editing ? this.editor(isClosed) : this.actions(),
      this.changes.length > 0 && el("ol", {}, ...this.changes.map((one) => this.row(one))),
      this.matched > this.changes.length && el("p", {}, t("cut", this.changes.length, this.matched)),
      !this.changes.length && el("p", {}, t("none")),
      el("p", { class: "review-note" }, t("noneMeans")),
      el("p", { class: "review-note review-keys" }, t("keys")),
    );
    this.element.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
  }

  private counted(): string {
    const count = (status: string): number => this.changes.filter((one) => one.properties.status === status).length;
    return t("waiting", count("proposed"), count("accepted"), count("rejected"));
  }

  private actions(): HTMLElement {
    const isNone = this.current === null;
    return el(
      "div",
      { class: "review-actions" },
      this.kindChoice(),
      this.noteField(),
      button(t("accept"), () => void this.decide("accept"), "accept", { disabled: isNone }),
      button(t("reject"), () => void this.decide("reject"), "reject", { disabled: isNone }),
      button(t("redraw"), () => this.redraw(), "redraw", { disabled: isNone }),
      button(t("draw"), () => this.draw(), "draw"),
      button(t("undo"), () => void this.undo(), "undo", { disabled: !this.steps.length }),
    );
  }

  private editor(isClosed: boolean): HTMLElement {
    return el(
      "div",
      { class: "review-actions" },
      el("p", {}, t(this.editing === "draw" && !isClosed ? "drawing" : "editing")),
      this.kindChoice(),
      this.noteField(),
      button(t("save"), () => void this.save(), "save", { disabled: !isClosed }),
      button(t("cancel"), () => this.cancel(), "cancel"),
    );
  }

  private kindChoice(): HTMLElement {
    const change = (event: Event): void => {
      const { value } = event.target as HTMLSelectElement;
      this.kind = CHANGE_KINDS.find((one) => one === value) ?? this.kind;
    };
    const options = CHANGE_KINDS.map((kind) => el("option", { value: kind, selected: kind === this.kind }, t(`kind_${kind}`)));
    return el("label", {}, t("kind"), " ", el("select", { change, "data-kept": "kind" }, ...options));
  }

  private noteField(): HTMLElement {
    const input = (event: Event): void => void (this.note = (event.target as HTMLInputElement).value);
    return el("label", {}, t("note"), " ", el("input", { name: "note", maxlength: 1000, value: this.note, input, "data-kept": "note" }));
  }

  private row(change: ChangeLine): HTMLElement {
    const { change_id, kind, status, score, area_m2, commune, note } = change.properties;
    const sure = score === null ? t("byHand") : `${Math.round(score * 100)} %`;
    const size = t("hectares", formatNumber(area_m2 / 10_000, 2));
    const place = commune && this.house.store.state.board?.find((one) => one.code === commune)?.name;
    return el(
      "li",
      {},
      button("", () => this.choose(change), change_id, { class: `review-row ${status}`, "aria-current": change_id === this.chosen ? "true" : undefined, "data-change": change_id },
        el("strong", {}, t(`kind_${kind}`)), ` ${size} · ${sure}`,
        el("small", {}, [t(`status_${status}`), place || commune, note].filter(Boolean).join(" · "))),
    );
  }
}

type Props = NonNullable<Parameters<typeof el>[1]>;

/** `kept`: by which the focus finds it again when the list is written anew. */
function button(text: string, click: () => void, kept: string, props: Props = {}, ...children: (Node | string)[]): HTMLElement {
  return el("button", { type: "button", "data-kept": kept, click, ...props }, text, ...children);
}
