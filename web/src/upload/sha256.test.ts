import { afterEach, describe, expect, test, vi } from "vitest";
import { plainSha256, sha256, sha256OfBlob } from "./sha256";

const hex = (digest: Uint8Array): string => Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytesOf = (length: number): Uint8Array<ArrayBuffer> => Uint8Array.from({ length }, (_, n) => (n * 131 + (n >> 8)) & 0xff);

const own = crypto;
afterEach(() => void vi.stubGlobal("crypto", own));

test.each([
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"], ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"],
])("of %j (FIPS 180-4)", (text, digest) => expect(hex(plainSha256(new TextEncoder().encode(text)))).toBe(digest));

describe("without the browser's own", () => {
  test.each([1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000, 8 * 2 ** 20 + 77])("%i bytes come to the same", async (length) => {
    const data = bytesOf(length);
    const digest = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", data)));
    expect(hex(plainSha256(data))).toBe(digest);
    expect(hex(await sha256OfBlob(new Blob([data])))).toBe(digest);
  });

  test("what is sent beside a piece is the same", async () => {
    const withIt = await sha256(bytesOf(100));
    vi.stubGlobal("crypto", {});
    expect(await sha256(bytesOf(100))).toBe(withIt);
    expect(await sha256(new Uint8Array())).toBe("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  });
});
