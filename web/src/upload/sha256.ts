/** SHA-256 of a piece of a file, base64. A page from a plain http address of a field network has no `crypto.subtle`. */

const K = new Uint32Array(64);
const START = new Uint32Array(8);
const BLOCK = 64;
const PIECE = 8 * 2 ** 20;

/** The constants are the first 32 bits of the fractions of the roots of primes (FIPS 180-4, 4.2.2, 5.3.3). */
function fill(): void {
  const fraction = (x: number): number => ((x - Math.floor(x)) * 2 ** 32) >>> 0;
  let n = 0;
  for (let candidate = 2; n < 64; candidate++) {
    let isPrime = true;
    for (let d = 2; d * d <= candidate; d++) if (candidate % d === 0) isPrime = false;
    if (!isPrime) continue;
    if (n < 8) START[n] = fraction(Math.sqrt(candidate));
    K[n++] = fraction(Math.cbrt(candidate));
  }
}
fill();

export async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = crypto.subtle ? new Uint8Array(await crypto.subtle.digest("SHA-256", data)) : plainSha256(data);
  return btoa(String.fromCharCode(...digest));
}

export function plainSha256(data: Uint8Array): Uint8Array {
  const whole = data.length - (data.length % BLOCK);
  const hash = START.slice();
  const words = new Uint32Array(64);
  for (let at = 0; at < whole; at += BLOCK) block(hash, words, data, at);
  return ended(hash, words, data.subarray(whole), data.length);
}

/** Of a file of any size, piece by piece. */
export async function sha256OfBlob(blob: Blob): Promise<Uint8Array> {
  const whole = blob.size - (blob.size % BLOCK);
  const hash = START.slice();
  const words = new Uint32Array(64);
  const read = async (from: number, to: number): Promise<Uint8Array> => new Uint8Array(await new Response(blob.slice(from, to)).arrayBuffer());
  for (let from = 0; from < whole; from += PIECE) {
    const piece = await read(from, Math.min(from + PIECE, whole));
    for (let at = 0; at < piece.length; at += BLOCK) block(hash, words, piece, at);
  }
  return ended(hash, words, await read(whole, blob.size), blob.size);
}

/** The rest, less than a block, and how long all of it is. */
function ended(hash: Uint32Array, words: Uint32Array, rest: Uint8Array, length: number): Uint8Array {
  const tail = new Uint8Array(rest.length < 56 ? BLOCK : 2 * BLOCK);
  tail.set(rest);
  tail[rest.length] = 0x80;
  const view = new DataView(tail.buffer);
  view.setUint32(tail.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(tail.length - 4, (length * 8) >>> 0);
  for (let at = 0; at < tail.length; at += BLOCK) block(hash, words, tail, at);
  const out = new DataView(new ArrayBuffer(32));
  hash.forEach((word, i) => out.setUint32(4 * i, word));
  return new Uint8Array(out.buffer);
}

function block(hash: Uint32Array, w: Uint32Array, data: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    const j = at + 4 * i;
    w[i] = (data[j]! << 24) | (data[j + 1]! << 16) | (data[j + 2]! << 8) | data[j + 3]!;
  }
  for (let i = 16; i < 64; i++) {
    const p = w[i - 15]!;
    const q = w[i - 2]!;
    const s0 = ((p >>> 7) | (p << 25)) ^ ((p >>> 18) | (p << 14)) ^ (p >>> 3);
    const s1 = ((q >>> 17) | (q << 15)) ^ ((q >>> 19) | (q << 13)) ^ (q >>> 10);
    w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
  }
  let [a, b, c, d, e, f, g, h] = hash as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (hash[i] = hash[i]! + word));
}
