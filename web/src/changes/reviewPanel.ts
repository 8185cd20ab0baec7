/** What the review's panel prints: what can be done, the list, and of the chosen change all that is known. */

import { el, replaceKeepingFocus } from "../dom";
import { pickLanguage } from "../i18n";
import { formatAreaM2, formatNumber, formatScore } from "../numbers";
import { toSentenceCase } from "../textFolding";
import { formatDate, formatTime } from "../time";
import { CHANGE_KINDS, exportUrl, EXPORTS, formatChangeKind, formatChangeSize, type ChangeKind, type ChangeLine, type ComparedPair, type OverlappingDecision } from "./types";
import { listCommunes, NO_COMMUNE, type Filter, type RoadImpactState } from "./filters";
import { renderImpact, type ImpactAnswer } from "./impact";
import type { RegistrationSummary } from "./registrationWindows";
import { t } from "./texts";

/** What the outline under the reader's hand is for. */
export type EditMode = "redraw" | "draw";

export interface ReviewPanelState {
  eventId: string | null;
  changes: readonly ChangeLine[];
  /** Those that the filter lets through. */
  listed: readonly ChangeLine[];
  /** Pairs of pictures by what they are called. */
  pairs: readonly [string, string][];
  /** By change when its pictures were taken; nothing where all are of one pair. */
  dates: Readonly<Record<string, string>>;
  /** What was decided on the ground of the chosen one while it waits, with the two pictures it is of. */
  beside: readonly (OverlappingDecision & { pictures: string })[];
  comparisons: readonly ComparedPair[];
  filter: Filter;
  isFiltered: boolean;
  roads: RoadImpactState;
  /** Null: they are not shown. */
  windows: RegistrationSummary | null;
  matched: number;
  isRead: boolean;
  chosen: string | null;
  history: readonly ChangeLine[] | null;
  /** What the chosen change touches; undefined: still to come, null: nobody answers. */
  impact: ImpactAnswer | null | undefined;
  /** Null: of what is being drawn nobody has said it. */
  kind: ChangeKind | null;
  /** Corners of the outline in hand: how many there were, how many are left, how far off these are at most. */
  fewer: { from: number; to: number; offM: number } | null;
  editing: EditMode | null;
  /** Whether what is drawn can be saved. */
  isClosed: boolean;
  trouble: string;
  /** Which of the chosen one's pictures this map has not; "": none. */
  missing: string;
  /** Files among them that can be opened from the reader's computer. */
  unopened: readonly string[];
  /** Which of the pictures that are compared is none of the event's, over which nothing is drawn; "": none. */
  strange: string;
  canUndo: boolean;
  /** Counts how often the note was begun anew. */
  notes: number;
  /** Changes beside which a note is written that is not saved. */
  noted: readonly string[];
}

/** What the reader can do, by buttons as by keys. */
export interface ReviewActions {
  close(): void;
  decide(action: "accept" | "reject"): void;
  comment(): void;
  redraw(): void;
  draw(): void;
  undo(): void;
  tell(): void;
  save(): void;
  cancel(): void;
  choose(change: ChangeLine): void;
  setKind(kind: ChangeKind): void;
  setNote(note: string): void;
  filter(filter: Filter): void;
  showWindows(isOn: boolean): void;
  open(name: string, file: File): void;
}

type Part = Node | false;

/** Each part is written anew only where it says something else: news do not take a note out of the writer's hand. */
export class ReviewPanel {
  readonly element = el("aside", { class: "review" });
  private readonly parts = ["head", "work", "filters", "list", "details"].map((name) => el("div", { class: `review-${name}` }));
  private readonly said: string[] = [];
  /** Of which change the details are. */
  private detailed: string | undefined;

  constructor(private readonly acts: ReviewActions) {
    this.element.append(...this.parts);
  }

