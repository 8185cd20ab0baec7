/** From any pixel back to its photo: the card that opens on a click. */

import { api, evidenceUrl, hasPhoto, previewUrl, type FlightInfo, type ObliquePhoto, type PhotoSource, type PixelSource, type Vn2000 } from "../api";
import { formatErrorM, commonShiftM } from "../caption";
import { copyButton, formatPlainLonLat, formatPlainVn2000 } from "../clipboard";
import { el, replaceChildren, setText } from "../dom";
import { t, formatWarning, type MessageKey } from "../i18n";
import { formatGsd, formatLonLat, formatPercent, formatVn2000 } from "../numbers";
import { formatRevision } from "../revisions";
import { formatAge, formatDate, formatTime, formatZoneNote } from "../time";

const POSE_WORDS: Record<string, MessageKey> = {
  gnss: "poseGnss",
  rtk: "poseRtk",
  registered: "poseRegistered",
  adjusted: "poseAdjusted",
};

const GROUND_WORDS: Record<PixelSource["ground"], MessageKey> = {
  own: "groundOwn",
  corrected: "groundCorrected",
  dem: "groundDem",
  plane: "groundPlane",
};

type Fact = [string, string | HTMLElement];

export interface PickedPoint {
  lon: number;
  lat: number;
  commune: string | null;
  flight: FlightInfo | null;
  pixel: PixelSource | null;
  /** Why nothing is known of the point although it was asked for; null where it is known. */
  unknown: PickFailure | null;
}

/** What the server said is wrong; null where it said nothing at all. */
export interface PickFailure {
  message: string | null;
}

/** What is seen from the side at a place, and photos with a spot on them. */
export interface PhotoPointActions {
  oblique: (lon: number, lat: number) => Promise<ObliquePhoto | null>;
  open: (photo: ObliquePhoto) => void;
}

/** Whether the reader may open originals and cover parts of them, and how that begins. */
export interface RedactionActions {
  may: () => boolean;
  cover: (photo: PhotoSource, after: () => void) => void;
}

export class PhotoCard {
  readonly element = el("aside", { class: "card", hidden: true, "aria-live": "polite" });
  private picked: PickedPoint | null = null;
  private says: (() => [string, HTMLElement[]]) | null = null;
  /** What of it changes with the clock alone, and how it read last. */
  private aged: () => string = () => "";
  private agedSaid = "";
  private readonly age = el("span", {});
  private readonly national = el("span", {});
  private readonly oblique = el("div", {});
  /** null: there is none, or no answer; undefined: that is being asked. */
  private nationalPlace: Vn2000 | null | undefined = undefined;
  private obliquePhoto: ObliquePhoto | null = null;

  constructor(
    private readonly onClose: () => void,
    private readonly covering: RedactionActions,
    private readonly looking: PhotoPointActions,
  ) {}

  show(picked: PickedPoint, nowMs: number): void {
    this.picked = picked;
    this.says = null;
    this.element.hidden = false;
    this.element.scrollTop = 0;
    [this.nationalPlace, this.obliquePhoto] = [undefined, null];
    this.render(nowMs);
    void this.askMore(picked);
  }

  /** What stands on the card once it is known. */
  private async askMore(picked: PickedPoint): Promise<void> {
    const { lon, lat } = picked;
    const isOpen = (): boolean => this.picked?.lon === lon && this.picked.lat === lat;
    void api.vn2000(lon, lat).catch(() => null).then((found) => {
      if (!isOpen()) return;
      this.nationalPlace = found;
      this.writeMore();
    });
    const oblique = await this.looking.oblique(lon, lat).catch(() => null);
    if (!isOpen()) return;
    this.obliquePhoto = oblique;
    this.writeMore();
  }

  private writeMore(): void {
    const [national, oblique] = [this.nationalPlace, this.obliquePhoto];
    replaceChildren(this.national, national ? formatVn2000(national).replace(/ {2}/g, "\n") : national === null ? "–" : "…", national && copyButton(t("copyOf", t("national")), () => formatPlainVn2000(national)));
    replaceChildren(this.oblique, oblique && el("button", { type: "button", class: "oblique-open", click: () => this.looking.open(oblique) }, t("obliqueOpen", formatTime(oblique.captured))));
  }

