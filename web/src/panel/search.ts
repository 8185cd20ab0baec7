/** Find a commune, a village or another thing of a layer by typing; accents are not needed. The server knows the spelling rules. */

import { api, ApiError, type FeatureCollection } from "../api";
import { debounce, el, replaceChildren } from "../dom";
import { t, translateOr } from "../i18n";

/** Communes, and things of layers, in one answer. */
const MOST = 6;
const MOST_THINGS = 6;

type Hit = FeatureCollection["features"][number];

export class CommuneSearch {
  readonly element = el("div", { class: "search", role: "search" });
  private readonly input = el("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  private readonly list = el("ul", { class: "search-hits", role: "listbox", hidden: true });
  private readonly pen = document.createElement("canvas").getContext("2d");
  private hits: Hit[] = [];
  private asked = "";
  private unanswered = false;

  constructor(
    private readonly day: () => string | null,
    private readonly isDrill: () => boolean | null,
    private readonly areThingsTold: () => boolean,
    private readonly choose: (hit: Hit) => void,
    private readonly chooseThing: (hit: Hit) => void,
  ) {
    const find = debounce(() => void this.find(), 180);
    this.input.addEventListener("input", () => {
      this.hits = []; // what was found for other letters must not be taken for these,
      this.asked = ""; // nor what is still being looked for
      find();
    });
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.input.addEventListener("blur", () => window.setTimeout(() => (this.list.hidden = true), 150));
    this.element.append(this.input, this.list);
    new ResizeObserver(() => this.fitHint()).observe(this.input);
    this.relabel();
  }

  relabel(): void {
    this.input.setAttribute("aria-label", t("search"));
    this.fitHint();
  }

  /** The longest of the hints that the field has the room for: one that is cut says less than a short one. */
  private fitHint(): void {
    const { paddingLeft, paddingRight, font, fontSize } = getComputedStyle(this.input);
    const toEmptyIt = parseFloat(fontSize); // the browser's cross has its room while the field is empty too
    const room = this.input.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight) - toEmptyIt;
    if (this.pen) this.pen.font = font;
    const width = (text: string): number => this.pen?.measureText(text).width ?? 0;
    const hints = [t("search"), t("searchShort"), t("searchShortest")];
    const hint = hints.find((one) => width(one) < room) ?? t("searchShortest");
    if (this.input.placeholder !== hint) this.input.placeholder = hint;
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "Enter") void this.takeFirst();
    if (event.key === "Escape") this.list.hidden = true;
  }

  /** The first hit; who presses Enter before there are any does not have to press it again. */
  private async takeFirst(): Promise<void> {
    if (!this.hits.length) await this.find();
    const first = this.hits[0];
    if (first) this.take(first);
  }

  private async find(): Promise<void> {
    const text = this.input.value.trim();
    this.asked = text;
    if (text.length < 2) {
      this.list.hidden = true;
      this.hits = [];
      return;
    }
    // guests are shown no layers, and a name that is in none is none
    const nothing = { features: [] as Hit[] };
    const things = !this.areThingsTold() ? nothing : api.things(text).catch((error: unknown) => (error instanceof ApiError ? nothing : null));
    const communes = await api.searchCommunes(text, this.day(), this.isDrill()).catch(() => null);
    const named = await things;
    const found = communes && named && [...communes.features.slice(0, MOST), ...named.features].slice(0, MOST + MOST_THINGS);
    if (this.asked !== text) return;
    this.unanswered = !found;
    if (!found) {
      this.say(t("searchUnknown"));
      return;
    }
    this.hits = found;
    const items = this.hits.map((hit) =>
      el(
        "li",
        { role: "option" },
        el(
          "button",
          { type: "button", mousedown: (e) => e.preventDefault(), click: () => this.take(hit) },
          String(hit.properties["name"]),
          el("small", {}, beside(hit)),
        ),
      ),
    );
    if (!items.length) this.say(t("searchNone"));
    else replaceChildren(this.list, ...items);
    this.list.hidden = false;
  }

  private say(sentence: string): void {
    replaceChildren(this.list, el("li", { class: "none" }, sentence));
    this.list.hidden = false;
  }

  /** The server is back: what it did not answer is asked again while the reader still waits for it. */
  askAgain(): void {
    if (this.unanswered && !this.list.hidden) void this.find();
  }

  private take(hit: Hit): void {
    this.input.value = String(hit.properties["name"]);
    this.list.hidden = true;
    this.input.blur();
    if (isThing(hit)) this.chooseThing(hit);
    else this.choose(hit);
  }
}

function isThing(hit: Hit): boolean {
  return "layer_id" in hit.properties;
}

/** What tells places of one name apart: a commune's code, the layer a thing is of. */
function beside({ properties }: Hit): string {
  if (!("layer_id" in properties)) return String(properties["code"]);
  return [translateOr(`kind_${String(properties["kind"])}`, ""), properties["layer"]].filter(Boolean).join(" · ");
}