  render(shown: ReviewPanelState, language: string, note: string): void {
    const { acts } = this;
    const { changes, listed, pairs, dates, comparisons, filter, isFiltered, roads, windows, matched, isRead, chosen, history, impact, trouble, missing, unopened, noted, editing, eventId, ...work } = shown;
    const current = listed.find((one) => one.properties.change_id === chosen);
    const isChosen = changes.some((one) => one.properties.change_id === chosen);
    this.element.setAttribute("aria-label", t("title"));
    const compared = comparisons.find((one) => one.comparison_id === current?.properties.comparison_id);
    this.write(0, [language, counted(changes), trouble, missing, unopened, compared], () => head(shown, compared, acts));
    this.write(1, [language, editing, isChosen, history !== null, work], () => [editing ? editor(shown, editing, note, acts) : actions(shown, isChosen, note, acts)]);
    this.write(2, [language, editing, filter, isFiltered, roads, listCommunes(changes), pairs, listed.length, changes.length], () => (editing || !changes.length ? [] : filters(shown, acts)));
    this.write(3, [language, editing, listed, dates, comparisons, matched, isRead, chosen, noted], () => (editing ? [] : list(shown, acts)));
    this.write(4, [language, editing, current, history, impact ?? String(impact), windows, eventId, changes.some((one) => one.properties.status === "accepted")], () => (editing ? [] : details(shown, current, acts)));
    this.readFromTop(current?.properties.change_id);
  }

  /** What is told of another change is read from its beginning. */
  private readFromTop(changeId: string | undefined): void {
    if (changeId === this.detailed) return;
    this.detailed = changeId;
    this.parts[4]?.scrollTo({ top: 0 });
  }

  private write(n: number, says: unknown, parts: () => Part[]): void {
    const [part, said] = [this.parts[n], JSON.stringify(says)];
    if (!part || said === this.said[n]) return;
    this.said[n] = said;
    replaceKeepingFocus(part, ...parts());
    part.querySelector('[aria-current="true"]')?.parentElement?.scrollIntoView({ block: "nearest" });
  }
}

function head({ changes, trouble, missing, unopened }: ReviewPanelState, compared: ComparedPair | undefined, acts: ReviewActions): Part[] {
  return [
    el(
      "header",
      {},
      el("h2", {}, t("heading")),
      el("p", { class: "review-count", role: "status" }, counted(changes)),
      button("×", acts.close, "close", { "aria-label": t("close"), title: t("close") }),
    ),
    missing !== "" && el("p", { class: "review-missing", role: "status" }, missing, unopened.length > 0 && ` ${t("openMeans")}`),
    ...unopened.map((name) => opener(name, acts)),
    compared !== undefined && comparedSaid(compared),
    trouble !== "" && el("p", { class: "review-trouble", role: "alert" }, trouble),
  ];
}

/** The file is looked at in this browser alone. */
function opener(name: string, acts: ReviewActions): HTMLElement {
  const choose = (): void => {
    const input = el("input", { type: "file", accept: ".tif,.tiff,image/tiff" });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file) acts.open(name, file);
    });
    input.click();
  };
  return el("button", { type: "button", class: "review-open", "data-kept": `open ${name}`, click: choose }, t("openFile", name));
}

/** What is to be known of the two pictures of the chosen one: why all that was found between them is less sure stands open. */
function comparedSaid({ doubts, doubts_vi, warnings, warnings_vi }: ComparedPair): Part {
  const vietnamese = [...doubts_vi, ...warnings_vi];
  const said = [...doubts, ...warnings].map((english, n) => pickLanguage(vietnamese[n] ?? english, english));
  if (!said.length) return false;
  const isDoubted = doubts.length > 0;
  const title = isDoubted ? t("pairDoubted") : t("pairWarned", said.length);
  return el("details", { class: isDoubted ? "review-missing" : "review-note", open: isDoubted }, el("summary", { "data-kept": "compared" }, title), el("ul", {}, ...said.map((one) => el("li", {}, one))));
}

/** Put away while an outline is in hand: one thing is decided at a time. */
function list(shown: ReviewPanelState, acts: ReviewActions): Part[] {
  const { changes, listed, matched, isRead } = shown;
  return [
    listed.length > 0 && el("ol", {}, ...listed.map((one) => row(one, shown, acts))),
    matched > changes.length && el("p", {}, t("cut_off", changes.length, matched)),
    !changes.length && el("p", {}, t(isRead ? "none" : "reading")),
    changes.length > 0 && !listed.length && el("p", { role: "status" }, t("noneListed")),
  ];
}

