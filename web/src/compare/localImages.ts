/**
 * Pictures in files, which the house does not keep: whoever has the file sees it on the map by opening it from their
 * own computer. It is sent nowhere, and forgotten with the page.
 */

import ImageLayer from "ol/layer/Image";
import type ImageSource from "ol/source/Image";
import { imageSource } from "../changes/types";
import type { UnreadableImage } from "../localImage/geotiff";
import { Z } from "../map/view";
import type { Side } from "./sides";

/** Why a file is not shown: it is another one than that which was compared, or cannot be laid or read here. */
export type OpenFailure = "other" | UnreadableImage;

interface Opened {
  source: ImageSource;
  maxResolution: number;
}

const opened: Record<string, Opened> = {};
const DIGEST = /#([0-9a-f]{8})$/;

export function findOpenImage(side: Side): Opened | null {
  return side.kind === "picture" ? (opened[imageSource(side.name)] ?? null) : null;
}

/** Whether nothing is seen of a side: a picture in a file that nobody opened here. */
export function isMissingImage(side: Side): boolean {
  return side.kind === "picture" && !findOpenImage(side);
}

/** `name`: what was compared is called on record. Null: it is shown. */
export async function openLocalImage(name: string, file: File): Promise<OpenFailure | null> {
  const digest = DIGEST.exec(name)?.[1];
  if (digest ? (await digestOf(file)) !== digest : file.name !== name) return "other";
  const { readGeoTiff: readPicture } = await import("../localImage/geotiff");
  const read = await readPicture(file);
  if (typeof read === "string") return read;
  opened[imageSource(name)] = read;
  return null;
}

/** A layer of its own for each map. */
export function createImageLayer({ source, maxResolution }: Opened): ImageLayer<ImageSource> {
  return new ImageLayer({ source, maxResolution, zIndex: Z.mosaics });
}

/** As `compare` has it (`geodata.raster_digest`): of the digest of the bytes, its first eight digits. */
async function digestOf(file: Blob): Promise<string> {
  const { plainSha256, sha256OfBlob } = await import("../upload/sha256");
  const digest = plainSha256(await sha256OfBlob(file));
  return Array.from(digest.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
