/** What a house needs before its map is of use: what is there is ticked, what is not says how it comes. An event that was begun by pictures is of use without a flight. */

import { api, ApiError, NetworkError, type DrillStatus } from "../api";
import { copyButton } from "../clipboard";
import { el, replaceChildren } from "../dom";
import { pickLanguage, t as said } from "../i18n";
import { canAdminister } from "../marks";
import type { State } from "../state";
import { t } from "./texts";

const DRILL_COMMAND = "flycam demo --no-serve";
const LOOK_MS = 2000;
const MAKES_NONE = 404;

export class Checklist {
  readonly element = el("section", { class: "checklist" });
  /** null: not known. */
  private boundaries: boolean | null = null;
  private heights: boolean | null = null;
  private tellsHow = false;
  /** What came of the drill that this server makes or made; null: not known, or not told to this person. */
  private drill: DrillStatus | null = null;
  private trouble = "";
  /** The event of which it is known whether its changes are of pictures alone, and whether they are. */
  private pictures: { eventId: string | null; are: boolean } = { eventId: null, are: false };

  constructor(
    private readonly state: () => State,
    private readonly openEvent: (id: string) => void,
  ) {
    this.render();
    void this.read();
    if (canAdminister(this.state().session)) void this.readDrill();
  }

  /** What a drill brought is no boundary and no height of this house. */
  private async read(): Promise<void> {
    const there = <T>(asked: Promise<T>, has: (found: T) => boolean | null): Promise<boolean | null> => asked.then(has, () => null);
    [this.boundaries, this.heights] = await Promise.all([
      there(api.realCommunesExtent(), (found) => found !== null),
      there(api.terrain(), (found) => found.some((one) => one.is_drill === false) || (found.some((one) => one.is_drill === null) ? null : false)),
    ]);
    this.render();
  }

  /** One that somebody asked for before this page was loaded goes on, or says why it does not. */
  private async readDrill(): Promise<void> {
    const standing = await api.drill().catch(() => null);
    if (this.drill || !standing) return; // one was asked for meanwhile
    if (standing.state === "making" || standing.state === "failed") await this.follow(Promise.resolve(standing));
  }

  /** Whether pictures were compared in the event that is open. */
  private async readPictures(eventId: string): Promise<void> {
    this.pictures = { eventId, are: false };
    const are = await api.changes(eventId).then(({ known, compared }) => known || Boolean(compared), () => false);
    if (this.pictures.eventId !== eventId || !are) return;
    this.pictures = { eventId, are };
    this.render();
  }

  render(): void {
    const { eventId } = this.state();
    if (eventId && this.pictures.eventId !== eventId) void this.readPictures(eventId);
    if (eventId && this.pictures.are && this.pictures.eventId === eventId) return replaceChildren(this.element, el("p", { class: "of-pictures" }, t("ofPictures")));
    const row = (name: string, isThere: boolean | null, how: string): HTMLElement => {
      const sign = isThere ? "☑" : "☐";
      return el("li", { "data-there": String(isThere) }, el("span", { "aria-hidden": "true" }, sign), el("span", {}, el("strong", {}, name), el("small", {}, isThere === null ? t("unknown") : isThere ? t("done") : how)));
    };
    replaceChildren(
      this.element,
      el("h3", {}, t("title")),
      el(
        "ul",
        {},
        row(t("boundaries"), this.boundaries, t("missing", "flycam communes add FILE")),
        row(t("heights"), this.heights, t("missing", "flycam dem add FILE")),
        row(t("flight"), false, t("flightHow")), // else this would not be shown
      ),
      el("button", { type: "button", class: "drill-open", disabled: this.drill?.state === "making", click: () => void this.openDrill() }, t("drill")),
      this.drill?.state === "making" && el("p", { role: "status" }, t("drillMaking")),
      this.trouble && el("p", { class: "warning", role: "alert" }, this.trouble),
      this.tellsHow && el("p", { class: "drill-how" }, t("drillHow"), " ", el("code", {}, DRILL_COMMAND), copyButton(said("copy"), () => DRILL_COMMAND)),
    );
  }

  /** The newest drill that was flown; where there is none, or one that failed on its way, one is made, by who may. */
  private async openDrill(): Promise<void> {
    const flown = this.state().flights.find((one) => one.is_drill);
    if (flown && this.drill?.state !== "failed") return this.openEvent(flown.event_id);
    if (canAdminister(this.state().session)) return this.follow(api.makeDrill());
    this.tellsHow = true;
    this.render();
  }

  /** Until it is made, and then it opens. A server that makes none says what does. */
  private async follow(asked: Promise<DrillStatus>): Promise<void> {
    this.trouble = "";
    try {
      this.drill = await asked;
      this.render();
      while (this.drill.state === "making") {
        await new Promise((done) => window.setTimeout(done, LOOK_MS));
        // a line that is down for a while says nothing of the drill
        this.drill = await api.drill().catch((error: unknown) => {
          if (error instanceof NetworkError && this.drill) return this.drill;
          throw error;
        });
      }
      if (this.drill.state === "failed") this.trouble = pickLanguage(this.drill.sentence_vi, this.drill.sentence);
    } catch (error) {
      this.drill = null;
      this.tellsHow = error instanceof ApiError && error.status === MAKES_NONE;
      if (!this.tellsHow) this.trouble = error instanceof ApiError ? error.message : said("noAnswer");
    }
    this.render();
    const made = this.drill?.state === "made" && (await api.flights().catch(() => [])).find((one) => one.is_drill);
    if (made) this.openEvent(made.event_id);
  }
}
