/** A photo (reduced, as everybody may have it) with a cross on the place that was asked for. */

import "../view.css";
import "./photoPoint.css";
import { previewUrl, type PhotoPoint } from "../api";
import { el } from "../dom";
import { formatTime } from "../time";
import { t } from "./texts";

export interface PhotoPointInfo {
  source_sha256: string;
  source_name: string;
  captured: string;
  spot: PhotoPoint | null;
}

export class PhotoPointView {
  private readonly element: HTMLElement;
  private readonly before = document.activeElement;
  private readonly closing = el("button", { type: "button", class: "spot-close", click: () => this.close() }, t("close"));
  private readonly onKey = (event: KeyboardEvent): void => this.key(event);

  constructor(
    photo: PhotoPointInfo,
    private readonly onClose: () => void,
  ) {
    const trouble = el("p", { class: "warning", role: "alert", hidden: true }, t("unread"));
    const frame = el("div", { class: "spot-frame" });
    const image = el("img", {
      src: previewUrl(photo.source_sha256),
      alt: photo.source_name,
      error: () => {
        frame.hidden = true;
        trouble.hidden = false;
      },
    });
    frame.append(image);
    const { spot } = photo;
    if (spot) {
      const cross = el("span", { class: "spot-cross", role: "img", "aria-label": t("title") });
      cross.style.left = `${(100 * spot.x) / spot.width}%`;
      cross.style.top = `${(100 * spot.y) / spot.height}%`;
      frame.append(cross);
    }
    this.element = el(
      "div",
      { class: "room-over spot-room", role: "dialog", "aria-modal": "true", "aria-labelledby": "spot-title" },
      el("div", { class: "room-bar" }, el("h1", { id: "spot-title" }, el("span", {}, photo.source_name), el("span", { class: "spot-time" }, formatTime(photo.captured))), this.closing),
      el("div", { class: "spot-desk" }, frame, trouble),
      el("p", { class: "spot-note" }, t(spot ? "note" : "noSpot")),
    );
    window.addEventListener("keydown", this.onKey, true);
    document.body.append(this.element);
    this.closing.focus();
  }

  private close(): void {
    window.removeEventListener("keydown", this.onKey, true);
    this.element.remove();
    if (this.before instanceof HTMLElement) this.before.focus();
    this.onClose();
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Tab") {
      event.preventDefault(); // there is one thing to press
      this.closing.focus();
    }
    if (event.key === "Escape") this.close();
    event.stopPropagation();
  }
}
