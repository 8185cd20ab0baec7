/** What the heads say: a sketch of the ground each photo sees, with gaps, and the sentences of the doctor. */

import { el } from "../dom";
import { pickLanguage } from "../i18n";
import { formatNumber } from "../numbers";
import type { BilingualSentence, UploadPreview, UploadResult, VideoPreview } from "./client";
import { t } from "./texts";

const SMEARED_PX = 1.5;
/** Good news that must be told: heads alone had left it open. */
const SETTLING = ["edited", "turned"];
const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = 8;
const MOST_SENTENCES = 6;
const SVG = "http://www.w3.org/2000/svg";

/** `laid`: what came of the photos, if they are on the map. */
export function renderPreview(look: UploadPreview, laid: UploadResult | null): HTMLElement {
  if (look.error) return el("section", { class: "look" }, title(), el("div", laid?.doctor ? {} : { class: "warning" }, sentences(look, laid)));
  if (!look.frames) return el("section", { class: "look" }, title(), films(look));
  const facts = [t("lookUsable", look.usable, look.frames), look.gaps.length ? t("lookGaps", look.gaps.length) : t("lookNoGaps"), smearOf(look)];
  return el(
    "section",
    { class: "look" },
    title(),
    el("ul", { class: "look-facts" }, ...facts.map((fact) => el("li", {}, fact))),
    sketch(look),
    key(look),
    sentences(look, laid),
    films(look),
  );
}

/** Each film with the log that says where it was filmed, or what is missing. */
function films(look: UploadPreview): HTMLElement | false {
  if (!look.films.length) return false;
  const line = (one: VideoPreview): HTMLElement =>
    one.log ? el("li", {}, t("filmBy", one.name, one.log)) : el("li", { class: "warning" }, pickLanguage(one.sentence_vi, one.sentence));
  return el("ul", { class: "look-films" }, ...look.films.map(line));
}

const title = (): HTMLElement => el("h2", {}, t("look"));

function smearOf(look: UploadPreview): string {
  if (!look.smear_known) return t("lookNoSmear");
  return look.smeared ? t("lookSmeared", look.smeared, formatNumber(look.worst_smear_px ?? 0, 1)) : t("lookSharp");
}

function key(look: UploadPreview): HTMLElement {
  const one = (kind: string, text: string): HTMLElement => el("li", {}, el("span", { class: `key ${kind}` }), text);
  return el(
    "ul",
    { class: "look-key" },
    one("photo", t("keyPhoto")),
    look.smeared > 0 && one("smeared", t("keySmeared")),
    look.gaps.length > 0 && one("gap", t("keyGap")),
  );
}

/** Once the photos are laid, what was found in all of their pixels stands for what their heads left open, or refused. */
export function listFindings(look: UploadPreview, laid: UploadResult | null): BilingualSentence[] {
  const isLaid = Boolean(laid?.doctor);
  if (look.error && !isLaid) return [{ sentence: look.sentence ?? "", sentence_vi: look.sentence_vi ?? "" }];
  const doctor = (laid?.doctor ?? look.problems).filter((one) => one.severity !== "info" || SETTLING.includes(one.code));
  return [...doctor, ...(look.error ? [] : look.gaps), ...((isLaid && laid?.rejections) || look.rejections || [])];
}

function sentences(look: UploadPreview, laid: UploadResult | null): HTMLElement {
  const said = listFindings(look, laid);
  const rest = said.length - MOST_SENTENCES;
  return el(
    "ul",
    { class: "look-said" },
    ...said.slice(0, MOST_SENTENCES).map((one) => el("li", {}, pickLanguage(one.sentence_vi, one.sentence))),
    rest > 0 && el("li", {}, t("more", rest)),
  );
}

/** North up; a degree of longitude is shorter than one of latitude by the cosine of the latitude. */
function sketch(look: UploadPreview): Element {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("class", "sketch");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", t("lookMap"));
  const rings: { kind: string; ring: number[][] }[] = [
    ...look.photos.map(({ outline, smear_px }) => ({ kind: (smear_px ?? 0) > SMEARED_PX ? "smeared" : "photo", ring: outline })),
    ...look.gaps.map(({ polygon }) => ({ kind: "gap", ring: polygon.coordinates[0] ?? [] })),
  ];
  const points = rings.flatMap(({ ring }) => ring);
  const lons = points.map((point) => point[0] ?? 0);
  const lats = points.map((point) => point[1] ?? 0);
  const [west, south, north] = [least(lons), least(lats), -least(lats.map((lat) => -lat))];
  const shrink = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const broad = (-least(lons.map((lon) => -lon)) - west) * shrink || 1e-6;
  const scale = Math.min((WIDTH - 2 * MARGIN) / broad, (HEIGHT - 2 * MARGIN) / (north - south || 1e-6));
  const left = (WIDTH - broad * scale) / 2;
  const top = (HEIGHT - (north - south) * scale) / 2;
  for (const { kind, ring } of rings) {
    const polygon = document.createElementNS(SVG, "polygon");
    const place = ([lon = 0, lat = 0]: number[]): string =>
      `${(left + (lon - west) * shrink * scale).toFixed(1)},${(top + (north - lat) * scale).toFixed(1)}`;
    polygon.setAttribute("points", ring.map(place).join(" "));
    polygon.setAttribute("class", kind);
    svg.append(polygon);
  }
  return svg;
}

const least = (values: number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity);
