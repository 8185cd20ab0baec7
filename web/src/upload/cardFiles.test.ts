import { describe, expect, test } from "vitest";
import { readCard, readHead } from "./cardFiles";

function makeFile(path: string, size = 1): File {
  const file = new File([new Uint8Array(size)], path.split("/").pop() ?? "");
  return path.includes("/") ? Object.defineProperty(file, "webkitRelativePath", { value: path }) : file;
}

describe("a card", () => {
  test("is sent logs first, then photos, then films, each in the order of the card", () => {
    const card = readCard(["DCIM/b.MP4", "DCIM/2.jpg", "DCIM/b.SRT", "DCIM/1.JPG", "DCIM/a.mov", "DCIM/log.BIN"].map((path) => makeFile(path)));
    expect(card.files.map(({ path, kind }) => [path, kind])).toEqual([
      ["b.SRT", "log"], ["log.BIN", "log"], ["2.jpg", "photo"], ["1.JPG", "photo"], ["b.MP4", "film"], ["a.mov", "film"],
    ]);
    expect([card.folder, card.unsent, card.left]).toEqual(["DCIM", [], 0]);
  });

  /** The endings of `ingest.photos.photo_search.PHOTO_SUFFIXES`, `metadata.VIDEO_SUFFIXES`, `LOG_SUFFIXES`. */
  test.each([
    ["photo", ["jpg", "jpeg", "jpe", "mpo", "tif", "tiff", "png"]], ["film", ["mp4", "mov", "m4v", "mkv", "ts"]],
    ["log", ["srt", "tlog", "bin", "ulg", "log", "klv"]],
  ])("%s files are those that the server takes", (kind, endings) => {
    const card = readCard(endings.flatMap((ending) => [makeFile(`a.${ending}`), makeFile(`B.${ending.toUpperCase()}`)]));
    expect(card.files.map((one) => one.kind)).toEqual(Array(2 * endings.length).fill(kind));
  });

  test.each(["a.txt", "a.jpg.part", "jpg", "DCIM/.trash/a.jpg", "DCIM/@eaDir/a.jpg", "DCIM/._a.jpg", "a.lrf"])("%s stays", (path) => {
    expect(readCard([makeFile(path)])).toMatchObject({ files: [], unsent: [], left: 1 });
  });

  test("a photo without bytes and a second one of a name are told and not sent; an empty log is nothing", () => {
    const list = [makeFile("a.jpg"), makeFile("a.jpg"), makeFile("empty.jpg", 0), makeFile("empty.srt", 0)];
    const card = readCard(list);
    expect([card.files.map((one) => one.file), card.unsent.map((one) => one.path), card.left]).toEqual([[list[0]], ["a.jpg", "empty.jpg"], 1]);
  });

  test("a name is composed, as the server does it, and folders below the chosen one are part of it", () => {
    const card = readCard(["Thẻ/1/Lầu.jpg", "Thẻ/1/Lầu.jpg".normalize("NFD"), "Thẻ/2/Lầu.jpg"].map((path) => makeFile(path)));
    expect([card.files.map((one) => one.path), card.unsent.length]).toEqual([["1/Lầu.jpg".normalize("NFC"), "2/Lầu.jpg".normalize("NFC")], 1]);
  });
});

describe("a head", () => {
  const segment = (code: number, length: number): number[] => [0xff, code, (length + 2) >> 8, (length + 2) & 0xff, ...Array<number>(length).fill(7)];
  const lengthOf = async (bytes: number[], size = 300_000): Promise<number> => {
    const data = new Uint8Array(size);
    data.set(bytes.slice(0, size));
    return (await readHead(new File([data], "a.jpg"))).length;
  };
  const [start, scan] = [[0xff, 0xd8], segment(0xda, 10)];

  test("of a JPEG ends where its scan begins", async () => {
    const bytes = [...start, ...segment(0xe1, 30_000), ...segment(0xe2, 60_000), ...scan];
    expect(await lengthOf(bytes)).toBe(bytes.length);
  });

  test.each([
    ["a file that is no JPEG", [0x49, 0x49, 42, 0], 300_000, 65_536], ["a file shorter than that", [0x49, 0x49, 42, 0], 1000, 1000],
    ["a JPEG that makes no sense", [...start, 0xff, 0xe1, 0, 0], 300_000, 65_536],
    ["a JPEG whose notes go beyond what is read", [...start, ...Array<number[]>(6).fill(segment(0xe2, 65_000)).flat()], 400_000, 262_144],
    ["a JPEG that was cut", [...start, ...segment(0xe1, 30_000)], 20_000, 20_000],
  ])("of %s", async (_, bytes, size, length) => expect(await lengthOf(bytes, size)).toBe(length));
});