/** Of the chosen one all that is known, below the list and not in it: the next ones stay in sight. First whom it
 * touches: that is what is in sight without scrolling. */
function details(shown: ReviewPanelState, current: ChangeLine | undefined, acts: ReviewActions): Part[] {
  return [
    ...(current ? besideSaid(shown, acts) : []),
    current?.properties.no_score === "no_terrain" && el("p", { class: "review-note" }, t("noScoreMeans")),
    current?.properties.no_score === "kind_changed" && el("p", { class: "review-note" }, t("kindChangedMeans")),
    current?.properties.not_found_again === true && el("p", { class: "review-note" }, t("notFoundAgainMeans")),
    current?.properties.not_compared_pct != null && el("p", { class: "review-missing" }, t("notCompared", formatNumber(current.properties.not_compared_pct, 0))),
    ...(current ? renderImpact(shown.impact, Date.now()) : []),
    current !== undefined && el("p", { class: "review-note" }, measures(current)),
    current !== undefined && shown.history !== null && el("ul", { class: "review-history" }, ...shown.history.map(told)),
    ...(current ? windowsSaid(shown, acts) : []),
    exports(shown),
    el("p", { class: "review-note" }, t("noneMeans")),
    el("p", { class: "review-note" }, t("keys")),
  ];
}

/** Each leads to the change that was decided on, so that nobody decides twice without knowing. */
function besideSaid({ beside, changes }: ReviewPanelState, acts: ReviewActions): HTMLElement[] {
  return beside.map((one) => {
    const there = changes.find((change) => change.properties.change_id === one.change_id);
    const said = t(`beside_${one.status}_said`, toSentenceCase(formatChangeKind(one.kind)), one.decided_by || t("somebody"), formatTime(one.decided), one.pictures);
    return el("p", { class: "review-note" }, `${said} `, there !== undefined && button(t("besideShow"), () => acts.choose(there), `beside-${one.change_id}`));
  });
}

function windowsSaid({ windows }: ReviewPanelState, acts: ReviewActions): HTMLElement[] {
  const change = (event: Event): void => acts.showWindows((event.target as HTMLInputElement).checked);
  const box = el("input", { type: "checkbox", checked: windows !== null, "data-kept": "windows", change });
  const said = windows === null ? "" : windows === "reading" ? t("reading") : windows === "failed" ? t("windowsFailed") : windows.agreed + windows.disagreed ? t("windowsTold", windows.agreed, windows.disagreed) : t("windowsNone");
  return [el("label", { class: "review-windows" }, box, t("windows")), ...(said ? [el("p", { class: "review-note", role: "status" }, said)] : [])];
}

function filters(shown: ReviewPanelState, acts: ReviewActions): Part[] {
  const { changes, listed, pairs, filter, isFiltered, roads } = shown;
  const chooser = (name: "status" | "kind" | "commune" | "pair", all: string, options: [string, string][]): HTMLElement => {
    const change = (event: Event): void => acts.filter({ ...filter, [name]: (event.target as HTMLSelectElement).value });
    const entries = [["", all] as [string, string], ...options].map(([value, text]) => el("option", { value, selected: value === filter[name] }, text));
    return el("select", { change, "aria-label": `${t("filter")}: ${all}`, "data-kept": `filter-${name}` }, ...entries);
  };
  const cuts = el("input", { type: "checkbox", checked: filter.cutsRoad, "data-kept": "filter-road", change: (event: Event) => acts.filter({ ...filter, cutsRoad: (event.target as HTMLInputElement).checked }) });
  const trouble = typeof roads === "object" ? t("roadsInPart", roads.uncovered) : { reading: t("roadsReading"), failed: t("roadsFailed"), no_layer: t("roadsNoLayer"), known: "" }[roads];
  return [
    chooser("status", t("anyStatus"), (["proposed", "accepted", "rejected"] as const).map((one) => [one, t(`status_${one}`)])),
    chooser("kind", t("anyKind"), CHANGE_KINDS.map((kind) => [kind, formatChangeKind(kind)])),
    chooser("commune", t("anyCommune"), listCommunes(changes).map(([code, name]) => [code, code === NO_COMMUNE ? t("noCommune") : name])),
    el("label", {}, cuts, t("cutsRoad")),
    (pairs.length > 1 || filter.pair !== "") && chooser("pair", t("anyPair"), [...pairs]),
    isFiltered && el("small", { role: "status" }, t("listed", listed.length, changes.length)),
    filter.cutsRoad && trouble !== "" && el("small", { role: "status" }, trouble),
  ];
}

