import { describe, expect, test } from "vitest";
import type { Vn2000 } from "./api";
import { formatPlainLonLat, formatPlainVn2000 } from "./clipboard";
import { setLanguage, t } from "./i18n";
import { formatAreaM2, formatDegrees, formatGsd, formatLonLat, formatNumber, formatPercent, formatScore, formatVn2000 } from "./numbers";
import { formatBytes } from "./upload/byteFormat";

const TIE = "\u00a0";

test.each([
  [0, 0, "0", "0"], [999, 0, "999", "999"], [1000, 0, "1.000", "1,000"], [999_999.6, 0, "1.000.000", "1,000,000"],
  [1_234_567.891, 2, "1.234.567,89", "1,234,567.89"], [0.1234567, 6, "0,123457", "0.123457"], [-1234.5, 1, "-1.234,5", "-1,234.5"],
])("%f with %i decimals is written as documents write it (`model.text.format_number`)", (value, digits, vi, en) => {
  expect(formatNumber(value, digits)).toBe(vi);
  setLanguage("en");
  expect(formatNumber(value, digits)).toBe(en);
});

test.each([
  [-0.2, 0, "0"], [2.5, 0, "2"], [0.125, 2, "0,12"],
])("%f with %i decimals is written as documents write it, halves to the even digit and no minus of a zero", (value, digits, said) => {
  expect(formatNumber(value, digits)).toBe(said);
});

test.each([
  [0, null, "0 m²"], [0.4, null, "0 m²"], [999.4, null, "999 m²"], [999.6, null, "1.000 m²"], [1000, null, "0,10 ha"], [12_345_678, null, "1.234,57 ha"],
  [12_345, 300, "1,23 ± 0,03 ha"],
  [12_345, 20, "1,23 ± 0,01 ha"], // never written as none
  [500, 0.2, "500 ± 1 m²"], [500, 30, "500 ± 30 m²"], [999.4, 1500, "999 ± 1.500 m²"],
])("%f m² within %s is written as packs write it (`model.text.format_area`)", (area, error, said) => {
  expect(formatAreaM2(area, error)).toBe(said);
  expect(formatAreaM2(area, error, true)).toBe(`ít nhất ${said}`);
});

test.each([
  [0, "1/100"], [0.004, "1/100"], [0.5, "50/100"], [0.985, "99/100"], [0.99996, "99/100"], [1, "99/100"],
])("a score of %f is no percentage, and never certain", (score, said) => expect(formatScore(score)).toBe(said));

describe("percent", () => {
  test.each([
    [0, `0${TIE}%`], [0.0002, `<${TIE}1${TIE}%`], [0.85, `<${TIE}1${TIE}%`], [1, `1${TIE}%`], [12.4, `12${TIE}%`], [99, `99${TIE}%`], [99.4, `>${TIE}99${TIE}%`],
    [99.97, `>${TIE}99${TIE}%`], [100, `100${TIE}%`],
  ])("%f", (value, said) => expect(formatPercent(value)).toBe(said));

  test("only all of it looks whole, and only none of it looks like nothing", () => {
    for (let value = 0; value <= 100; value += 0.03125) {
      expect(formatPercent(value) === `100${TIE}%`).toBe(value === 100);
      expect(formatPercent(value) === `0${TIE}%`).toBe(value === 0);
    }
  });
});

test.each([
  [0.021, "2,1 cm"], [0.0999, "10,0 cm"], [0.1, "10 cm"], [0.994, "99 cm"], [1, "1,0 m"], [10.25, "10,2 m"],
])("a pixel of %f m", (gsdM, said) => expect(formatGsd(gsdM)).toBe(said));

test.each([
  [0, "0,0 MB"], [49_000, "0,0 MB"], [1_500_000, "1,5 MB"], [999_940_000, "999,9 MB"], [1_000_000_000, "1,00 GB"], [12_345_678_901, "12,35 GB"],
  [1_234_567_890_123, "1.234,57 GB"],
])("%i bytes", (bytes, said) => expect(formatBytes(bytes)).toBe(said.replace(" ", TIE)));

describe("places", () => {
  const place = (central_meridian_deg: number): Vn2000 => ({ x_north_m: 2422599.4, y_east_m: 505068.3, crs: "EPSG:9208", central_meridian_deg, province: null });

  test.each([
    [104.75, "104°45′"], [105, "105°00′"], [107.75, "107°45′"], [106.25, "106°15′"],
  ])("the meridian %f is named as packs name it (`briefing.texts.format_place`)", (meridian, said) => {
    expect(formatDegrees(meridian)).toBe(said);
    expect(formatVn2000(place(meridian))).toContain(t("vn2000", said));
    expect(formatPlainVn2000(place(meridian))).toBe(`X 2422599.40 Y 505068.30 ${t("vn2000", said)}`);
  });

  test("minutes are carried into degrees (`briefing.texts.format_place`)", () => expect(formatDegrees(104.9999)).toBe("105°00′"));

  test("VN-2000 on the screen is in whole metres, X north before Y east, in the language's digits", () => {
    expect(formatVn2000(place(104.75)).match(/[\d.]+(?= [BĐ])/g)).toEqual(["2.422.599", "505.068"]);
    setLanguage("en");
    expect(formatVn2000(place(104.75)).match(/[\d,]+(?= [NE])/g)).toEqual(["2,422,599", "505,068"]);
  });

  test.each([
    [104.800949, 21.900053, "21,900053° B   104,800949° Đ", "21.900053° N   104.800949° E"],
    [-0.5, -33.9, "33,900000° N   0,500000° T", "33.900000° S   0.500000° W"],
  ])("%f, %f: latitude first, its half of the world by a letter", (lon, lat, vi, en) => {
    expect(formatLonLat(lon, lat)).toBe(vi);
    setLanguage("en");
    expect(formatLonLat(lon, lat)).toBe(en);
  });

  test("what is copied has dots in any language", () => {
    expect(formatPlainLonLat(104.800949, 21.900053)).toBe("21.900053, 104.800949");
    expect(formatPlainLonLat(-0.1234567, -33.9)).toBe("-33.900000, -0.123457");
  });
});
