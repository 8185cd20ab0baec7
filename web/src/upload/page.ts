/** The page: choose photos, see how much of them is safe, what their heads say, and when they are on the map. */

import { api, type Session } from "../api";
import { el, replaceChildren, setText } from "../dom";
import { pickLanguage, language, setLanguage, t as said } from "../i18n";
import { signOut } from "../signOut";
import { canWrite } from "../marks";
import { formatNumber } from "../numbers";
import { formatAgo } from "../time";
import { readCard, type Card } from "./cardFiles";
import { FilePicker } from "./filePicker";
import { renderPreview } from "./previewPanel";
import { Sender } from "./sender";
import { formatBytes } from "./byteFormat";
import { RequestRefused, UploadClient, type UploadPreview, type BilingualSentence, type UploadStatus } from "./client";
import { t } from "./texts";

const POLL_MS = 2000;
const SPEED_OVER_MS = 20_000;
/** So long without a byte that was acknowledged: the line stands still. */
const STALLED_MS = 15_000;
const TICK_MS = 1000;
const MOST_FILES = 5000;

/** What is done with photos one after the other: from and to which share of the whole, and what it is called. */
const LAYING: Record<string, readonly [number, number, "layingLook" | "layingRectify" | "layingCommunes" | "laying"]> = {
  look: [0, 0.2, "layingLook"],
  rectify: [0.2, 0.8, "layingRectify"],
  communes: [0.8, 1, "layingCommunes"],
};
/** As much as is shown of what is not on the map yet, however far its last step is. */
const NOT_ALL = 0.99;

type State = "choosing" | "sending" | "paused" | "refused" | "sent";

export class UploadPage {
  private readonly server = new UploadClient();
  private readonly choosing: FilePicker;
  private readonly body = el("main", { class: "upload-body" });
  private readonly banner = el("p", { class: "banner", role: "status" });
  private readonly notice = el("p", { class: "warning", role: "alert", hidden: true });
  /** Who signs out must know where that was not done. */
  private readonly left = el("p", { class: "warning", role: "alert" });
  private readonly stages = el("ol", { class: "stages" });
  private readonly actions = el("div", { class: "upload-actions" });
  private readonly seen = el("div", {});
  private state: State = "choosing";
  private card: Card | null = null;
  private sender: Sender | null = null;
  /** What sends at the moment. Whatever an older one still hears changes nothing here. */
  private run: AbortController | null = null;
  private standing: UploadStatus | null = null;
  private look: UploadPreview | null = null;
  private problem = "";
  private names: [string, string] = ["", ""];
  private speeds: { ms: number; bytes: number }[] = [];
  /** The server does not answer, or asks to wait. */
  private isWaiting = false;
  /** What is said of the bytes, and how many there are: time goes on where none comes. */
  private told: { element: Element | null; bytes: number; total: number } = { element: null, bytes: 0, total: 0 };
  private account: Session["account"] = null;

  constructor(
    private readonly root: HTMLElement,
    private readonly signIn: () => Promise<void>,
  ) {
    this.server.signIn = signIn;
    this.server.onWait = (why) => this.waits(why);
    this.choosing = new FilePicker(
      this.server,
      (files, name, event) => void this.chosen(files, name, event),
      (standing) => this.show(standing),
    );
  }

  async start(): Promise<void> {
    const session = await api.session();
    this.account = session.account;
    this.speak();
    if (!canWrite(session)) {
      replaceChildren(this.body, el("p", { class: "warning" }, t("needsRole")));
      return;
    }
    this.choosing.events = await api.events().catch(() => []);
    this.draw();
    window.setInterval(() => this.tick(), TICK_MS);
    await this.watch();
  }

  /** Only the time that is left: a button under a finger stays. */
  private tick(): void {
    const { element, bytes, total } = this.told;
    if (this.state === "sending" && element) setText(element, this.bytesSaid(bytes, total));
  }

  /** A line that is slower than the clock is asked once at a time. */
  private async watch(): Promise<void> {
    await this.poll().catch(() => undefined);
    window.setTimeout(() => void this.watch(), POLL_MS);
  }

