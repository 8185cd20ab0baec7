/** Every sentence of the photo with a spot on it, Vietnamese first. */

import { translator } from "../i18n";

const words = {
  title: ["Vị trí trên ảnh", "The spot in the photo"],
  close: ["Đóng", "Close"],
  unread: ["Không tải được ảnh: máy chủ không trả lời, hoặc ảnh không ở đây.", "The photo cannot be loaded: no answer, or it is not here."],
  note: ["Chữ thập: điểm đã bấm, tính theo tư thế máy ảnh và địa hình đã ghi; có thể lệch như sai số đã nêu.", "The cross: the place, by the recorded pose and terrain; off by as much as the error says."],
  noSpot: ["Chưa tính được vị trí trên ảnh này.", "Where the place lies in this photo is not known."],
} satisfies Record<string, [string, string]>;

export const t = translator(words);