  /** Whether the card stands for a question that was not answered. */
  get isUnanswered(): boolean {
    return Boolean(this.picked?.unknown);
  }

  /** A commune that was searched: how much of it the shown flights imaged, which may be nothing. */
  showCommune(name: string, seen: [string, number][]): void {
    this.picked = null;
    this.says = null;
    const shares = seen.map(([flight, percent]): [string, string] => [flight, formatPercent(percent)]);
    replaceChildren(
      this.element,
      this.head(name),
      seen.length
        ? el("h3", {}, t("communeSeen"))
        : el("p", { class: "warning" }, t("communeNone")),
      seen.length > 0 && el("dl", {}, ...terms(shares)),
    );
    this.element.hidden = false;
  }

  /**
   * What something else on the map has to say for itself; written anew with the page, in its language, and when what
   * is `aged` by the clock reads otherwise.
   */
  tell(says: () => [string, HTMLElement[]], aged: () => string = () => ""): void {
    this.picked = null;
    this.says = says;
    this.aged = aged;
    this.agedSaid = aged();
    replaceChildren(this.element); // nothing of another card stays open
    this.element.hidden = false;
    this.element.scrollTop = 0;
    this.retell();
  }

  private retell(): void {
    if (!this.says) return;
    const [title, said] = this.says();
    if (said.every((node) => node.parentNode === this.element)) return;
    const open = this.element.querySelector("details[open]") !== null;
    replaceChildren(this.element, this.head(title), ...said);
    const details = this.element.querySelector("details");
    if (open && details) details.open = true;
  }

  /** For a card that was opened by a link, before the boundaries were there. */
  nameCommune(commune: string | null): void {
    if (!this.picked || this.picked.commune || !commune) return;
    this.picked = { ...this.picked, commune };
    this.render(Date.now());
  }

  /** The age moves with the clock; the photo is not fetched again. */
  tick(nowMs: number): void {
    if (this.picked?.pixel) setText(this.age, formatAge(this.picked.pixel.captured, nowMs));
    const aged = this.says ? this.aged() : this.agedSaid;
    if (aged === this.agedSaid) return;
    this.agedSaid = aged;
    this.retell();
  }

  close(): void {
    this.picked = null;
    this.says = null;
    this.element.hidden = true;
    this.onClose();
  }

  render(nowMs: number): void {
    this.retell();
    if (!this.picked) return;
    const { pixel, flight, unknown } = this.picked;
    this.writeMore();
    replaceChildren(
      this.element,
      this.head(pixel ? t("evidenceTitle") : unknown ? unansweredTitle(unknown) : t("evidenceNone")),
      flight?.is_drill && el("p", { class: "drill-line" }, `${t("drill")}: ${t("drillNote")}`),
      flight && flight.classification !== "open" && el("span", { class: "level-badge" }, t(flight.classification)),
      pixel && flight && this.photo(pixel, flight, nowMs),
      unknown?.message && el("p", {}, unknown.message),
      unknown && el("p", { class: "warning" }, t("evidenceUnknown")),
      !pixel && !unknown && el("p", {}, t("evidenceNoneText")),
      !pixel && el("dl", {}, ...terms(this.place())),
      this.oblique,
    );
  }

  private head(title: string): HTMLElement {
    const close = (): void => this.close();
    return el(
      "div",
      { class: "card-head" },
      el("h2", {}, title),
      el("button", { type: "button", class: "close", "aria-label": t("close"), click: close }, "×"),
    );
  }

