/** Every sentence of the review, Vietnamese first: fetched with it, not with the map. */

import { language } from "../i18n";

const words = {
  title: ["Duyệt thay đổi", "Review of changes"],
  close: ["Đóng phần duyệt", "Leave the review"],
  waiting: ["{0} chờ duyệt · {1} đã xác nhận · {2} đã bác bỏ", "{0} waiting · {1} accepted · {2} rejected"],
  reading: ["Đang lấy danh sách…", "The list is being fetched…"],
  none: ["Chưa có thay đổi nào để duyệt trong sự kiện này. Hãy chạy “flycam compare”, hoặc tự vẽ.", "No change to review in this event. Run “flycam compare”, or draw one."],
  noneMeans: ["Không có trong danh sách không có nghĩa là không có gì thay đổi.", "Not on the list does not mean that nothing changed."],
  cut_off: ["Chỉ hiện {0} trong {1}", "Only {0} of {1} are shown"],
  keys: ["J/K: tới, lui · X: đánh dấu để gộp", "J/K: next, back · X: mark, to merge"],
  accept: ["Xác nhận", "Accept"],
  reject: ["Bác bỏ", "Reject"],
  redraw: ["Sửa", "Redraw"],
  cut: ["Tách", "Split"],
  merge: ["Gộp", "Merge"],
  markToMerge: ["Đánh dấu để gộp", "Mark, to merge it"],
  markFirst: ["Hãy đánh dấu (X) từ hai thay đổi trở lên rồi gộp.", "Mark (X) two changes or more, then merge them."],
  comment: ["Ghi chú", "Note"],
  draw: ["Vẽ", "Draw"],
  history: ["Lịch sử", "History"],
  undo: ["Hoàn tác", "Undo"],
  save: ["Lưu", "Save"],
  cancel: ["Bỏ", "Cancel"],
  kind: ["Loại thay đổi", "Kind"],
  note: ["Ghi chú", "Note"],
  status_proposed: ["chờ duyệt", "waiting"],
  status_accepted: ["đã xác nhận", "accepted"],
  status_rejected: ["đã bác bỏ", "rejected"],
  status_replaced: ["đã tách, gộp", "split or merged"],
  status_removed: ["đã gỡ", "removed"],
  action_found: ["Máy tìm ra", "Found"],
  action_draw: ["Vẽ tay", "Drawn"],
  action_accept: ["Xác nhận", "Accepted"],
  action_reject: ["Bác bỏ", "Rejected"],
  action_redraw: ["Sửa đường bao", "Redrawn"],
  action_split: ["Tách", "Split"],
  action_merge: ["Gộp", "Merged"],
  action_comment: ["Ghi chú", "Noted"],
  action_undo: ["Hoàn tác", "Undone"],
  noCommune: ["ngoài ranh giới đã biết", "beyond known boundaries"],
  long: ["dài {0} m", "{0} m long"],
  steep: ["dốc {0}°", "slope {0}°"],
  laid: ["hai ảnh khớp nhau ±{0} m", "pictures laid within {0} m"],
  tied: ["chỗ khớp gần nhất cách {0} m", "nearest tie {0} m away"],
  pictures: ["tìm ra giữa {0} và {1}, không phải ảnh của bản đồ này", "found between {0} and {1}, which are not of this map"],
  exports: ["Tải thay đổi đã xác nhận:", "Confirmed changes as"],
  byHand: ["vẽ tay", "by hand"],
  editing: ["Kéo các đỉnh của đường bao; Enter để lưu, Esc để bỏ.", "Drag the corners; Enter saves, Esc cancels."],
  cutting: [
    "Vẽ một đường cắt ngang hẳn qua thay đổi, bấm đúp để kết thúc; Enter để tách, Esc để bỏ.",
    "Draw a line right across the change, a double tap ends it; Enter splits, Esc cancels.",
  ],
  drawing: ["Bấm từng đỉnh quanh chỗ thay đổi, bấm đúp để khép; Esc để bỏ.", "Tap the corners around the change, a double tap closes it; Esc cancels."],
  saving: ["Đang lưu quyết định trước: đợi một chút rồi làm lại", "The decision before is being saved: wait a moment and do it again"],
  notSaved: ["Chưa lưu được: máy chủ không trả lời. Hãy làm lại.", "Not saved: the server does not answer. Do it again."],
  notRead: ["Chưa đọc được danh sách: máy chủ không trả lời.", "The list cannot be read: the server does not answer."],
  nothingToUndo: ["Không còn gì để hoàn tác.", "Nothing left to undo."],
} satisfies Record<string, [string, string]>;

export type Word = keyof typeof words;

export function t(word: Word, ...values: (string | number)[]): string {
  const text = words[word][language() === "vi" ? 0 : 1];
  return values.reduce<string>((out, value, i) => out.replace(`{${i}}`, String(value)), text);
}
