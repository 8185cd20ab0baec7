/** The board: every commune with the age of its newest picture, the share imaged, open marks, who flies over it. */

import type { CommuneRow, PendingChanges } from "../api";
import { el, replaceKeepingFocus, replaceChildren, setText } from "../dom";
import { language, t } from "../i18n";
import { formatMarkKind, type MarkKind } from "../marks";
import { formatPercent, formatWaitingArea } from "../numbers";
import { foldAccents } from "../textFolding";
import type { State, Store } from "../state";
import { formatAge, formatTime } from "../time";
import { formatLoss } from "./liveFlights";

/** A cell that has nothing to say says that: an empty one looks as if it were not read yet. */
const NOTHING = "—";

type Column = "name" | "newest" | "imaged" | "marks" | "changes" | "link";

interface Shown {
  element: HTMLElement;
  /** What it prints, besides what moves with the clock. */
  said: string;
  age: HTMLElement;
  link: HTMLElement;
}

export class CommuneBoard {
  readonly element = el("section", { class: "board" });
  private readonly filter = el("input", { type: "search", autocomplete: "off", spellcheck: "false", input: () => this.fill() });
  private readonly sum = el("p", { class: "board-sum", role: "status" });
  private readonly past = el("p", { class: "board-past", hidden: true });
  private readonly head = el("tr");
  private readonly body = el("tbody");
  private sortedBy: Column = "newest";
  private isReversed = false;
  private drawn: readonly unknown[] = [];
  private shown = new Map<string, Shown>();
  private headSaid = "";

  constructor(
    private readonly store: Store,
    private readonly goTo: (row: CommuneRow) => void,
  ) {
    const table = el("table", {}, el("thead", {}, this.head), this.body);
    this.body.addEventListener("pointerleave", () => this.fill());
    this.element.append(el("div", { class: "board-top" }, this.filter, this.past, this.sum), table);
  }

  render(state: State): void {
    if (state.tab !== "board") return;
    const drawn = [state.board, state.waiting, state.language, state.tab, state.asOf];
    if (drawn.every((one, n) => one === this.drawn[n])) return;
    this.drawn = drawn;
    this.filter.placeholder = t("boardFilter");
    this.filter.setAttribute("aria-label", t("boardFilter"));
    this.fill(this.body.matches(":hover"));
  }

  /** Ages move with the clock, links by the second; the rows stay under the reader's hand. */
  tick(state: State, monotonicMs: number): void {
    for (const row of state.tab === "board" ? (state.board ?? []) : []) {
      const shown = this.shown.get(row.code);
      if (!shown) continue;
      setText(shown.age, row.newest ? formatAge(row.newest, state.nowMs) : "");
      if (row.aloft.length || shown.link.textContent !== NOTHING) this.sayLink(shown.link, row, state, monotonicMs);
    }
  }

  /** `staysInOrder`: rows do not change places under a pointer that is about to press one. */
  private fill(staysInOrder = false): void {
    const { board, boardPct, nowMs, asOf, waiting } = this.store.state;
    this.past.hidden = asOf === null;
    setText(this.past, asOf === null ? "" : t("untilMoment", formatTime(asOf)));
    const columns = columnsOf(board ?? []);
    this.layHead(columns);
    if (!board) {
      this.shown.clear();
      replaceChildren(this.body, el("tr", {}, el("td", { colspan: columns.length }, t(this.store.state.online ? "loading" : "noAnswerTitle"))));
      setText(this.sum, "");
      return;
    }
    const wanted = foldAccents(this.filter.value);
    const found = board.filter((row) => foldAccents(row.name).includes(wanted) || row.code === wanted);
    const rows = [...found].sort((a, b) => ORDER[this.sortedBy](a, b) || byName(a, b));
    if (this.isReversed) rows.reverse();
    if (staysInOrder) this.keepOrder(rows);
    const flown = board.filter((row) => row.imaged_pct !== null).length;
    const sum = board.length ? t("boardSum", formatPercent(boardPct ?? 0), board.length, flown) : t("noCommunes");
    setText(this.sum, countsTwice(board, waiting) ? `${sum}. ${t("boardCountsTwice")}` : sum);
    this.lay(rows, columns, nowMs);
    if (board.length && !rows.length) replaceChildren(this.body, el("tr", {}, el("td", { colspan: columns.length }, t("searchNone"))));
  }

