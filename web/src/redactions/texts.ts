/** Every sentence of the room where parts of a photo are covered, Vietnamese first. */

import { translator } from "../i18n";

const words = {
  room: ["Che một phần ảnh", "Cover a part of the photo"],
  close: ["Đóng", "Close"],
  note: [
    "Bấm lên ảnh để đặt từng đỉnh quanh chỗ cần che, Enter để che, Backspace bỏ đỉnh cuối. Sau khi che, chỉ người phân tích và quản trị còn xem được chỗ đó, trên ảnh này, trên ảnh khác và trên bản đồ. Ảnh gốc đã lưu không bị sửa. Có hiệu lực sau khoảng 4 giây.",
    "Tap the photo to set corners around what is to be covered; Enter covers it, Backspace takes a corner back. From then on only analysts and administrators see it, on this photo, on others and on the map. The stored original is not changed. It holds after some 4 seconds.",
  ],
  photo: ["Ảnh {0}: bấm để đặt đỉnh", "Photo {0}: tap to set corners"],
  reason: ["Che", "What is covered"],
  home: ["nhà dân", "a home"],
  victim: ["nạn nhân", "a victim"],
  other: ["lý do khác", "something else"],
  corners: ["{0} đỉnh", "{0} corners"],
  undo: ["Bỏ đỉnh cuối", "Remove the last corner"],
  save: ["Che chỗ này", "Cover it"],
  saving: ["Đang ghi…", "Being written…"],
  saved: ["Đã che.", "Covered."],
  held: ["Đang che ({0})", "Covered ({0})"],
  none: ["Chưa che chỗ nào trên ảnh này.", "Nothing is covered on this photo."],
  by: ["{0} · {1}", "{0} · {1}"],
  takeBack: ["Bỏ che", "Uncover"],
  takeBackOf: ["Bỏ che vùng {0}", "Uncover mask {0}"],
  askedBack: ["Máy khác đã bỏ che và đề nghị ở đây cũng bỏ: {0} · {1}", "Uncovered on another box, which asks for it here: {0} · {1}"],
  tookBack: ["Đã bỏ che.", "Uncovered."],
  takeBackBy: ["Chỉ người phân tích và quản trị bỏ che được.", "Analysts and administrators uncover."],
  reading: ["Đang đọc…", "Being read…"],
  unread: ["Máy chủ không trả lời.", "The server does not answer."],
} satisfies Record<string, [string, string]>;

export const t = translator(words);
