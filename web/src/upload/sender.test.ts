import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { readCard } from "./cardFiles";
import { UploadClient, type OpenedUpload, type UploadFile } from "./client";
import { Sender } from "./sender";
import { sha256 } from "./sha256";

const KIB = 1024;
/** Of the clock on the wall: what is read and digested takes its time, which is none of the line's. */
const setRealTimeout = setTimeout;
type Fate = "kept" | "lost answer" | "lost" | "conflict";

/** Keeps what is sent, as the server does; `fates`: what comes of the first pieces. */
class Kept extends UploadClient {
  readonly asked: { path: string; method: string; offset: number; length: number }[] = [];
  readonly stored: Record<string, Uint8Array> = {};
  readonly heads: number[][] = [];
  fates: Fate[] = [];
  tookMs = 0;

  override async once(path: string, { method = "GET", headers, body }: RequestInit = {}): Promise<Response | null> {
    const number = path.split("/").pop() ?? "";
    if (number === "heads") return this.keepHeads(body as Blob);
    const stored = this.stored[number] ?? new Uint8Array();
    const said = (status: number, length: number): Response => new Response(null, { status, headers: { "Upload-Offset": String(length) } });
    const data = (body ?? new Uint8Array()) as Uint8Array<ArrayBuffer>;
    const { "Upload-Offset": offset, "Upload-Checksum": checksum } = (headers ?? {}) as Record<string, string>;
    this.asked.push({ path, method, offset: Number(offset) / KIB, length: data.length / KIB });
    if (method === "HEAD") return said(200, stored.length);
    if (this.tookMs) await new Promise((done) => setTimeout(done, this.tookMs));
    const fate = this.fates.shift() ?? "kept";
    if (fate === "lost") return null;
    if (fate === "conflict" || Number(offset) !== stored.length) return said(409, stored.length);
    expect(checksum).toBe(`sha256 ${await sha256(data)}`);
    this.stored[number] = Uint8Array.from([...stored, ...data]);
    return fate === "lost answer" ? null : said(204, stored.length + data.length);
  }

  of(method: string): Kept["asked"] {
    return this.asked.filter((one) => one.method === method);
  }

  /** Each record: number, length, bytes. */
  private async keepHeads(body: Blob): Promise<Response> {
    const view = new DataView(await new Response(body.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
    const [numbers, offsets]: [number[], number[]] = [[], []];
    for (let at = 0; at < view.byteLength; at += 8 + view.getUint32(at + 4)) {
      numbers.push(view.getUint32(at));
      offsets.push(view.getUint32(at + 4));
      this.stored[view.getUint32(at)] = new Uint8Array(view.buffer.slice(at + 8, at + 8 + view.getUint32(at + 4)));
    }
    this.heads.push(numbers);
    return Response.json({ numbers, offsets });
  }
}

async function send(sizes: Record<string, number>, change: (server: Kept, parts: UploadFile[]) => void = () => undefined): Promise<{ server: Kept; sender: Sender }> {
  const files = Object.entries(sizes).map(([name, size]) => new File([Uint8Array.from({ length: size }, (_, n) => (n * 7) & 0xff)], name));
  const server = new Kept();
  const parts = files.map(({ name: path, size }, number) => ({ number, path, size, offset: 0 }));
  change(server, parts);
  const sender = new Sender(server, readCard(files), () => undefined);
  let isOver = false;
  const sending = sender.send({ upload_id: "u", heads: 0, parts } as unknown as OpenedUpload).finally(() => (isOver = true));
  while (!isOver) {
    await new Promise((done) => setRealTimeout(done, 0));
    if (vi.getTimerCount()) await vi.advanceTimersToNextTimerAsync();
  }
  await sending;
  return { server, sender };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each([
  ["quick", 0, 3000, [256, 512, 1024, 1208]], ["neither quick nor slow", 3000, 600, [256, 256, 88]], ["slow", 8500, 600, [256, 128, 64, 64, 64, 24]],
])("on a line that is %s (%i ms a piece), %i KiB go in pieces of %j KiB", async (_, tookMs, size, pieces) => {
  const { server, sender } = await send({ "a.mp4": size * KIB }, (kept) => (kept.tookMs = tookMs));
  expect(server.of("PATCH").map(({ length }) => length)).toEqual(pieces);
  expect([sender.bytes, server.stored["0"]?.length, server.stored["0"]?.[300_001]]).toEqual([size * KIB, size * KIB, (300_001 * 7) & 0xff]);
});

test("it goes on where the server has got to, and sends nothing of what is there", async () => {
  const { server, sender } = await send({ "a.mp4": 300 * KIB, "b.mp4": 10 }, (kept, parts) => {
    [parts[0]!.offset, parts[1]!.offset] = [100 * KIB, 10];
    kept.stored["0"] = new Uint8Array(100 * KIB);
  });
  expect(server.asked).toEqual([{ path: "/files/u/0", method: "PATCH", offset: 100, length: 200 }]);
  expect(sender.bytes).toBe(300 * KIB + 10);
});

test.each([
  [["lost answer"], 0, [0, 256]], [["lost"], 0, [0, 0, 128]], [["lost", "lost", "lost"], 0, [0, 0, 0, 0, 64]], [["conflict"], 0, [0, 0, 256]],
  [[], 200, [200, 0, 256]], // it has less than it said
] as [Fate[], number, number[]][])("after %j, from %i KiB on, the server is asked how far it is, and each byte is kept once", async (fates, from, offsets) => {
  const { server, sender } = await send({ "a.mp4": 300 * KIB }, (kept, parts) => ([kept.fates, parts[0]!.offset] = [fates, from * KIB]));
  expect(server.of("HEAD").length).toBe(Math.max(offsets.filter((offset) => offset === 0).length - 1, 1));
  expect(server.of("PATCH").map(({ offset }) => offset).slice(0, offsets.length)).toEqual(offsets);
  expect([server.stored["0"]?.length, sender.bytes]).toEqual([300 * KIB, 300 * KIB]);
});

test("heads of photos that are not begun go together before the first piece, and count as bytes", async () => {
  const { server, sender } = await send({ "1.jpg": 100 * KIB, "2.jpg": 50, "film.mp4": 10, "3.jpg": 100 * KIB }, (kept, parts) => {
    parts[3]!.offset = 70 * KIB;
    kept.stored["3"] = new Uint8Array(70 * KIB);
  });
  expect([server.heads, sender.heads, sender.bytes]).toEqual([[[0, 1]], 2, 200 * KIB + 60]);
  expect(server.of("PATCH").map(({ path, offset }) => [path, offset]).sort()).toEqual([["/files/u/0", 64], ["/files/u/2", 0], ["/files/u/3", 70]]);
});

test("more heads than a request holds go in several", async () => {
  const { server, sender } = await send(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${n}.png`, 64 * KIB])));
  expect([server.heads.map((numbers) => numbers.length), sender.heads, sender.bytes, server.asked]).toEqual([[16, 4], 20, 20 * 64 * KIB, []]);
});