  private speak(): void {
    const other = language() === "vi" ? "en" : "vi";
    const turn = (): void => {
      setLanguage(other);
      localStorage.setItem("flycam.language", other);
      this.speak();
      this.draw();
    };
    document.title = `flycam – ${t("title")}`;
    const turnButton = el("button", { type: "button", class: "language", lang: other, click: turn }, other === "vi" ? "Tiếng Việt" : "English");
    const map = el("a", { class: "button to-map", href: "./" }, t("toMap"));
    const header = el("header", { class: "top" }, el("div", { class: "brand" }, "flycam"), el("h1", {}, t("title")), map, turnButton, this.leaving());
    replaceChildren(this.root, header, this.body);
  }

  /** A computer is shared here as well. */
  private leaving(): HTMLElement | null {
    const { account } = this;
    if (!account) return null;
    const say = (trouble: string): void => {
      setText(this.left, trouble);
      trouble ? this.body.before(this.left) : this.left.remove();
    };
    const leave = (): void => {
      if (this.state !== "sending" || window.confirm(t("leaveAsk"))) void signOut(account.name, say);
    };
    return el("button", { type: "button", class: "account", title: account.name, click: leave }, said("logout"));
  }

  private draw(): void {
    if (this.state === "choosing") {
      replaceChildren(this.body, this.choosing.element);
      this.choosing.draw();
      return;
    }
    replaceChildren(this.body, this.banner, this.notice, this.stages, this.actions, this.seen);
    this.drawState();
    this.drawLook();
  }

  private async chosen(list: Iterable<File>, name: string, event: string): Promise<void> {
    this.card = readCard(list);
    if (!this.card.files.length) return this.choosing.say(t("noPhotos"));
    if (this.card.files.length + this.card.unsent.length > MOST_FILES) return this.choosing.say(t("tooMany", formatNumber(MOST_FILES)));
    this.names = [name, event];
    [this.standing, this.look] = [null, null];
    await this.send();
  }

  private async send(): Promise<void> {
    if (!this.card) return;
    this.end();
    const run = (this.run = new AbortController());
    const isOver = (): boolean => this.run !== run;
    this.problem = "";
    this.speeds = [];
    this.state = "sending";
    this.draw();
    const server = new UploadClient(run.signal);
    server.signIn = this.signIn;
    server.onWait = (why) => isOver() || this.waits(why);
    const sender = (this.sender = new Sender(server, this.card, () => isOver() || this.drawState()));
    try {
      const opened = await sender.announce(...this.names);
      if (isOver()) return;
      this.standing = opened;
      this.drawLook();
      if (opened.looked) void this.poll(); // what was looked at before is there before the first byte goes on
      if (!opened.saved) await sender.send(opened);
      if (isOver()) return;
      this.state = "sent";
    } catch (error) {
      if (isOver()) return;
      this.end();
      this.state = "refused";
      const why = error instanceof Error ? error.message || error.name : String(error);
      this.problem = error instanceof RequestRefused ? why : t("readFailed", why);
    }
    await this.poll();
    this.draw();
  }

  /** Nothing more is sent, and what is on its way is not waited for. */
  private end(): void {
    this.run?.abort();
    this.run = null;
  }

  private show(standing: UploadStatus): void {
    this.end();
    [this.state, this.standing, this.look, this.card, this.sender] = ["sent", standing, null, null, null];
    this.draw();
    void this.poll();
  }

  private pause(): void {
    this.end();
    this.state = "paused";
    this.draw();
  }

  private leave(): void {
    this.end();
    [this.state, this.standing, this.look, this.sender, this.card] = ["choosing", null, null, null, null];
    this.notice.hidden = true;
    this.draw();
    void this.poll();
  }

