/** What stands before the first byte: a name and an event if somebody wants to say them, two large buttons, and what was begun earlier. */

import type { EventInfo } from "../api";
import { el, replaceChildren } from "../dom";
import { formatTime } from "../time";
import { ACCEPTED_TYPES } from "./cardFiles";
import { formatBytes } from "./byteFormat";
import { renderPreview } from "./previewPanel";
import type { UploadPreview, UploadClient, UploadStatus } from "./client";
import { t, type Word } from "./texts";

const MOST_SHOWN = 20;
const NAMED: Record<UploadStatus["stage"], Word> = {
  receiving: "unfinished",
  keeping: "keeping",
  laying: "saved",
  laid: "onMap",
  failed: "saved",
};

export class FilePicker {
  readonly element = el("div", { class: "choosing" });
  events: EventInfo[] = [];
  private readonly problem = el("p", { class: "warning", role: "alert", hidden: true });
  private readonly earlier = el("section", { class: "earlier" });
  private readonly name = el("input", { id: "flight-name", maxlength: 200, autocomplete: "off" });
  /** One that is there, or the name of a new one: the storm of a server that has seen none yet. */
  private readonly event = el("input", { id: "flight-event", list: "events-here", maxlength: 200, autocomplete: "off" });
  private said = "";
  /** By upload and language what its heads said: a list that is written anew asks for none of it again. */
  private looks: Record<string, HTMLElement> = {};

  constructor(
    private readonly server: UploadClient,
    private readonly chosen: (files: File[], name: string, event: string) => void,
    private readonly show: (standing: UploadStatus) => void,
  ) {}

  draw(): void {
    this.said = "";
    this.problem.hidden = true;
    const open = this.events.find((one) => one.takes_unnamed);
    this.event.placeholder = open ? t("eventElse", open.name) : t(this.events.length ? "eventOrNew" : "eventNew");
    const isTouch = window.matchMedia("(pointer: coarse)").matches;
    const takesFolders = "webkitdirectory" in document.createElement("input") && !isTouch;
    replaceChildren(
      this.element,
      el("label", { for: "flight-name" }, t("name")),
      this.name,
      el("label", { for: "flight-event" }, t("event")),
      this.event,
      el("datalist", { id: "events-here" }, ...this.events.map((one) => el("option", { value: one.name }))),
      takesFolders && this.picker("chooseFolder", "large", { webkitdirectory: true }),
      this.picker("choosePhotos", takesFolders ? "" : "large", { accept: ACCEPTED_TYPES }),
      this.problem,
      el("p", { class: "hint" }, t("intro")),
      this.earlier,
    );
    void this.read();
  }

  say(why: string): void {
    this.problem.textContent = why;
    this.problem.hidden = false;
  }

  async read(): Promise<void> {
    const answer = await this.server.once("/api/uploads").catch(() => null);
    const found = answer ? ((await answer.json()) as UploadStatus[]) : null;
    if (!found) return;
    const said = JSON.stringify([found, document.documentElement.lang]);
    if (said === this.said) return; // a button under a finger stays
    this.said = said;
    const items = found.slice(0, MOST_SHOWN).map((one) => this.item(one));
    replaceChildren(this.earlier, found.length > 0 && el("h2", {}, t("earlier")), el("ul", {}, ...items));
  }

  /** A label is the button: its input is hidden from sight, not from the keyboard. */
  private picker(word: Word, kind: string, props: Record<string, string | boolean>): HTMLElement {
    const input = el("input", { type: "file", multiple: true, class: "picker-input", ...props });
    input.addEventListener("change", () => {
      const files = Array.from(input.files ?? []);
      input.value = "";
      if (files.length) this.chosen(files, this.name.value.trim(), this.eventChosen());
    });
    return el("label", { class: `button picker ${kind}` }, t(word), input);
  }

  /** The id of an event of that name, else the name. */
  private eventChosen(): string {
    const name = this.event.value.trim();
    return this.events.find((one) => one.name === name)?.event_id ?? name;
  }

  private item(one: UploadStatus): HTMLElement {
    const isOpen = one.stage === "receiving" || one.stage === "keeping";
    const isPart = one.saved && one.passed_over > 0;
    return el(
      "li",
      { class: `upload ${one.stage}` },
      el("strong", {}, one.name ?? one.label),
      el("span", { class: "upload-state" }, isPart ? t("savedBut", one.passed_over) : t(NAMED[one.stage])),
      el("span", { class: "hint" }, [formatTime(one.began), ...reached(one)].join(" · ")),
      one.stage === "receiving" && el("span", {}, `${t("goOnHint", formatBytes(one.bytes - one.bytes_received))} ${one.expires ? `${t("expires", formatTime(one.expires))}.` : ""}`),
      isOpen && one.looked && this.look(one),
      one.stage === "failed" && el("span", { class: "warning" }, t("failed")),
      el(
        "div",
        { class: "upload-actions" },
        !isOpen && el("button", { type: "button", click: () => this.show(one) }, t("view")),
        one.stage !== "laying" && el("button", { type: "button", click: () => void this.remove(one) }, t("remove")),
      ),
    );
  }

  /** The first look stays to be seen while a card waits to be gone on with: it was made, and is asked for once. */
  private look({ upload_id: id }: UploadStatus): HTMLElement {
    const kept = `${id} ${document.documentElement.lang}`;
    const place = (this.looks[kept] ??= el("div", { class: "kept-look" }));
    if (!place.hasChildNodes()) void this.readLook(id, place);
    return place;
  }

  private async readLook(id: string, place: HTMLElement): Promise<void> {
    const answer = await this.server.once(`/api/uploads/${id}/look`).catch(() => null);
    if (answer) replaceChildren(place, renderPreview((await answer.json()) as UploadPreview, null));
  }

  private async remove(one: UploadStatus): Promise<void> {
    if (!window.confirm(t("removeAsk", one.name ?? one.label))) return;
    await this.server.once(`/api/uploads/${one.upload_id}`, { method: "DELETE" }).catch(() => null);
    await this.read();
  }
}

/** How far a card is. Whole files alone would say "0" of one that was cut with most of its bytes here. */
function reached(one: UploadStatus): string[] {
  if (one.stored === one.files) return [t("filesCount", one.files), formatBytes(one.bytes)];
  return [t("bytesOf", formatBytes(one.bytes_received), formatBytes(one.bytes)), t("filesStored", one.stored, one.files)];
}
