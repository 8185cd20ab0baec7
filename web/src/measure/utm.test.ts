import { describe, expect, test } from "vitest";
import { areaM2, crossesItself, lengthM, toUtm, utmZone, type Metres } from "./utm";

test.each([
  [-180, 1], [-0.5, 30], [0, 31], [101.999, 47], [102, 48], [107.999, 48], [108, 49], [179.9999, 60], [180, 60],
])("longitude %f lies in zone %i", (lon, zone) => expect(utmZone(lon)).toBe(zone));

/** Figures of PROJ 9 (EPSG:326xx), without the false easting. */
test.each([
  [104.8, 21.9, -20658.6416, 2421771.8754], [102.0, 22.5, -308665.6894, 2491265.9897], [107.999, 8.5, 330217.3934, 940852.5792],
  [108.0, 16.05, -321019.8858, 1776791.2272], [179.9999, -45.0, 236438.1446, -4987329.2126], [-0.5, 51.4, 173899.166, 5697273.773],
])("%f, %f is where PROJ has it, to a tenth of a millimetre", (lon, lat, east, north) => {
  const [x, y] = toUtm(lon, lat, utmZone(lon));
  expect(Math.abs(x - east)).toBeLessThan(0.0001);
  expect(Math.abs(y - north)).toBeLessThan(0.0001);
});

describe("what is measured", () => {
  const square: Metres[] = [[0, 0], [300, 0], [300, 400], [0, 400]];
  const bow: Metres[] = [[0, 0], [300, 400], [300, 0], [0, 400]];

  test.each([
    [[], 0, 0], [[[5, 5]], 0, 0], [[[0, 0], [300, 400]], 500, 0], [square, 1000, 120_000], [[...square].reverse(), 1000, 120_000],
  ] as [Metres[], number, number][])("%j is %f m long and %f m² large", (places, length, area) => {
    expect(lengthM(places)).toBeCloseTo(length, 6);
    expect(areaM2(places)).toBeCloseTo(area, 6);
  });

  test.each([
    [square, false], [bow, true], [bow.slice(0, 3), false],
    [[[0, 0], [300, 0], [300, 400], [100, -100]], true], // by the side that closes it
    [[[0, 0], [300, 0], [150, 100], [300, 400], [0, 400]], false], // bent inwards
  ] as [Metres[], boolean][])("the outline %j crosses itself: %s", (places, crosses) => expect(crossesItself(places)).toBe(crosses));
});