  private photo(pixel: PixelSource, flight: FlightInfo, nowMs: number): HTMLElement {
    const source = hasPhoto(pixel) && !pixel.let_go ? pixel : null;
    const opened = this.covering.may() ? source : null;
    const image = source && el("img", {
      src: previewUrl(source.source_sha256),
      alt: t("previewAlt"),
      width: 320,
      height: 200,
      error: (e) => ((e.target as HTMLImageElement).hidden = true),
    });
    setText(this.age, formatAge(pixel.captured, nowMs));
    const pose = pixel.pose_source ? POSE_WORDS[pixel.pose_source] : undefined;
    const error: Fact[] = pixel.ground === "plane" ? [[t("positionError"), t("errorUnknown")]] : [];
    // how old and how far off it is, before all else: on a small screen the rest may lie below the fold
    const facts: Fact[] = [
      [t("time"), el("span", {}, `${[formatTime(pixel.captured), formatZoneNote(pixel.captured)].filter(Boolean).join(" ")}\n`, this.age)],
      ...(pixel.sigma_m === null ? error : errorFacts(pixel.sigma_m, commonShiftM(pixel), pose ? ` (${t(pose)})` : "")),
      [t("gsd"), formatGsd(pixel.gsd_m ?? pixel.pixel_m)],
      ...this.place(),
      [t("flight"), flight.name],
      ...(source ? [[t("photo"), source.source_name] satisfies Fact] : []),
      ...finished(pixel, flight),
    ];
    if (pixel.camera) facts.push([t("camera"), pixel.camera]);
    if (pixel.operator) facts.push([t("operator"), pixel.operator]);
    return el(
      "div",
      {},
      pixel.let_go
        ? el("p", { class: "warning" }, t("letGo", formatDate(pixel.let_go.at), pixel.let_go.by, pixel.let_go.box))
        : opened && image ? el("a", { href: evidenceUrl(opened.source_sha256), target: "_blank", rel: "noopener" }, image) : image,
      ...flight.warnings.map((one) => el("p", { class: "warning" }, formatWarning(one, pixel.revision > 0))),
      el("dl", {}, ...terms(facts)),
      pixel.settled && pixel.settled.length > 0 &&
        el(
          "details",
          {},
          el("summary", {}, t("settled")),
          el("ul", {}, ...pixel.settled.map((line) => el("li", {}, line))),
        ),
      opened && el(
        "a",
        { class: "button", href: evidenceUrl(opened.source_sha256), target: "_blank", rel: "noopener" },
        t("openOriginal"),
      ),
      source?.spot && el("button", { type: "button", class: "spot-open", click: () => this.looking.open(source) }, t("spotOpen")),
      opened && image &&
        el("button", { type: "button", class: "cover-part", click: () => this.covering.cover(opened, () => (image.src = `${previewUrl(opened.source_sha256)}&at=${Date.now()}`)) }, t("coverPart")),
    );
  }

  private place(): Fact[] {
    if (!this.picked) return [];
    const { lon, lat, commune } = this.picked;
    const place: Fact[] = commune ? [[t("commune"), commune]] : [];
    const here = el("span", {}, formatLonLat(lon, lat, "\n"), copyButton(t("copyOf", t("location")), () => formatPlainLonLat(lon, lat)));
    return [...place, [t("location"), here], [t("national"), this.national]];
  }
}

function unansweredTitle({ message }: PickFailure): string {
  return message === null ? t("noAnswerTitle") : t("serverError");
}

/** How far off the place may be, as every caption says it; below, what of that is the picture's own and what is the same everywhere. */
function errorFacts(ownM: number, commonM: number, pose: string): Fact[] {
  const said = (metres: number): string => `± ${formatErrorM(metres)} m`;
  if (commonM === 0) return [[t("positionError"), said(ownM) + pose]];
  const parts = el("small", { class: "error-parts" }, `${t("ownError")} ${said(ownM)}${pose}\n${t("commonShift")} ${said(commonM)}`);
  return [[t("positionError"), el("span", {}, `${said(Math.hypot(ownM, commonM))}\n`, parts)]];
}

/** What a finished revision knows beside: which it is, and whose ground this is. */
function finished({ revision, finished: known, ground }: PixelSource, flight: FlightInfo): Fact[] {
  const lies: Fact = [t("groundOf"), t(GROUND_WORDS[ground])];
  return [[t("revision"), formatRevision(flight, known ? revision : 0)], lies];
}

function terms(facts: Fact[]): HTMLElement[] {
  return facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);
}
