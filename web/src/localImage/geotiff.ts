/** A GeoTIFF of the reader's own computer as a source of a map's layer, read piece by piece where it is looked at. */

import { fromBlob, type GeoTIFFImage } from "geotiff";
import ImageSource from "ol/source/Image";
import { get as projectionOf } from "ol/proj";

/** WGS 84 in degrees, Web Mercator, UTM of either half: what the map itself can lay. */
const LAID = /^(4326|3857|32[67]([0-5]\d|60))$/;
const MASK = 4;
const REDUCED = 1;
const YCBCR = 6;
const PALETTE = 3;
const BYTE = 255;
/** Of one window; what has no smaller version of itself is drawn from nearer by only. */
const MOST_PX = 60e6;
const SCREEN_PX = 2000;
const STRETCHED_PX = 256;

export type UnreadableImage = "system" | "unreadable";

interface Level {
  image: GeoTIFFImage;
  mask: GeoTIFFImage | null;
  wide: number;
  high: number;
}

/** Null samples are no data; grey and colours come as bytes, whatever they were. */
interface Kind {
  samples: number[];
  alpha: number | null;
  nodata: number | null;
  isConverted: boolean;
  stretch: { from: number; factor: number } | null;
}

/** Its source, and from which resolution on (units of its projection) it may be drawn; or why it cannot be. */
export async function readGeoTiff(file: Blob): Promise<{ source: ImageSource; maxResolution: number } | UnreadableImage> {
  try {
    const levels = await levelsOf(file);
    const [finest] = levels;
    if (!finest) return "unreadable";
    const keys = (finest.image.getGeoKeys() ?? {}) as Record<string, unknown>;
    const code = String(keys["ProjectedCSTypeGeoKey"] ?? keys["GeographicTypeGeoKey"] ?? "");
    const projection = LAID.test(code) ? projectionOf(`EPSG:${code}`) : null;
    if (!projection) return "system";
    const bounds = finest.image.getBoundingBox() as [number, number, number, number];
    const kind = await kindOf(finest.image, levels[levels.length - 1] ?? finest);
    await drawn(levels, bounds, kind, bounds, 1, 1); // what cannot be decoded says so now, not as an empty map
    const pixel = (bounds[2] - bounds[0]) / finest.wide;
    const isLarge = levels.length === 1 && finest.wide * finest.high > MOST_PX;
    const source = new ImageSource({
      projection,
      loader: (extent, resolution, pixelRatio) => {
        const [wide, high] = [extent[2]! - extent[0]!, extent[3]! - extent[1]!].map((side) => Math.max(1, Math.round((side / resolution) * pixelRatio)));
        return drawn(levels, bounds, kind, extent as [number, number, number, number], wide!, high!);
      },
    });
    return { source, maxResolution: isLarge ? (pixel * Math.sqrt(MOST_PX)) / SCREEN_PX : Infinity };
  } catch {
    return "unreadable";
  }
}

/** The picture and its smaller versions, the finest first, each with its mask. */
async function levelsOf(file: Blob): Promise<Level[]> {
  const tiff = await fromBlob(file);
  const images = await Promise.all(Array.from({ length: await tiff.getImageCount() }, (_, n) => tiff.getImage(n)));
  const subtype = (image: GeoTIFFImage): number => Number(tagOf(image, "NewSubfileType") ?? 0);
  const masks = images.filter((one) => subtype(one) & MASK);
  const shown = images.filter((one, n) => !(subtype(one) & MASK) && (n === 0 || subtype(one) & REDUCED));
  const level = (image: GeoTIFFImage): Level => {
    const [wide, high] = [image.getWidth(), image.getHeight()];
    return { image, wide, high, mask: masks.find((one) => one.getWidth() === wide && one.getHeight() === high) ?? null };
  };
  return shown.map(level).sort((a, b) => b.wide - a.wide);
}

async function kindOf(image: GeoTIFFImage, coarsest: Level): Promise<Kind> {
  const count = image.getSamplesPerPixel();
  const samples = count >= 3 ? [0, 1, 2] : [0];
  const alpha = tagOf(image, "ExtraSamples") !== undefined && (count === 2 || count === 4) ? count - 1 : null;
  const photometric = Number(tagOf(image, "PhotometricInterpretation") ?? 1);
  const isByte = image.getBitsPerSample() <= 8 && image.getSampleFormat() === 1;
  const nodata = image.getGDALNoData();
  return { samples, alpha, nodata, isConverted: photometric === YCBCR || photometric === PALETTE, stretch: isByte ? null : await stretchOf(coarsest, samples, nodata) };
}