  private async poll(): Promise<void> {
    if (this.state === "paused") return;
    if (this.state === "choosing") return this.choosing.read();
    const id = this.standing?.upload_id;
    if (!id) return;
    const isOther = (): boolean => this.standing?.upload_id !== id;
    try {
      const answer = await this.server.once(`/api/uploads/${id}`);
      const standing = answer && ((await answer.json()) as UploadStatus);
      if (!standing || isOther()) return;
      const isSettled = Boolean(standing.laid?.doctor) && !this.standing?.laid?.doctor;
      this.standing = standing;
      if (isSettled) this.drawLook();
      if (standing.looked && (!this.look || this.look.awaits_logs)) {
        const answered = await this.server.once(`/api/uploads/${id}/look`);
        const look = answered && ((await answered.json()) as UploadPreview);
        if (isOther()) return;
        this.look = look;
        this.drawLook();
      }
    } catch (error) {
      if (isOther()) return;
      if (error instanceof RequestRefused && error.status === 404 && this.state === "sent") return this.leave();
      return; // who sends says what is wrong
    }
    this.drawState();
  }

  private waits(why: string | null): void {
    if (this.state === "choosing") return;
    this.isWaiting = why !== null;
    this.tick();
    this.notice.hidden = why === null;
    setText(this.notice, why || t("noLine"));
  }

  private drawState(): void {
    const now = this.standing;
    if (this.state === "choosing") return;
    const saved = now?.saved ?? false;
    const word = saved ? "saved" : this.state === "sent" ? "keeping" : this.state === "paused" ? "stopped" : this.state;
    const isPart = saved && now !== null && now.passed_over > 0;
    this.banner.className = `banner ${isPart ? "stopped" : word}`;
    setText(this.banner, isPart ? t("savedBut", now.passed_over) : t(word as "saved"));
    if (this.state === "refused") {
      this.notice.hidden = false;
      setText(this.notice, this.problem);
    }
    this.drawActions(now);
    if (!now) return this.stages.replaceChildren();
    const bytes = saved ? now.bytes : (this.sender?.bytes ?? now.bytes_received);
    const heads = saved ? now.photos : (this.sender?.heads ?? now.heads);
    const [laidShare, laidText] = laidOf(now);
    const trouble = now.waits_for ? pickLanguage(now.waits_for.sentence_vi, now.waits_for.sentence) : "";
    const why = now.stage === "failed" ? pickLanguage(now.laid?.sentence_vi ?? "", now.laid?.sentence ?? "") : trouble;
    const sent = stage(t("stageBytes"), bytes / now.bytes, this.bytesSaid(bytes, now.bytes));
    this.told = { element: sent.querySelector(".stage-head span"), bytes, total: now.bytes };
    replaceChildren(
      this.stages,
      now.photos > 0 && stage(t("stageHeads"), heads / now.photos, t("photosOf", heads, now.photos)),
      sent,
      stage(t("stageStored"), now.bytes_stored / now.bytes, `${t("filesOf", now.stored, now.files)} · ${formatBytes(now.bytes_stored)}`),
      stage(t("stageLaid"), laidShare, laidText, why, toldOf(now)),
    );
  }

  private drawActions(now: UploadStatus | null): void {
    const button = (word: "stop" | "goOn" | "again" | "another", click: () => void): HTMLElement =>
      el("button", { type: "button", click }, t(word));
    const again = (id: string): void => void this.server.once(`/api/uploads/${id}/lay`, { method: "POST" }).then(() => this.poll());
    const flight = now?.laid?.event_id;
    replaceChildren(
      this.actions,
      now?.saved && flight && el("a", { class: "button large", href: `./#event=${encodeURIComponent(flight)}` }, t("openFlight")),
      this.state === "sending" && button("stop", () => this.pause()),
      (this.state === "paused" || (this.state === "refused" && this.card)) && button("goOn", () => void this.send()),
      now?.stage === "failed" && button("again", () => again(now.upload_id)),
      this.state !== "sending" && button("another", () => this.leave()),
    );
  }

  private drawLook(): void {
    const left = this.card?.left ? el("p", { class: "hint" }, t("leftOut", this.card.left)) : null;
    const waits = this.standing && !this.standing.saved && !this.standing.looked ? el("p", { class: "hint" }, t("lookWaits", this.standing.photos)) : null;
    replaceChildren(this.seen, this.passedOver(), this.look ? renderPreview(this.look, this.standing?.laid ?? null) : waits, left);
  }

