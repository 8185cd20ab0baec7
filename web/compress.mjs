/** Beside each part of the built page, itself made as small as it can be made: once, not for each who asks. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const PARTS = new URL("../flycam/serve/static/assets/", import.meta.url);
const WAYS = {
  br: (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length, [constants.BROTLI_PARAM_LGWIN]: 22 } }),
  gz: (bytes) => gzipSync(bytes, { level: 9 }),
};

for (const name of readdirSync(PARTS).filter((one) => /\.(js|css)$/.test(one))) {
  const bytes = readFileSync(new URL(name, PARTS));
  for (const [ending, compressed] of Object.entries(WAYS)) writeFileSync(new URL(`${name}.${ending}`, PARTS), compressed(bytes));
}
