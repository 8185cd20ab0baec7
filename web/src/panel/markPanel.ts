/** Field marks in the list, on their card, and in the form that makes and changes them. */

import { api, ApiError, markPhotoUrl, type LonLat } from "../api";
import { el, isTypingKey, replaceChildren, setText } from "../dom";
import { t } from "../i18n";
import type { MarkLayer } from "../map/markLayer";
import { markSvg } from "../map/markSymbols";
import {
  compareUrgency,
  formatMarkKind,
  canWrite,
  markCentre,
  newMarkId,
  markVertices,
  listMarkKinds,
  MARK_STATUSES,
  formatMarkStatus,
  type MarkRequest,
  type MarkKind,
  type MarkLine,
  type MarkStatus,
} from "../marks";
import { formatLonLat, formatVn2000 } from "../numbers";
import { reducePhoto } from "../photoReduction";
import type { State, Store } from "../state";
import { formatAge, formatTime } from "../time";
import type { PhotoCard } from "./photoCard";

const LEAST_CORNERS = 3;
/** As long as the map waits whether a tap becomes a double one, on a slow machine. */
const TAP_MS = 700;

/** What the next tap on the map is for. */
type Placing = "point" | "sector" | null;

export class MarkPanel {
  /** In the list: what is marked, the newest first. */
  readonly element = el("section", { class: "layers marks", hidden: true });
  /** On the map: begin a mark, and what to do next. */
  readonly tool = el("div", { class: "mark-tool", hidden: true });
  private placing: Placing = null;
  private readonly done = button("", () => this.endSector());
  private readonly onKey = (event: KeyboardEvent): void => this.key(event);
  private quietUntilMs = 0;
  private history: MarkLine[] = [];
  private said = "";

  constructor(
    private readonly store: Store,
    private readonly layer: MarkLayer,
    private readonly card: PhotoCard,
    private readonly goTo: (place: LonLat) => void,
    private readonly keepInSight: (places: readonly LonLat[]) => void,
    private readonly readAgain: () => Promise<void>,
  ) {}

  render(state: State): void {
    this.layer.update(state);
    this.element.hidden = state.marks.length === 0;
    replaceChildren(this.element, el("h2", {}, t("marks")), el("ul", {}, ...[...state.marks].sort(compareUrgency).map((mark) => this.row(mark, state.nowMs))));
    const said = JSON.stringify([state.language, state.eventId, state.session]);
    if (said === this.said) return;
    this.said = said;
    this.tool.hidden = !canWrite(state.session) || !state.eventId;
    this.place(null);
  }

  /** On a wall screen nothing is begun. */
  inMeeting(isOn: boolean): void {
    if (isOn) this.place(null);
  }

  /** Ages move with the clock. */
  tick(state: State): void {
    for (const mark of state.marks) {
      const row = this.element.querySelector(`[data-mark="${CSS.escape(mark.properties.mark_id)}"] small`);
      if (row) setText(row, saidOf(mark, state.nowMs));
    }
  }

  /** What a tap on the map was for, if it was for a mark; the form of a point is open by then. */
  takes(place: LonLat): Placing {
    // a corner is heard by the outline itself, and the last one comes here after "Done"
    if (this.placing === "sector" || performance.now() < this.quietUntilMs) return "sector";
    if (this.placing !== "point") return null;
    this.place(null);
    this.edit(null, [place]);
    return "point";
  }

  /** Another card took the place of the form. */
  formGone(): void {
    this.layer.letGo();
  }

  /** The mark under the pointer. */
  at(pixel: number[]): string | null {
    return this.layer.at(pixel);
  }

  /** Opens the card of a mark; what it says follows the mark as others change it. */
  show(markId: string): void {
    this.history = [];
    this.layer.letGo();
    this.card.tell(() => {
      const mark = this.store.state.marks.find((one) => one.properties.mark_id === markId);
      if (!mark) return [t("markGone"), [el("p", {}, t("markGoneText"))]];
      const known = this.history[this.history.length - 1]?.properties;
      if (known?.mark_id !== markId || known.version !== mark.properties.version) void this.readHistory(mark);
      return [formatMarkKind(mark.properties.kind), this.facts(mark)];
    }, () => {
      const mark = this.store.state.marks.find((one) => one.properties.mark_id === markId);
      return mark ? ageOfMark(mark.properties.time, this.store.state.nowMs) : "";
    });
  }

  private row(mark: MarkLine, nowMs: number): HTMLElement {
    const { mark_id, kind, status, note } = mark.properties;
    const open = (): void => {
      this.goTo(markCentre(mark));
      this.show(mark_id);
    };
    return el(
      "li",
      {},
      el(
        "button",
        { type: "button", class: "mark-row", click: open, "data-mark": mark_id },
        sign(kind, status),
        el("span", {}, el("strong", {}, formatMarkKind(kind)), note && ` – ${note.split("\n")[0] ?? ""}`, el("small", {}, saidOf(mark, nowMs))),
      ),
    );
  }