  /** What the card holds and the server did not take, each with the cure. */
  private passedOver(): HTMLElement | false {
    const now = this.standing;
    if (!now?.passed_over) return false;
    const more = now.passed_over - now.passed_over_said.length;
    const items = now.passed_over_said.map((one) => el("li", {}, pickLanguage(one.sentence_vi, one.sentence)));
    const rest = more > 0 && el("li", {}, t("more", more));
    return el("div", { class: "warning passed-over", role: "alert" }, el("p", {}, t("passedOver", now.passed_over)), el("ul", {}, ...items, rest));
  }

  private bytesSaid(bytes: number, total: number): string {
    return [t("bytesOf", formatBytes(bytes), formatBytes(total)), this.timeLeft(bytes, total)].filter(Boolean).join(" · ");
  }

  /** From the acknowledged bytes of the last seconds; where none comes, that. */
  private timeLeft(bytes: number, total: number): string {
    const ms = performance.now();
    this.speeds = [...this.speeds.filter((one) => ms - one.ms < SPEED_OVER_MS), { ms, bytes }];
    const first = this.speeds[0];
    if (this.state !== "sending" || bytes >= total || !first) return "";
    const since = this.speeds.find((one) => one.bytes === bytes) ?? first;
    if (this.isWaiting || ms - since.ms >= STALLED_MS) return t("leftWaits");
    const rate = (bytes - first.bytes) / (ms - first.ms);
    return rate > 0 ? t("left", formatAgo((total - bytes) / rate / 1000)) : "";
  }
}

/** What of a card is on the map: photos at once, films when all of them are here. */
export function laidOf(now: UploadStatus): [number, string] {
  const frames = now.laid?.frames;
  const photos = frames ? t("laidUsed", frames.used, frames.read) : "";
  if (now.stage === "laid") {
    const pictures = (now.laid?.films ?? []).reduce((sum, one) => sum + one.frames, 0);
    return [1, [photos, pictures && t("laidPictures", pictures)].filter(Boolean).join(" · ") || t("done")];
  }
  if (now.stage === "failed") return [0, t("failed")];
  if (photos) return [now.photos / now.files, `${photos} · ${t("filmsFollow")}`];
  if (now.stage !== "laying") return [0, t("waiting")];
  const at = now.progress;
  if (!at) return [0, t("laying")];
  const [from, to, word] = LAYING[at.stage] ?? [0, 1, "laying"];
  const share = from + (to - from) * (at.total ? at.done / at.total : 0);
  return [Math.min(share, NOT_ALL), `${t(word)} ${formatNumber(at.done)}/${formatNumber(at.total)}`];
}

/** Into which event the flight went and what was not done as asked; of each film what came of it, and of photos that are not on the map although films are. */
function toldOf(now: UploadStatus): HTMLElement | false {
  const { event, notes = [], notes_vi = [], photos, films = [] } = now.laid ?? {};
  const notesSaid = notes.map((one, n) => el("li", {}, pickLanguage(notes_vi[n] ?? one, one)));
  const line = (one: BilingualSentence & { frames?: number }): HTMLElement =>
    el("li", one.frames ? {} : { class: "warning" }, pickLanguage(one.sentence_vi, one.sentence));
  const lines = [...(event ? [el("li", {}, t("inEvent", event))] : []), ...notesSaid, ...[...(photos ? [photos] : []), ...(now.stage === "laid" ? films : [])].map(line)];
  return lines.length > 0 && el("ul", { class: "films-said" }, ...lines);
}

function stage(name: string, share: number, text: string, why = "", more: HTMLElement | false = false): HTMLElement {
  const percent = Math.floor(100 * Math.min(1, share || 0));
  return el(
    "li",
    { class: percent === 100 ? "stage full" : "stage" },
    el("div", { class: "stage-head" }, el("strong", {}, name), el("span", {}, text)),
    el("progress", { max: 100, value: percent, "aria-label": name }),
    why && el("p", { class: "warning" }, why),
    more,
  );
}
