/** Every sentence of the measuring, Vietnamese first. */

import { translator } from "../i18n";

const words = {
  title: ["Đo trên bản đồ", "Measure"],
  hint: ["Bấm lên bản đồ từng điểm. Esc bỏ điểm cuối, hết điểm thì kết thúc.", "Tap the map point by point. Esc takes the last one back, and ends where there is none."],
  length: ["Dài", "Length"],
  area: ["Diện tích (khép kín)", "Area (closed)"],
  crosses: ["không tính được: đường bao tự cắt", "cannot be computed: the outline crosses itself"],
  crs: ["Đo phẳng trên UTM {0}, WGS 84, không tính độ dốc", "In the plane of UTM {0}, WGS 84; slopes not counted"],
  back: ["Bỏ điểm cuối", "Take back"],
  again: ["Đo lại", "Anew"],
  end: ["Kết thúc", "End"],
} satisfies Record<string, [string, string]>;

export const t = translator(words);
