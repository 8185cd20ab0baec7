/** The files that were chosen, what they are called on the server, and where the pixels of photos begin. */

/** In the order in which they are sent: photos are on the map before the films are here. */
const KINDS = {
  log: /\.(srt|tlog|bin|ulg|log|klv)$/i,
  photo: /\.(jpe?g|jpe|mpo|png|tiff?)$/i,
  film: /\.(mp4|mov|m4v|mkv|ts)$/i,
};

export type CardFileKind = keyof typeof KINDS;

export interface CardFile {
  path: string;
  file: File;
  kind: CardFileKind;
}

export interface Card {
  folder: string;
  files: CardFile[];
  /** Files whose name another has, as the server calls both, and photos and films without bytes: told to it, so that it counts and names them. */
  unsent: CardFile[];
  /** Files of no kind that is worked on, and empty logs. */
  left: number;
}

/** What a picker offers of single files. */
export const ACCEPTED_TYPES = "image/jpeg,image/png,image/tiff,video/mp4,video/quicktime,.mkv,.ts,.srt,.tlog,.bin,.ulg,.log,.klv";
const HEAD_BYTES = 64 * 1024;
const MOST_HEAD_BYTES = 256 * 1024;

/** A folder's files lie below it; photos chosen one by one have only their names. */
export function readCard(list: Iterable<File>): Card {
  const card: Card = { folder: "", files: [], unsent: [], left: 0 };
  const taken = new Set<string>();
  const order = Object.keys(KINDS) as CardFileKind[];
  for (const file of list) {
    const parts = (file.webkitRelativePath || file.name).normalize("NFC").split("/");
    if (parts.length > 1) card.folder = parts.shift() ?? "";
    const path = parts.join("/");
    const isHidden = parts.some((part) => part.startsWith(".") || part.startsWith("@"));
    const kind = order.find((one) => KINDS[one].test(path));
    if (isHidden || !kind || (kind === "log" && !file.size)) card.left++;
    else if (!file.size || taken.has(path)) card.unsent.push({ path, file, kind });
    else {
      card.files.push({ path, file, kind });
      taken.add(path);
    }
  }
  card.files.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  return card;
}

/** The first bytes of a photo that hold all but its pixels: of a JPEG up to its scan, of others a fixed share. */
export async function readHead(file: File): Promise<Uint8Array<ArrayBuffer>> {
  const data = new Uint8Array(await file.slice(0, MOST_HEAD_BYTES).arrayBuffer());
  return data.subarray(0, Math.min(headLength(data), data.length));
}

function headLength(data: Uint8Array): number {
  if (data[0] !== 0xff || data[1] !== 0xd8) return HEAD_BYTES;
  let at = 2;
  while (at + 4 <= data.length && data[at] === 0xff) {
    const code = data[at + 1] ?? 0;
    const length = ((data[at + 2] ?? 0) << 8) | (data[at + 3] ?? 0);
    if (length < 2) break;
    at += 2 + length;
    if (code === 0xda) return at;
  }
  return at > HEAD_BYTES ? MOST_HEAD_BYTES : HEAD_BYTES;
}
