/** The room where a sheet is laid out and printed: paper, scale, place; what is printed is the sheet and nothing else. */

import "../view.css";
import "./print.css";
import { el, setText } from "../dom";
import type { ViewContext } from "../views";
import { formatNumber } from "../numbers";
import { PAPERS, SCALES, Sheet, type Paper } from "./sheet";
import { t } from "./texts";

export class PrintView {
  private readonly sheet: Sheet;
  private readonly element: HTMLElement;
  private readonly desk: HTMLElement;
  private readonly print: HTMLButtonElement;
  private readonly hint = el("span", { class: "print-hint", role: "status" });
  private readonly fit = new ResizeObserver(() => this.fitDesk()); // the bar takes more lines, or the screen is turned
  private readonly onKey = (event: KeyboardEvent): void => this.heard(event);

  constructor(
    house: ViewContext,
    private readonly onClose: () => void,
  ) {
    this.print = el("button", { type: "button", class: "print-go", click: () => window.print() }, t("print"));
    this.sheet = new Sheet(house, house.store.state, (busy) => this.setBusy(busy));
    const paper = choice(t("paper"), Object.keys(PAPERS), "A4", (value) => value, (value) => this.setPaper(value as Paper));
    const scale = choice(t("scale"), SCALES.map(String), String(this.sheet.scaleDrawn), (value) => `1:${formatNumber(Number(value))}`, (value) => this.sheet.setScale(Number(value)));
    const bar = el("div", { class: "room-bar print-bar" }, el("strong", {}, t("room")), paper, scale, this.print, el("button", { type: "button", click: () => this.close() }, t("close")), this.hint);
    this.desk = el("div", { class: "print-desk" }, this.sheet.element);
    this.element = el("div", { class: "room-over print-room", role: "dialog", "aria-modal": "true", "aria-label": t("room"), tabindex: "-1" }, bar, this.desk);
    this.setBusy(true);
  }

  enter(): void {
    document.body.append(this.element);
    document.body.classList.add("printing");
    this.fit.observe(this.desk);
    window.addEventListener("keydown", this.onKey, true);
    this.sheet.attach("A4");
    this.fitDesk();
    this.element.focus({ preventScroll: true }); // the button to print cannot be pressed yet
  }

  private close(): void {
    this.fit.disconnect();
    window.removeEventListener("keydown", this.onKey, true);
    document.body.classList.remove("printing");
    this.sheet.dispose();
    this.element.remove();
    this.onClose();
  }

  private heard(event: KeyboardEvent): void {
    const isOurs = event.target instanceof Node && this.element.contains(event.target);
    if (event.key === "Escape") this.close();
    if (event.key === "Escape" || !isOurs) event.stopPropagation(); // nothing happens behind the sheet
  }

  private setPaper(paper: Paper): void {
    this.sheet.setPaper(paper);
    this.fitDesk();
  }

  /** The whole sheet is seen, however small the screen is. */
  private fitDesk(): void {
    const { element } = this.sheet;
    const share = Math.min(1, (this.desk.clientWidth - 24) / element.offsetWidth, (this.desk.clientHeight - 24) / element.offsetHeight);
    element.style.setProperty("--share", share.toFixed(4));
  }

  private setBusy(busy: boolean): void {
    this.print.disabled = busy;
    this.element.setAttribute("aria-busy", String(busy));
    setText(this.hint, busy ? t("drawing") : t("hint"));
  }
}

function choice(name: string, values: string[], chosen: string, text: (value: string) => string, choose: (value: string) => void): HTMLElement {
  const options = values.map((value) => el("option", { value, selected: value === chosen }, text(value)));
  return el("label", {}, name, el("select", { change: (event) => choose((event.target as HTMLSelectElement).value) }, ...options));
}
