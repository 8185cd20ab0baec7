import { describe, expect, test } from "vitest";
import type { Warning } from "./api";
import { formatWarning, pickLanguage, setLanguage, translateOr, translator } from "./i18n";

type Words = Record<string, [string, string]>;

/** Every list of words as it is written, the page's own and those of its rooms. */
const SOURCES = import.meta.glob<string>(["./i18n.ts", "./*/texts.ts"], { query: "?raw", import: "default", eager: true });

function wordsOf(source: string): Words {
  const [, literal] = /^const words = (\{.*?^\}) satisfies /ms.exec(source) ?? [];
  return new Function(`return ${literal}`)() as Words;
}

const placeholders = (text: string): string[] => [...new Set(text.match(/\{\d\}/g))].sort();

describe.each(Object.entries(SOURCES))("%s", (_, source) => {
  const words = Object.entries(wordsOf(source));

  test("no word is missing in either language", () => {
    expect([words.length, Object.keys(SOURCES).length]).toEqual([source.match(/^ {2}\w+: \[/gm)?.length, 10]);
    expect(words.filter(([, pair]) => pair.length !== 2 || pair.some((text) => !text.trim()))).toEqual([]);
  });

  test("both languages say the same values, counted from 0", () => {
    const strange = words.filter(([, [vi, en]]) => {
      const used = placeholders(vi);
      return used.join() !== placeholders(en).join() || used.some((place, n) => place !== `{${n}}`);
    });
    expect(strange).toEqual([]);
  });

  test("letters are composed, spaces are single, and no word is said that means another thing", () => {
    const strange = words.flatMap(([key, pair]) => pair.filter((text) => text !== text.normalize("NFC") || /^\s|\s$| {2}/.test(text)).map(() => key));
    expect(strange).toEqual([]);
    expect(source.toLowerCase()).not.toContain("địa nhiệt"); // of the ground's heat: not a thermal picture
  });
});

test("a code has its word, and one of a newer server is told as it is", () => {
  expect([translateOr("reason_duplicate", "?"), translateOr("reason_of_a_newer_server", "?")]).toEqual(["trùng lặp", "?"]);
});

test.each(["Bản Lầu", "{1}", "{0}", "$&", "$1"])("the value %s is filled in where each language has it, and is no place for another", (name) => {
  const said = translator({ of: ["{0} của {1}, {1}", "{1}: {0}"] });
  expect(said("of", name, 0)).toBe(`${name} của 0, 0`);
  setLanguage("en");
  expect(said("of", name, 0)).toBe(`0: ${name}`);
});

test("a language turns the page's own words and those of the server", () => {
  const warning: Warning = { code: null, sentence: "", sentence_vi: "", brief: "b", brief_vi: "bv", finished: "f", finished_vi: "fv" };
  expect([pickLanguage("v", "e"), formatWarning(warning, false), formatWarning(warning, true), document.documentElement.lang]).toEqual(["v", "bv", "fv", "vi"]);
  setLanguage("en");
  expect([pickLanguage("v", "e"), formatWarning(warning, false), formatWarning(warning, true), document.documentElement.lang]).toEqual(["e", "b", "f", "en"]);
});
