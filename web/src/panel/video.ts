/**
 * The recorded video of a live flight, one piece after the other, each a whole MP4 that any browser with H.264 plays: of
 * one in the air its last minutes, and new pieces as they come; of one that has landed all, in a card of its own.
 */

import { api, type VideoPiece } from "../api";
import { el, setText } from "../dom";
import { t, type MessageKey } from "../i18n";
import { formatSeconds } from "../time";

const LAST_S = 600;
/** Where it begins: what was filmed a minute ago. */
const BACK_S = 60;
const ASK_MS = 2_000;

export class VideoPlayer {
  private readonly video = el("video", { controls: true, playsinline: true, preload: "auto" });
  private readonly slider = el("input", { type: "range", min: 0, step: 1 });
  private readonly when = el("span");
  private readonly note = el("p", { role: "status", hidden: true });
  private readonly download = el("a", { download: true });
  readonly element = el(
    "div",
    { class: "video-player", hidden: true },
    this.video,
    el("div", { class: "video-pieces" }, this.slider, this.when),
    this.note,
    this.download,
  );
  private pieces: VideoPiece[] = [];
  private at = 0;
  private said: [MessageKey, string] | null = null;
  private timer = 0;
  private isWaiting = false;

  constructor(
    private readonly flightId: string,
    private readonly isFlying: () => boolean,
    private readonly isWhole = false,
  ) {
    this.video.muted = true;
    this.video.addEventListener("ended", () => this.go(this.at + 1));
    this.video.addEventListener("timeupdate", () => this.tell());
    this.video.addEventListener("error", () => {
      if (!this.isOpen || !this.video.getAttribute("src")) return;
      this.say("videoBroken");
      this.timer = window.setTimeout(() => this.go(this.at + 1), ASK_MS);
    });
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  toggle(): void {
    if (this.isOpen) this.close();
    else void this.open();
  }

  close(): void {
    window.clearTimeout(this.timer);
    this.element.hidden = true;
    this.pieces = [];
    this.stop();
  }

  /** Words in the page's language of now. */
  relabel(): void {
    if (!this.isOpen) return;
    this.slider.setAttribute("aria-label", t("videoWhen"));
    setText(this.download, t("videoDownload"));
    this.note.hidden = this.said === null;
    if (this.said) setText(this.note, t(...this.said));
    this.tell();
  }

  private async open(): Promise<void> {
    this.element.hidden = false;
    this.say(null);
    if (!(await this.ask())) return;
    let back = 0;
    let start = this.isWhole ? 0 : this.pieces.length - 1;
    while (start > 0 && (back += this.pieces[start]?.seconds ?? 0) < BACK_S) start -= 1;
    this.go(Math.max(0, start));
  }

  /** The list anew; what is played stays what it is. */
  private async ask(): Promise<boolean> {
    const all = await api.video(this.flightId, this.isWhole ? null : LAST_S).catch(() => null);
    if (!this.isOpen) return false;
    if (!all) {
      this.say("videoFailed");
      return false;
    }
    const playing = this.pieces[this.at]?.url;
    this.pieces = all.filter((piece) => piece.url !== null);
    const again = this.pieces.findIndex((piece) => piece.url === playing);
    if (playing) this.at = Math.max(0, again);
    this.slider.max = String(Math.max(0, this.pieces.length - 1));
    if (!this.pieces.length) this.say(all.some((piece) => piece.withheld) ? "videoWithheld" : "videoNone");
    return this.pieces.length > 0;
  }

  private go(at: number): void {
    window.clearTimeout(this.timer);
    const piece = this.pieces[at];
    if (!piece?.url) {
      void this.wait();
      return;
    }
    this.at = at;
    this.slider.value = String(at);
    this.download.setAttribute("href", piece.url);
    if (!this.video.canPlayType(`video/mp4; codecs="${piece.codec}"`)) {
      this.stop();
      this.say("videoCodec", piece.codec.startsWith("hvc") ? "H.265" : piece.codec);
      return;
    }
    this.say(null);
    this.video.src = piece.url;
    void this.video.play().catch(() => undefined); // the person presses play
    this.relabel();
  }

  /** At the end of what is recorded: more comes while it flies. */
  private async wait(): Promise<void> {
    if (this.isWaiting) return;
    this.isWaiting = true;
    const before = this.pieces[this.at]?.url;
    const more = await this.ask();
    this.isWaiting = false;
    if (!this.isOpen) return;
    const next = this.pieces[this.at]?.url === before ? this.at + 1 : 0;
    if (more && next < this.pieces.length) {
      this.go(next);
      return;
    }
    if (more) this.say(this.isFlying() ? "videoEnd" : "videoOver");
    if (this.isFlying()) this.timer = window.setTimeout(() => void this.wait(), ASK_MS);
  }

  private stop(): void {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }

  private say(word: MessageKey | null, value = ""): void {
    this.said = word && [word, value];
    this.relabel();
  }

  /** When the picture on show was taken. */
  private tell(): void {
    const piece = this.pieces[this.at];
    setText(this.when, piece ? formatSeconds(new Date(piece.began).getTime() + this.video.currentTime * 1000) : "");
    this.download.hidden = !piece;
    this.slider.hidden = this.pieces.length < 2;
  }
}

/** The video of a flight that is in the list, beside the map. */
export class FilmCard {
  private readonly name = el("h2");
  private readonly shut = el("button", { type: "button", class: "close", click: () => this.close() }, "×");
  private readonly place = el("div");
  readonly element = el(
    "aside",
    { class: "film-card", hidden: true },
    el("div", { class: "card-head" }, this.name, this.shut),
    this.place,
  );
  private player: VideoPlayer | null = null;

  show(flightId: string, name: string): void {
    this.player?.close();
    this.player = new VideoPlayer(flightId, () => false, true);
    this.place.replaceChildren(this.player.element);
    setText(this.name, name);
    this.element.hidden = false;
    this.player.toggle();
    this.relabel();
  }

  close(): void {
    this.player?.close();
    this.element.hidden = true;
  }

  relabel(): void {
    this.shut.setAttribute("aria-label", t("videoClose"));
    this.player?.relabel();
  }
}