function counted(changes: readonly ChangeLine[]): string {
  const count = (status: string): number => changes.filter((one) => one.properties.status === status).length;
  return t("waiting", count("proposed"), count("accepted"), count("rejected"));
}

function actions(shown: ReviewPanelState, isChosen: boolean, note: string, acts: ReviewActions): HTMLElement {
  const disabled = !isChosen;
  return el(
    "div",
    { class: "review-actions" },
    kindChoice(shown.kind, acts),
    noteField(note, acts),
    keyed("A", t("accept"), () => acts.decide("accept"), "accept", { disabled }),
    keyed("R", t("reject"), () => acts.decide("reject"), "reject", { disabled }),
    keyed("U", t("undo"), acts.undo, "undo", { disabled: !shown.canUndo }),
    keyed("C", t("comment"), acts.comment, "comment", { disabled, class: "review-tool" }),
    isChosen && keyed("E", t("redraw"), acts.redraw, "redraw", { class: "review-tool" }),
    keyed("N", t("draw"), acts.draw, "draw", { class: "review-tool", disabled: shown.strange !== "" }),
    keyed("H", t("history"), acts.tell, "history", { class: "review-tool", disabled, "aria-pressed": String(shown.history !== null) }),
    shown.strange !== "" && strangeSaid(shown),
  );
}

function strangeSaid({ strange }: ReviewPanelState): HTMLElement {
  return el("p", { class: "review-note", role: "status" }, t("drawnElsewhere", strange));
}

function editor(shown: ReviewPanelState, editing: EditMode, note: string, acts: ReviewActions): HTMLElement {
  const hint = editing === "draw" && !shown.isClosed ? "drawing" : "editing";
  const { kind, fewer, isClosed } = shown;
  const isDrawn = editing === "draw";
  const isStrange = isDrawn && shown.strange !== "";
  return el(
    "div",
    { class: "review-actions" },
    el("p", {}, t(hint)),
    fewer !== null && fewer.to < fewer.from && el("p", { class: "review-note" }, t("fewerCorners", fewer.from, fewer.to, formatNumber(fewer.offM, 1))),
    isDrawn && el("p", { class: "review-note" }, t("drawnIsAccepted")),
    ...(isDrawn ? kindButtons(kind, acts) : [kindChoice(kind, acts)]),
    noteField(note, acts),
    isStrange && strangeSaid(shown),
    keyed("Enter", t(isDrawn ? "saveAccepted" : "save"), acts.save, "save", { disabled: !isClosed || kind === null || isStrange }),
    keyed("Esc", t("cancel"), acts.cancel, "cancel"),
  );
}

/** What it is that is drawn: asked each time, by a tap or a key. */
function kindButtons(chosen: ChangeKind | null, acts: ReviewActions): HTMLElement[] {
  return CHANGE_KINDS.map((kind, n) => keyed(String(n + 1), formatChangeKind(kind), () => acts.setKind(kind), `kind-${kind}`, { class: "review-kind", "aria-pressed": String(kind === chosen) }));
}

function kindChoice(chosen: ChangeKind | null, acts: ReviewActions): HTMLElement {
  const change = (event: Event): void => {
    const { value } = event.target as HTMLSelectElement;
    const kind = CHANGE_KINDS.find((one) => one === value) ?? chosen;
    if (kind) acts.setKind(kind);
  };
  const options = CHANGE_KINDS.map((kind) => el("option", { value: kind, selected: kind === chosen }, formatChangeKind(kind)));
  return el("select", { change, "aria-label": t("kind"), title: t("kind"), "data-kept": "kind" }, ...options);
}

