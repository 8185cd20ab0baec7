import { expect, test } from "vitest";
import type { UploadPreview } from "./client";
import { listFindings } from "./previewPanel";

const said = (sentence: string) => ({ sentence, sentence_vi: sentence });
const refused = { error: "InputUnusable", ...said("no photo can be placed") } as unknown as UploadPreview;
const blurred = { code: "blur", severity: "warning", ...said("a.jpg: blurred") };
const cut = said("d.jpg: cut off");

test("a refusal of the heads gives way to what was found in the laid photos", () => {
  expect(listFindings(refused, null)).toEqual([said("no photo can be placed")]);
  expect(listFindings(refused, { films: [] })).toEqual([said("no photo can be placed")]);
  expect(listFindings(refused, { doctor: [blurred], rejections: [cut] })).toEqual([blurred, cut]);
  expect(listFindings(refused, { doctor: [] })).toEqual([]);
});
