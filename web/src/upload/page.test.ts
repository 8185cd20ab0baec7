import { expect, test } from "vitest";
import type { UploadStatus } from "./client";
import { laidOf } from "./page";
import { t } from "./texts";

const at = (change: Partial<UploadStatus>): UploadStatus => ({ stage: "laying", files: 10, photos: 8, laid: null, progress: null, ...change }) as UploadStatus;
const progress = (stage: string, done: number, total: number) => ({ progress: { stage, done, total } });
const used = { frames: { read: 8, used: 6 } };

test.each([
  [at({ stage: "receiving" }), 0, t("waiting")], [at({ stage: "keeping" }), 0, t("waiting")], [at({}), 0, t("laying")],
  [at(progress("look", 0, 0)), 0, `${t("layingLook")} 0/0`], [at(progress("look", 4, 8)), 0.1, `${t("layingLook")} 4/8`],
  [at(progress("rectify", 4, 8)), 0.5, `${t("layingRectify")} 4/8`], [at(progress("rectify", 8, 8)), 0.8, `${t("layingRectify")} 8/8`],
  [at(progress("communes", 8, 8)), 0.99, `${t("layingCommunes")} 8/8`], // not before it is on the map
  [at(progress("of_a_newer_server", 1000, 2000)), 0.5, `${t("laying")} 1.000/2.000`], [at({ laid: used }), 0.8, `${t("laidUsed", 6, 8)} · ${t("filmsFollow")}`],
  [at({ stage: "failed", laid: used }), 0, t("failed")], [at({ stage: "laid" }), 1, t("done")], [at({ stage: "laid", laid: used }), 1, t("laidUsed", 6, 8)],
  [at({ stage: "laid", laid: { ...used, films: [{ name: "a", frames: 30, sentence: "", sentence_vi: "" }, { name: "b", frames: 0, sentence: "", sentence_vi: "" }] } }), 1, `${t("laidUsed", 6, 8)} · ${t("laidPictures", 30)}`],
])("case %# of a card is on the map by its share", (now, share, said) => {
  const [is, text] = laidOf(now);
  expect(is).toBeCloseTo(share, 9);
  expect(text).toBe(said);
});
