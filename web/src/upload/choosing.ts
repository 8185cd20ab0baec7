/** What stands before the first byte: two large buttons, a name if somebody wants one, and what was begun earlier. */

import type { EventInfo } from "../api";
import { el, replace } from "../dom";
import { formatTime } from "../time";
import { ACCEPTED } from "./card";
import { size } from "./size";
import type { Server, Standing } from "./server";
import { t, type Word } from "./words";

const MOST_SHOWN = 20;
const NAMED: Record<Standing["stage"], Word> = {
  receiving: "unfinished",
  keeping: "keeping",
  laying: "saved",
  laid: "onMap",
  failed: "saved",
};

export class Choosing {
  readonly element = el("div", { class: "choosing" });
  events: EventInfo[] = [];
  private readonly problem = el("p", { class: "warning", role: "alert", hidden: true });
  private readonly earlier = el("section", { class: "earlier" });
  private readonly name = el("input", { id: "flight-name", maxlength: 200, autocomplete: "off" });
  private event = el("select", { id: "flight-event" });
  private said = "";

  constructor(
    private readonly server: Server,
    private readonly chosen: (files: File[], name: string, event: string) => void,
    private readonly show: (standing: Standing) => void,
  ) {}

  draw(): void {
    this.said = "";
    this.problem.hidden = true;
    this.event = el("select", { id: "flight-event" }, el("option", { value: "" }, t("eventDefault")));
    for (const one of this.events) this.event.append(el("option", { value: one.event_id }, one.name));
    const isTouch = window.matchMedia("(pointer: coarse)").matches;
    const takesFolders = "webkitdirectory" in document.createElement("input") && !isTouch;
    replace(
      this.element,
      takesFolders && this.picker("chooseFolder", "large", { webkitdirectory: true }),
      this.picker("choosePhotos", takesFolders ? "" : "large", { accept: ACCEPTED }),
      this.problem,
      el("p", { class: "hint" }, t("intro")),
      el("label", { for: "flight-name" }, t("name")),
      this.name,
      this.events.length > 0 && el("label", { for: "flight-event" }, t("event")),
      this.events.length > 0 && this.event,
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
    const found = answer ? ((await answer.json()) as Standing[]) : null;
    if (!found) return;
    const said = JSON.stringify([found, document.documentElement.lang]);
    if (said === this.said) return; // a button under a finger stays
    this.said = said;
    const items = found.slice(0, MOST_SHOWN).map((one) => this.item(one));
    replace(this.earlier, found.length > 0 && el("h2", {}, t("earlier")), el("ul", {}, ...items));
  }

  /** A label is the button: its input is hidden from sight, not from the keyboard. */
  private picker(word: Word, kind: string, props: Record<string, string | boolean>): HTMLElement {
    const input = el("input", { type: "file", multiple: true, class: "picker-input", ...props });
    input.addEventListener("change", () => {
      const files = Array.from(input.files ?? []);
      input.value = "";
      if (files.length) this.chosen(files, this.name.value.trim(), this.event.value);
    });
    return el("label", { class: `button picker ${kind}` }, t(word), input);
  }

  private item(one: Standing): HTMLElement {
    const isOpen = one.stage === "receiving" || one.stage === "keeping";
    return el(
      "li",
      { class: `upload ${one.stage}` },
      el("strong", {}, one.name ?? one.label),
      el("span", { class: "upload-state" }, t(NAMED[one.stage])),
      el("span", { class: "hint" }, `${formatTime(one.began)} · ${t("filesOf", one.stored, one.files)} · ${size(one.bytes)}`),
      one.stage === "receiving" && el("span", {}, `${t("goOnHint", size(one.bytes - one.bytes_received))} ${one.expires ? `${t("expires", formatTime(one.expires))}.` : ""}`),
      one.stage === "failed" && el("span", { class: "warning" }, t("failed")),
      el(
        "div",
        { class: "upload-actions" },
        !isOpen && el("button", { type: "button", click: () => this.show(one) }, t("view")),
        one.stage !== "laying" && el("button", { type: "button", click: () => void this.remove(one) }, t("remove")),
      ),
    );
  }

  private async remove(one: Standing): Promise<void> {
    if (!window.confirm(t("removeAsk", one.name ?? one.label))) return;
    await this.server.once(`/api/uploads/${one.upload_id}`, { method: "DELETE" }).catch(() => null);
    await this.read();
  }
}
