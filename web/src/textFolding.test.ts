import { expect, test } from "vitest";
import { foldAccents, toSentenceCase } from "./textFolding";

test.each([
  ["Phường Cầu Thia", "phuong cau thia"], ["ĐẮK LẮK", "dak lak"], ["Xã Ỷ Tý", "xa y ty"], [" Bản Lầu ", "ban lau"],
  ["Ba\u0309n La\u0302\u0300u", "ban lau"], // typed letter by letter, as some keyboards do
  ["02704", "02704"],
])("%s is looked for as the server looks for it (`model.text.to_search_key`)", (name, key) => {
  expect(foldAccents(name)).toBe(key);
  expect(foldAccents(key)).toBe(key);
});

test("two spaces within a name are one, as for the server", () => expect(foldAccents("Bản  Lầu")).toBe("ban lau"));

test.each([
  ["Trạm BTS", "trạm BTS"], ["Đường", "đường"], ["", ""],
])("%s within a sentence", (text, said) => expect(toSentenceCase(text)).toBe(said));