  /** Those that are new come last. */
  private keepOrder(rows: CommuneRow[]): void {
    const before = [...this.shown.keys()];
    const place = ({ code }: CommuneRow): number => (before.includes(code) ? before.indexOf(code) : before.length);
    rows.sort((a, b) => place(a) - place(b));
  }

  /** A row that prints the same is left alone, and all of them where none changed. */
  private lay(rows: CommuneRow[], columns: Column[], nowMs: number): void {
    const shown = rows.map((row): [string, Shown] => {
      const said = JSON.stringify([row, columns, language()]);
      const known = this.shown.get(row.code);
      return [row.code, known?.said === said ? known : this.row(row, columns, nowMs, said)];
    });
    this.shown = new Map(shown);
    const elements = shown.map(([, { element }]) => element);
    const isSame = elements.length === this.body.children.length && elements.every((one, n) => one === this.body.children[n]);
    if (!isSame) replaceKeepingFocus(this.body, ...elements);
  }

  private layHead(columns: Column[]): void {
    const said = JSON.stringify([columns, this.sortedBy, this.isReversed, language()]);
    if (said !== this.headSaid) replaceKeepingFocus(this.head, ...columns.map((column) => this.headOf(column)));
    this.headSaid = said;
  }

  private headOf(column: Column): HTMLElement {
    const isSorted = column === this.sortedBy;
    const direction = this.isReversed ? "descending" : "ascending";
    const sort = (): void => {
      this.isReversed = isSorted ? !this.isReversed : false;
      this.sortedBy = column;
      this.fill();
    };
    const arrow = isSorted ? (this.isReversed ? " ▲" : " ▼") : "";
    const button = el("button", { type: "button", "data-column": column, "data-kept": column, click: sort }, t(`board_${column}`), el("span", { "aria-hidden": "true" }, arrow));
    return el("th", { scope: "col", "aria-sort": isSorted ? direction : "none" }, button);
  }

  private row(row: CommuneRow, columns: Column[], nowMs: number, said: string): Shown {
    const age = el("span", { class: "age" }, row.newest ? formatAge(row.newest, nowMs) : "");
    const link = el("td", { class: "link" });
    const cells: Record<Column, () => HTMLElement> = {
      name: () => el("th", { scope: "row" }, el("button", { type: "button", "data-kept": row.code, click: () => this.goTo(row) }, row.name)),
      newest: () =>
        row.newest
          ? el("td", { title: formatTime(row.newest) }, age)
          : el("td", { class: "not-flown" }, t(row.under_way.length ? "boardUnderWay" : "boardNotFlown")),
      imaged: () => cell({ "data-label": row.imaged_pct === null ? undefined : t("board_imaged") }, imagedSaid(row)),
      marks: () => cell({ class: "marks" }, [...marksSaid(row), ...troublesSaid(row)]),
      changes: () => cell({ class: "changes", "data-label": row.changes === null ? undefined : t("board_changes") }, changesSaid(row)),
      link: () => link,
    };
    this.sayLink(link, row, this.store.state, performance.now());
    const name = row.imaged_pct === null ? "unseen" : "";
    const element = el("tr", { "data-commune": row.code, class: name }, ...columns.map((column) => cells[column]()));
    return { element, said, age, link };
  }

  private sayLink(cell: HTMLElement, row: CommuneRow, state: State, monotonicMs: number): void {
    const said = row.aloft.flatMap((id) => state.airborne.filter((one) => one.said.flight_id === id)).map((one) => formatLoss(one, monotonicMs));
    setText(cell, said.map((loss) => loss ?? t("live")).join("; ") || NOTHING);
    cell.classList.toggle("nothing", said.length === 0);
    cell.classList.toggle("lost", said.some((loss) => loss !== null));
  }
}