function noteField(note: string, acts: ReviewActions): HTMLElement {
  const input = (event: Event): void => acts.setNote((event.target as HTMLInputElement).value);
  return el("label", {}, el("input", { name: "note", "aria-label": t("note"), placeholder: t("note"), maxlength: 1000, autocomplete: "off", value: note, input, "data-kept": "note" }));
}

function row(change: ChangeLine, shown: ReviewPanelState, acts: ReviewActions): HTMLElement {
  const { change_id, kind, status, score, no_score, commune, commune_name, note, not_found_again } = change.properties;
  const isChosen = change_id === shown.chosen;
  const sure = score !== null ? t("score", formatScore(score)) : t(no_score === "drawn" ? "byHand" : "noScore");
  const [decided] = status === "proposed" ? change.properties.decided_beside : [];
  const beside = decided && t(`beside_${decided.status}`, formatDate(Date.parse(decided.decided)));
  const place = commune_name || commune || t("noCommune");
  const doubted = shown.comparisons.some((one) => one.comparison_id === change.properties.comparison_id && one.doubts.length) && t("doubted");
  return el(
    "li",
    {},
    el(
      "div",
      { class: `review-row ${status}`, "aria-current": isChosen ? "true" : undefined, "data-change": change_id },
      button("", () => acts.choose(change), change_id, {},
        el("span", {}, el("strong", {}, formatChangeKind(kind)), ` ${formatChangeSize(change.properties)}`),
        el("small", {}, [sure, t(`status_${status}`), doubted, beside, not_found_again && t("notFoundAgain"), shown.dates[change_id], place, note, shown.noted.includes(change_id) && t("notSavedNote")].filter(Boolean).join(" · "))),
    ),
  );
}

/** Score, length, slope, and how surely the two pictures lie on each other there. */
function measures({ properties }: ChangeLine): string {
  const { score, length_m, slope_deg, error_m, rmse_m, tie_m } = properties;
  const parts = [t("long", formatNumber(length_m, 0))];
  if (score !== null) parts.unshift(t("scoreIs", formatScore(score)));
  if (slope_deg !== null) parts.push(t("steep", formatNumber(slope_deg, 0)));
  if (error_m !== null) parts.push(t("placed", formatNumber(error_m, 1)));
  if (rmse_m !== null) parts.push(t("laid", formatNumber(rmse_m, 2)));
  if (tie_m !== null) parts.push(t("tied", formatNumber(tie_m, 0)));
  return parts.join(" · ");
}

/** One line of a change's history: who, when, what. */
function told({ properties }: ChangeLine): HTMLElement {
  const { action, author, time, status, kind, area_m2, area_at_least, note } = properties;
  const stands = [formatChangeKind(kind), formatAreaM2(area_m2, null, area_at_least), t(`status_${status}`)].join(", ");
  return el("li", {}, el("strong", {}, t(`action_${action}`)), ` ${author} · ${formatTime(time)}`, el("small", {}, note ? `${stands} · ${note}` : stands));
}

function exports({ eventId, changes }: ReviewPanelState): Part {
  if (!eventId || !changes.some((one) => one.properties.status === "accepted")) return false;
  const links = EXPORTS.map(([form, name]) => el("a", { href: exportUrl(eventId, form), download: `changes.${form}`, "data-kept": form }, name));
  return el("p", { class: "review-exports" }, el("span", {}, t("exports")), ...links);
}

/** A button that says which key does the same. */
function keyed(key: string, text: string, click: () => void, kept: string, props: Props = {}): HTMLElement {
  return button(`${text} `, click, kept, { "aria-keyshortcuts": key, ...props }, el("kbd", {}, key));
}

type Props = NonNullable<Parameters<typeof el>[1]>;

/** `kept`: by which the focus finds it again when the list is written anew. */
function button(text: string, click: () => void, kept: string, props: Props = {}, ...children: (Node | string)[]): HTMLElement {
  return el("button", { type: "button", "data-kept": kept, click, ...props }, text, ...children);
}
