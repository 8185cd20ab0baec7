/** Sends a card: heads of all photos first, then logs, photos, films, each byte until it is acknowledged. */

import { readHead, type Card, type CardFile } from "./cardFiles";
import { pause, type OpenedUpload, type UploadFile, type UploadClient } from "./client";
import { sha256 } from "./sha256";

const HEADS_AT_ONCE = 1 << 20;
const [SMALLEST, FIRST, LARGEST] = [64 << 10, 256 << 10, 4 << 20];
const [QUICK_MS, SLOW_MS] = [1500, 8000];
const SENDERS = 3;
const RETRY_MS = 1000;

export class Sender {
  /** Acknowledged bytes and heads. */
  bytes = 0;
  heads = 0;
  private chunk = FIRST;

  constructor(
    private readonly server: UploadClient,
    private readonly card: Card,
    private readonly moved: () => void,
  ) {}

  announce(name: string, event: string): Promise<OpenedUpload> {
    // of two of one name the server takes the first
    const files = [...this.card.files, ...this.card.unsent].map(({ path, file }) => ({
      path,
      size: file.size,
      modified_ms: Math.max(0, Math.round(file.lastModified)),
    }));
    const body = JSON.stringify({ files, folder: this.card.folder, name: name || null, event: event || null });
    return this.server.json("/api/uploads", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  }

  /** All bytes of the card. Throws Refused, and what reading a file throws. */
  async send(opened: OpenedUpload): Promise<void> {
    const files = new Map(this.card.files.map((one) => [one.path, one]));
    this.bytes = opened.parts.reduce((sum, part) => sum + part.offset, 0);
    this.heads = opened.heads;
    await this.sendHeads(opened, files);
    const parts = new Map(opened.parts.map((part) => [part.path, part]));
    const todo = this.card.files.flatMap(({ path }) => parts.get(path) ?? []).filter((part) => part.offset < part.size);
    const work = async (): Promise<void> => {
      for (let part = todo.shift(); part; part = todo.shift()) {
        const here = files.get(part.path);
        if (here) await this.sendFile(opened.upload_id, part, here.file);
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, work));
  }

  private async sendHeads(opened: OpenedUpload, files: Map<string, CardFile>): Promise<void> {
    let records: { part: UploadFile; head: Uint8Array<ArrayBuffer> }[] = [];
    let size = 0;
    const flush = async (): Promise<void> => {
      const pieces = records.flatMap(({ part, head }) => [recordOf(part.number, head.length), head]);
      const sent = records;
      [records, size] = [[], 0];
      if (sent.length) await this.sendPacked(opened.upload_id, sent, new Blob(pieces));
    };
    for (const part of opened.parts) {
      const here = files.get(part.path);
      if (part.offset || here?.kind !== "photo") continue;
      const head = await readHead(here.file);
      if (size + head.length > HEADS_AT_ONCE) await flush();
      records.push({ part, head });
      size += head.length;
    }
    await flush();
  }

  private async sendPacked(id: string, sent: { part: UploadFile }[], body: Blob): Promise<void> {
    const [packed, encoding] = await gzipped(body);
    const headers = { "Content-Type": "application/vnd.flycam.heads", ...encoding };
    const said = await this.server.json<{ numbers: number[]; offsets: number[] }>(`/api/uploads/${id}/heads`, {
      method: "POST",
      headers,
      body: packed,
    });
    const at = new Map(said.numbers.map((number, i) => [number, said.offsets[i] ?? 0]));
    for (const { part } of sent) this.reach(part, at.get(part.number) ?? 0);
    this.heads += sent.length;
    this.moved();
  }

  private async sendFile(id: string, part: UploadFile, file: File): Promise<void> {
    const where = `/files/${id}/${part.number}`;
    while (part.offset < part.size) {
      const data = new Uint8Array(await file.slice(part.offset, part.offset + this.chunk).arrayBuffer());
      const headers = {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": String(part.offset),
        "Upload-Checksum": `sha256 ${await sha256(data)}`,
      };
      const beganMs = performance.now();
      const answer = await this.server.once(where, { method: "PATCH", headers, body: data });
      const tookMs = performance.now() - beganMs;
      if (answer?.status === 204) {
        this.reach(part, Number(answer.headers.get("Upload-Offset")));
        if (tookMs < QUICK_MS) this.chunk = Math.min(2 * this.chunk, LARGEST);
      } else {
        if (!answer) await pause(RETRY_MS);
        const head = await this.server.ask(where, { method: "HEAD" });
        this.reach(part, Number(head.headers.get("Upload-Offset")));
      }
      if (!answer || tookMs > SLOW_MS) this.chunk = Math.max(this.chunk / 2, SMALLEST);
      this.moved();
    }
  }

  private reach(part: UploadFile, offset: number): void {
    this.bytes += offset - part.offset;
    part.offset = offset;
  }
}

/** Makers pad their notes with zeros: packed, a head is a fifth. Old browsers send it as it is. */
async function gzipped(body: Blob): Promise<[Blob, Record<string, string>]> {
  if (typeof CompressionStream === "undefined") return [body, {}];
  const packed = await new Response(body.stream().pipeThrough(new CompressionStream("gzip"))).blob();
  return [packed, { "Content-Encoding": "gzip" }];
}

function recordOf(number: number, length: number): ArrayBuffer {
  const record = new DataView(new ArrayBuffer(8));
  record.setUint32(0, number);
  record.setUint32(4, length);
  return record.buffer;
}