/** From the darkest to the brightest of what there is, but for 2 % on either side. */
async function stretchOf({ image }: Level, samples: number[], nodata: number | null): Promise<Kind["stretch"]> {
  const values = await image.readRasters({ samples, width: STRETCHED_PX, height: STRETCHED_PX, interleave: true });
  const known = Array.from(values as ArrayLike<number>).filter((one) => Number.isFinite(one) && one !== nodata && one !== 0);
  known.sort((a, b) => a - b);
  const [from, to] = [known[Math.floor(known.length * 0.02)] ?? 0, known[Math.floor(known.length * 0.98)] ?? 1];
  return { from, factor: BYTE / Math.max(to - from, 1e-9) };
}

async function drawn(levels: readonly Level[], bounds: readonly [number, number, number, number], kind: Kind, extent: readonly [number, number, number, number], wide: number, high: number): Promise<HTMLCanvasElement> {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [wide, high];
  const step = (extent[2] - extent[0]) / wide;
  const [west, , east] = bounds;
  const level = [...levels].reverse().find((one) => (east - west) / one.wide <= step * 1.01) ?? levels[0]!;
  const [px, py] = [(east - west) / level.wide, (bounds[3] - bounds[1]) / level.high];
  const within = (value: number, most: number): number => Math.min(Math.max(value, 0), most);
  const window = [
    within(Math.floor((extent[0] - west) / px), level.wide),
    within(Math.floor((bounds[3] - extent[3]) / py), level.high),
    within(Math.ceil((extent[2] - west) / px), level.wide),
    within(Math.ceil((bounds[3] - extent[1]) / py), level.high),
  ] as const;
  const context = canvas.getContext("2d");
  const [cols, rows] = [window[2] - window[0], window[3] - window[1]];
  if (!context || cols <= 0 || rows <= 0 || cols * rows > MOST_PX) return canvas;
  const size = { width: Math.max(1, Math.min(cols, Math.round((cols * px) / step))), height: Math.max(1, Math.min(rows, Math.round((rows * py) / ((extent[3] - extent[1]) / high)))) };
  const piece = document.createElement("canvas");
  [piece.width, piece.height] = [size.width, size.height];
  piece.getContext("2d")?.putImageData(await pixelsOf(level, kind, [...window], size), 0, 0);
  const at = [(west + window[0] * px - extent[0]) / step, ((extent[3] - bounds[3] + window[1] * py) / (extent[3] - extent[1])) * high];
  context.drawImage(piece, at[0]!, at[1]!, (cols * px) / step, ((rows * py) / (extent[3] - extent[1])) * high);
  return canvas;
}

async function pixelsOf({ image, mask }: Level, kind: Kind, window: number[], size: { width: number; height: number }): Promise<ImageData> {
  const asked = { window, ...size, interleave: true as const };
  const colours = (kind.isConverted ? await image.readRGB(asked) : await image.readRasters({ ...asked, samples: kind.samples })) as ArrayLike<number>;
  const bands = kind.isConverted ? 3 : kind.samples.length;
  const shown = mask ? ((await mask.readRasters(asked)) as ArrayLike<number>) : kind.alpha !== null ? ((await image.readRasters({ ...asked, samples: [kind.alpha] })) as ArrayLike<number>) : null;
  const pixels = new ImageData(size.width, size.height);
  const { data } = pixels;
  const byte = (value: number): number => (kind.stretch ? (value - kind.stretch.from) * kind.stretch.factor : value);
  for (let n = 0; n < size.width * size.height; n++) {
    let isData = false;
    for (let band = 0; band < 3; band++) {
      const value = colours[n * bands + Math.min(band, bands - 1)]!;
      data[4 * n + band] = byte(value);
      // a rim that was never imaged is black in most files
      if (Number.isFinite(value) && value !== 0 && value !== kind.nodata) isData = true;
    }
    data[4 * n + 3] = (shown ? shown[n]! > 0 : isData) ? BYTE : 0;
  }
  return pixels;
}

function tagOf(image: GeoTIFFImage, name: string): unknown {
  return (image.getFileDirectory() as { getValue(tag: string): unknown }).getValue(name);
}
