/** The room where parts of a photo are covered: drawn by mouse or finger, listed, taken back. */

import "../view.css";
import "./redactions.css";
import { ApiError, api, previewUrl, type PhotoSource } from "../api";
import { el, isTypingKey, replaceChildren, setText } from "../dom";
import type { State } from "../state";
import { formatTime } from "../time";
import { REDACTION_REASONS, type Redaction, type RedactionReason, type PhotoRedactions } from "./types";
import { t } from "./texts";

const SVG = "http://www.w3.org/2000/svg";
const LEAST_CORNERS = 3;

export class RedactionView {
  private readonly picture = document.createElementNS(SVG, "svg");
  private readonly said = el("p", { role: "status" });
  private readonly counted = el("span", {});
  private readonly listed = el("section", {});
  private readonly reason = el("select", {}, ...REDACTION_REASONS.map((one) => el("option", { value: one }, t(one))));
  private readonly undo = el("button", { type: "button", click: () => this.undoCorner() }, t("undo"));
  private readonly save = el("button", { type: "button", click: () => void this.cover() }, t("save"));
  private readonly dialog: HTMLDialogElement;
  private corners: [number, number][] = [];
  private known: PhotoRedactions | null = null;
  /** The same mask sent twice is drawn once. */
  private maskId = newId();

  constructor(
    private readonly photo: PhotoSource,
    private readonly state: () => State,
    onClose: () => void,
  ) {
    const close = el("button", { type: "button", click: () => this.dialog.close() }, t("close"));
    const image = el("img", { src: freshPreview(photo.source_sha256), alt: "" });
    this.picture.setAttribute("role", "img");
    this.picture.setAttribute("aria-label", t("photo", photo.source_name));
    this.picture.setAttribute("preserveAspectRatio", "none");
    this.picture.addEventListener("click", (event) => this.addCorner(event));
    const form = el(
      "div",
      { class: "mask-form" },
      el("label", {}, t("reason"), this.reason),
      this.counted,
      this.undo,
      this.save,
    );
    this.dialog = el(
      "dialog",
      { class: "room-dialog mask-room", "aria-labelledby": "mask-title" },
      el("div", { class: "room-bar" }, el("h1", { id: "mask-title" }, `${t("room")}: ${photo.source_name}`), close),
      el(
        "div",
        { class: "mask-desk" },
        el("div", { class: "mask-photo" }, image, this.picture),
        el("div", { class: "mask-side" }, el("p", {}, t("note")), form, this.said, this.listed),
      ),
    );
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      onClose();
    });
  }

  enter(): void {
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.render();
    void this.read();
  }

  private async read(): Promise<void> {
    setText(this.said, t("reading"));
    this.known = await api.masks(this.photo.source_sha256).catch((error: unknown) => this.failed(error));
    if (this.known) setText(this.said, "");
    this.render();
  }

  private addCorner(event: MouseEvent): void {
    if (!this.known) return;
    const { left, top, width, height } = this.picture.getBoundingClientRect();
    const [across, down] = this.known.size;
    this.corners.push([((event.clientX - left) / width) * across, ((event.clientY - top) / height) * down]);
    this.render();
  }

  /** Enter ends the outline and covers it, Backspace takes a corner back: as wherever something is drawn. */
  private key(event: KeyboardEvent): void {
    if (isTypingKey(event) || (event.key === "Enter" && event.target instanceof HTMLButtonElement)) return;
    const action = { Enter: this.save, Backspace: this.undo }[event.key];
    if (!action) return;
    event.preventDefault();
    action.click(); // which does nothing while it is disabled
  }

  private undoCorner(): void {
    this.corners.pop();
    this.render();
  }

  private async cover(): Promise<void> {
    setText(this.said, t("saving"));
    this.save.disabled = true;
    const asked = { photo: this.photo.source_sha256, reason: this.reason.value as RedactionReason, corners: this.corners };
    const made = await api.putMask(this.maskId, asked).catch((error: unknown) => this.failed(error));
    if (made) {
      this.maskId = newId();
      this.corners = [];
      await this.read();
      setText(this.said, t("saved"));
    }
    this.render();
  }

  private async takeBack(mask: Redaction): Promise<void> {
    const done = await api.takeBackMask(mask.mask_id).catch((error: unknown) => this.failed(error));
    if (!done) return;
    await this.read();
    setText(this.said, t("tookBack"));
  }

  private failed(error: unknown): null {
    setText(this.said, error instanceof ApiError ? error.message : t("unread"));
    return null;
  }

  private render(): void {
    const [across, down] = this.known?.size ?? [1, 1];
    this.picture.setAttribute("viewBox", `0 0 ${across} ${down}`);
    const held = this.known?.masks ?? [];
    this.picture.replaceChildren(...held.map(({ corners }) => shape("mask-held", corners)), shape("mask-drawn", this.corners), ...this.corners.map((at) => dot(at, across)));
    setText(this.counted, t("corners", this.corners.length));
    this.undo.disabled = this.corners.length === 0;
    this.save.disabled = this.corners.length < LEAST_CORNERS;
    if (this.known) this.renderHeld(held);
  }

  private renderHeld(held: Redaction[]): void {
    if (!held.length) return replaceChildren(this.listed, el("p", {}, t("none")));
    const role = this.state().session?.account?.role;
    const may = role === undefined || role === "analyst" || role === "admin";
    const row = (mask: Redaction): HTMLElement =>
      el(
        "li",
        { "data-mask": mask.mask_id },
        el("span", {}, el("strong", {}, t(mask.reason)), el("small", {}, t("by", mask.author, formatTime(mask.at)))),
        ...mask.asked_back.map((one) => el("small", { class: "mask-asked" }, t("askedBack", one.author, formatTime(one.at)))),
        may && el("button", { type: "button", "aria-label": t("takeBackOf", mask.mask_id), click: () => void this.takeBack(mask) }, t("takeBack")),
      );
    replaceChildren(this.listed, el("h2", {}, t("held", held.length)), el("ul", {}, ...held.map(row)), !may && el("p", {}, t("takeBackBy")));
  }
}

/** The photo as it is handed out now: what the browser kept of it may show what was covered since. */
function freshPreview(sha256: string): string {
  return `${previewUrl(sha256)}&at=${Date.now()}`;
}

function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `mask-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function shape(name: string, corners: [number, number][]): SVGElement {
  const polygon = document.createElementNS(SVG, "polygon");
  polygon.setAttribute("class", name);
  polygon.setAttribute("points", corners.map(([x, y]) => `${x},${y}`).join(" "));
  return polygon;
}

function dot([x, y]: [number, number], across: number): SVGElement {
  const circle = document.createElementNS(SVG, "circle");
  circle.setAttribute("class", "mask-corner");
  circle.setAttribute("cx", String(x));
  circle.setAttribute("cy", String(y));
  circle.setAttribute("r", String(across / 130));
  return circle;
}