function cell(props: Record<string, string | undefined>, said: (HTMLElement | string)[]): HTMLElement {
  const isNothing = !said.some((one) => one !== "");
  const name = [props["class"], isNothing && "nothing"].filter(Boolean).join(" ");
  return el("td", { ...props, class: name || undefined }, ...(isNothing ? [NOTHING] : said));
}

/** Columns that have something to say: where nobody has looked for changes, or drawn one, nothing is said of them. */
function columnsOf(rows: readonly CommuneRow[]): Column[] {
  const always: Column[] = ["name", "newest", "imaged", "marks"];
  const changes: Column[] = rows.some((row) => row.changes !== null || row.waiting !== null || row.compared_pct !== null) ? ["changes"] : [];
  return [...always, ...changes, "link"];
}

const markCount = (row: CommuneRow): number =>
  Object.values(row.marks).reduce((sum, count) => sum + count, 0) + (row.troubles ?? []).reduce((sum, { count }) => sum + count, 0);
const timeOf = (row: CommuneRow): number => (row.newest ? Date.parse(row.newest) : -Infinity);
const byName = (a: CommuneRow, b: CommuneRow): number => bare(a.name).localeCompare(bare(b.name), "vi") || a.name.localeCompare(b.name, "vi");
/** A ward is looked for by its own name, not under what it is. */
const bare = (name: string): string => name.replace(/^(xã|phường|thị trấn|đặc khu)\s+/i, "");
/** Where something is known to have happened: looked for before those of which nothing is known. */
const isAffected = (row: CommuneRow): number => Number(markCount(row) > 0 || (row.changes ?? 0) > 0 || row.waiting !== null || row.aloft.length > 0);
const larger = (a: number, b: number): number => (a === b ? 0 : b - a); // two that are both unknown are alike

/** The first of each order is what is looked for first: the newest, the most. */
const ORDER: Record<Column, (a: CommuneRow, b: CommuneRow) => number> = {
  name: byName,
  newest: (a, b) => larger(timeOf(a), timeOf(b)) || larger(isAffected(a), isAffected(b)),
  imaged: (a, b) => larger(a.imaged_pct ?? -1, b.imaged_pct ?? -1),
  marks: (a, b) => larger(markCount(a), markCount(b)),
  changes: (a, b) => larger(a.changes ?? -1, b.changes ?? -1),
  link: (a, b) => larger(a.aloft.length, b.aloft.length),
};

/** The share of all flights together, and of the newest where that is less: a new picture of a corner is no new picture of the rest. */
function imagedSaid(row: CommuneRow): (HTMLElement | string)[] {
  if (row.imaged_pct === null) return [];
  const all = formatPercent(row.imaged_pct);
  const newest = formatPercent(row.newest_pct ?? row.imaged_pct);
  return newest === all ? [all] : [all, el("small", {}, t("boardNewest", newest))];
}

/** Whether communes together count more that waits than there is: one across a boundary counts in each. */
export function countsTwice(rows: readonly CommuneRow[], waiting: PendingChanges | null): boolean {
  return waiting !== null && rows.reduce((sum, row) => sum + (row.waiting?.count ?? 0), 0) > waiting.count;
}

/** None found is told from nobody looked, and from what waits: with the share on which changes were looked for. */
function changesSaid(row: CommuneRow): (HTMLElement | string)[] {
  return [
    row.changes === null ? "" : t("boardConfirmed", row.changes),
    ...(row.waiting ? [el("small", { class: "waits" }, t("boardWaiting", row.waiting.count, formatWaitingArea(row.waiting)))] : []),
    ...(row.compared_pct === null ? [] : [el("small", {}, t("boardCompared", formatPercent(row.compared_pct)))]),
  ];
}

function marksSaid(row: CommuneRow): HTMLElement[] {
  const kinds = Object.entries(row.marks) as [MarkKind, number][];
  return kinds.map(([kind, count]) => el("span", { class: `mark-count ${kind}` }, `${formatMarkKind(kind)} ${count}`));
}

/** What owners of layers say to be in trouble there: dead masts, blocked roads. */
function troublesSaid(row: CommuneRow): HTMLElement[] {
  return (row.troubles ?? []).map(({ name, count }) => el("span", { class: "mark-count trouble" }, t("boardTrouble", name, count)));
}