  private facts(mark: MarkLine): HTMLElement[] {
    const { mark_id, version, status, note, author, time, photo } = mark.properties;
    const [lon, lat] = markCentre(mark);
    const lines = this.history.filter((one) => one.properties.mark_id === mark_id);
    const national = lines[lines.length - 1]?.properties.vn2000;
    const where = formatLonLat(lon, lat, "\n") + (national ? `\n${formatVn2000({ ...national, province: null }).replace(/ {2}/g, "\n")}` : "");
    const facts: [string, string][] = [
      [t("status"), formatMarkStatus(status)],
      ...(note ? [[t("markNote"), note] as [string, string]] : []),
      [t("markAuthor"), author],
      [t("markTime"), `${formatTime(time)}\n${ageOfMark(time, this.store.state.nowMs)}`],
      [t("markPlace"), where],
    ];
    const src = markPhotoUrl(mark_id, version);
    const picture = photo !== null && el("a", { href: src, target: "_blank", rel: "noopener" }, el("img", { src, alt: t("markPhotoAlt") }));
    const change = canWrite(this.store.state.session) && button(t("markEdit"), () => this.edit(mark, markVertices(mark)));
    const before = lines.length > 1 && el("details", {}, el("summary", {}, t("markHistory", lines.length)), el("ul", {}, ...lines.map(lineSaid).reverse()));
    const nodes: (HTMLElement | false)[] = [picture, el("dl", {}, ...facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])), before, change];
    return nodes.filter((node): node is HTMLElement => node !== false);
  }

  private async readHistory(mark: MarkLine): Promise<void> {
    const { mark_id, version } = mark.properties;
    this.history = [mark]; // asked for once, whatever comes
    const lines = await api.markHistory(mark_id).catch(() => null);
    const last = this.history[this.history.length - 1]?.properties;
    if (!lines || last?.mark_id !== mark_id || last.version !== version) return;
    this.history = lines.features;
    this.card.render(this.store.state.nowMs);
  }

  /** Begins or ends the putting of a mark, and says on the map what to do. */
  private place(placing: Placing): void {
    this.placing = placing;
    this.layer.stopDrawing();
    const { done } = this;
    setText(done, t("markSectorDone"));
    done.disabled = true;
    if (placing === "sector") this.layer.drawSector((count) => (done.disabled = count < LEAST_CORNERS));
    if (placing) {
      this.card.close();
      window.addEventListener("keydown", this.onKey, true);
    } else window.removeEventListener("keydown", this.onKey, true);
    const cancel = button(t("cancel"), () => this.place(null));
    if (placing === "point") replaceChildren(this.tool, el("p", {}, t("markTapPoint")), button(t("markDrawSector"), () => this.place("sector")), cancel);
    else if (placing === "sector") replaceChildren(this.tool, el("p", {}, t("markTapSector"), el("small", { class: "by-keys" }, t("markSectorKeys"))), done, cancel);
    else replaceChildren(this.tool, this.beginButton());
    this.tool.classList.toggle("placing", placing !== null);
  }

  /** The outline is whole: the form for it opens. */
  private endSector(): void {
    const corners = this.layer.stopDrawing();
    this.quietUntilMs = performance.now() + TAP_MS;
    this.place(null);
    this.edit(null, corners);
  }

  /** Enter ends an outline; Escape and Backspace take a corner back, and Escape ends the putting of a mark where there is none. */
  private key(event: KeyboardEvent): void {
    if (isTypingKey(event) || (event.key === "Enter" && event.target instanceof HTMLButtonElement)) return;
    if (event.target instanceof HTMLElement && event.target.closest("dialog, .room-over")) return;
    const isSector = this.placing === "sector";
    const actions: Record<string, (() => unknown) | undefined> = {
      Enter: isSector ? () => !this.done.disabled && this.endSector() : undefined,
      Backspace: isSector ? () => this.layer.takeBack() : undefined,
      Escape: () => this.layer.takeBack() || this.place(null),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  private beginButton(): HTMLElement {
    const begin = button(t("markNew"), () => this.place("point"));
    begin.classList.add("mark-begin");
    begin.title = t("markNew");
    return begin;
  }

  /** The form of a new mark, or of a change to one. */
  private edit(mark: MarkLine | null, places: LonLat[]): void {
    const before = mark?.properties;
    const isSector = places.length > 1;
    const kinds = listMarkKinds(isSector, before?.kind);
    const kind = choice("kind", kinds, before?.kind ?? kinds[0] ?? "other", formatMarkKind);
    const statuses = before ? MARK_STATUSES : MARK_STATUSES.filter((one) => one !== "removed");
    const status = choice("status", statuses, before?.status ?? "open", formatMarkStatus);
    const note = el("textarea", { name: "note", rows: 3, maxlength: 1000 }, before?.note ?? "");
    const photo = el("input", { type: "file", name: "photo", accept: "image/*" });
    const trouble = el("p", { class: "warning", role: "alert", hidden: true });
    const save = el("button", { type: "submit", class: "save" }, t("markSave"));
    const id = before?.mark_id ?? newMarkId();
    let version = before?.version ?? 0;
    let written: string | null = null;
    let sent: File | null = null;
    /** What was sent and not answered: it may have been written or not, and the same again is written once. */
    let unanswered: (() => Promise<void>) | null = null;

    const put = async (request: () => Promise<MarkLine>, onWritten: () => void): Promise<void> => {
      unanswered = async () => {
        const line = await request().catch((error: unknown) => {
          if (error instanceof ApiError) unanswered = null;
          throw error;
        });
        unanswered = null;
        version = line.properties.version;
        onWritten();
      };
      await unanswered();
    };
    const send = async (): Promise<void> => {
      await unanswered?.(); // before any change: else nobody could tell which of the two was written
      const asked: MarkRequest = {
        based_on: version,
        event_id: before?.event_id ?? this.store.state.eventId ?? "",
        kind: kind.value as MarkKind,
        status: status.value as MarkStatus,
        note: note.value,
        places,
      };
      const wanted = JSON.stringify({ ...asked, based_on: 0 });
      if (written !== wanted) {
        // a photo that fails is sent again without another line
        await put(() => api.putMark(id, asked), () => (written = wanted));
      }
      const file = photo.files?.[0];
      if (file && file !== sent) {
        const [small, basedOn] = [await reducePhoto(file), version];
        await put(() => api.putMarkPhoto(id, basedOn, small), () => (sent = file));
      }
      await this.readAgain();
      this.card.close(); // and with it the dot where the mark is now
      this.show(id);
    };
    const submit = (event: Event): void => {
      event.preventDefault();
      save.disabled = true;
      trouble.hidden = true;
      send()
        .catch((error: unknown) => {
          trouble.hidden = false;
          trouble.textContent = error instanceof ApiError ? error.message : t("markNotSaved");
        })
        .finally(() => (save.disabled = false));
    };
    const leave = (): void => (before ? this.show(before.mark_id) : this.card.close());
    const form = el(
      "form",
      { class: "mark-form", submit },
      el("p", { class: "mark-where" }, isSector ? t("markCorners", places.length) : formatLonLat(...(places[0] ?? [0, 0]))),
      labelled(t("markKind"), kind),
      labelled(t("status"), status),
      labelled(t("markNote"), note),
      labelled(t("markPhoto"), photo),
      trouble,
      el("div", { class: "mark-buttons" }, save, button(t("cancel"), leave)),
    );
    // the same nodes every time: what is being typed is not written anew under the writer's hand
    this.card.tell(() => [before ? t("markEditTitle") : isSector ? t("mark_sector") : t("markNew"), [form]]);
    if (!isSector) return;
    this.layer.holdSector(places);
    this.keepInSight(places);
  }
}

/** Under a mark in the list. */
function saidOf({ properties: { status, author, time } }: MarkLine, nowMs: number): string {
  return [formatMarkStatus(status), author, ageOfMark(time, nowMs)].join(" · ");
}

/** The page looks at its clock now and then only, and the server's may go a little before it. */
function ageOfMark(time: string, nowMs: number): string {
  return formatAge(time, Math.max(nowMs, new Date(time).getTime()));
}

function lineSaid({ properties: one }: MarkLine): HTMLElement {
  const note = one.note ? ` – ${one.note}` : "";
  return el("li", {}, `${formatTime(one.time)} · ${one.author}: ${formatMarkKind(one.kind)}, ${formatMarkStatus(one.status)}${note}`);
}

function choice<T extends string>(name: string, values: readonly T[], chosen: T, said: (value: T) => string): HTMLSelectElement {
  return el("select", { name }, ...values.map((value) => el("option", { value, selected: value === chosen }, said(value))));
}

function labelled(text: string, field: HTMLElement): HTMLElement {
  return el("label", {}, el("span", {}, text), field);
}

function button(text: string, click: () => void): HTMLButtonElement {
  return el("button", { type: "button", click }, text);
}

/** Markup of our own making only: nothing that anybody wrote comes here. */
function sign(kind: MarkKind, status: MarkStatus): HTMLElement {
  const holder = el("span", { class: "sign-plain mark-sign", "aria-hidden": "true" });
  holder.innerHTML = markSvg(kind, status);
  return holder;
}
