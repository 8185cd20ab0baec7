/** Every sentence of the upload page, Vietnamese first. */

import { language } from "../i18n";

const words = {
  title: ["Tải ảnh lên", "Upload photos"],
  toMap: ["Bản đồ", "Map"],
  chooseFolder: ["Chọn thư mục ảnh", "Choose the photos’ folder"],
  choosePhotos: ["Chọn ảnh", "Choose photos"],
  intro: [
    "Mất mạng, đóng máy hay đóng trang đều không sao: chọn lại đúng các ảnh đó, sẽ tải tiếp từ chỗ đang dở.",
    "A lost line, a closed lid or a closed page do no harm: choose the same photos again and it goes on where it was.",
  ],
  name: ["Tên chuyến bay (không bắt buộc)", "Name of the flight (optional)"],
  event: ["Sự kiện (không bắt buộc)", "Event (optional)"],
  eventDefault: ["Theo ảnh", "As the photos say"],
  noPhotos: ["Không có ảnh JPEG, PNG hay TIFF nào trong phần đã chọn.", "There is no JPEG, PNG or TIFF photo in what was chosen."],
  leftOut: ["{0} tệp không phải ảnh, không tải.", "{0} files are no photos and stay."],
  tooMany: ["Mỗi lượt nhiều nhất {0} ảnh: hãy chia nhỏ ra.", "At most {0} photos at once: choose fewer."],
  sending: ["ĐANG TẢI – CHƯA RÚT THẺ", "SENDING – LEAVE THE CARD IN"],
  stopped: ["ĐÃ TẠM DỪNG – CHƯA RÚT THẺ", "PAUSED – LEAVE THE CARD IN"],
  unfinished: ["CHƯA XONG – CHƯA RÚT THẺ", "NOT COMPLETE – LEAVE THE CARD IN"],
  keeping: ["ĐANG LƯU – CHƯA RÚT THẺ", "BEING SAVED – LEAVE THE CARD IN"],
  saved: ["ĐÃ LƯU, CÓ THỂ RÚT THẺ", "SAVED – THE CARD MAY COME OUT"],
  refused: ["MÁY CHỦ KHÔNG NHẬN – CHƯA RÚT THẺ", "THE SERVER WILL NOT TAKE IT – LEAVE THE CARD IN"],
  onMap: ["ĐÃ LÊN BẢN ĐỒ", "ON THE MAP"],
  view: ["Xem", "View"],
  stageHeads: ["1. Đầu ảnh để xem trước", "1. Heads, for a first look"],
  stageBytes: ["2. Ảnh gốc", "2. Originals"],
  stageStored: ["3. Đã kiểm tra và lưu", "3. Checked and saved"],
  stageLaid: ["4. Lên bản đồ", "4. On the map"],
  photosOf: ["{0} / {1} ảnh", "{0} / {1} photos"],
  bytesOf: ["{0} / {1}", "{0} / {1}"],
  left: ["còn khoảng {0}", "about {0} left"],
  waiting: ["chờ", "waiting"],
  laying: ["đang xử lý", "being laid"],
  done: ["xong", "done"],
  laidUsed: ["{0} / {1} ảnh dùng được", "{0} / {1} photos used"],
  failed: ["không đưa lên được", "cannot be laid"],
  again: ["Thử lại", "Try again"],
  openFlight: ["Xem trên bản đồ", "See it on the map"],
  stop: ["Tạm dừng", "Pause"],
  goOn: ["Tải tiếp", "Go on"],
  another: ["Tải chuyến khác", "Upload another flight"],
  noLine: ["Mất kết nối với máy chủ. Sẽ tự tải tiếp khi có lại.", "No connection to the server. It goes on by itself when there is one."],
  look: ["Xem trước từ đầu ảnh", "First look, from the heads"],
  lookWaits: ["Máy chủ đang xem {0} đầu ảnh…", "The server is looking at {0} heads…"],
  lookUsable: ["{0} / {1} ảnh định vị được", "{0} / {1} photos can be placed"],
  lookGaps: ["{0} chỗ bị sót", "{0} gaps"],
  lookNoGaps: ["không có chỗ sót", "no gaps"],
  lookSmeared: ["{0} ảnh nhoè vì bay nhanh (tới {1} điểm ảnh)", "{0} photos smeared by the speed (up to {1} pixels)"],
  lookSharp: ["không ảnh nào nhoè vì bay nhanh", "no photo smeared by the speed"],
  lookNoSmear: ["ảnh không ghi đủ số liệu để tính nhoè", "the photos do not say enough to tell smear"],
  lookMap: ["Vùng chụp của từng ảnh và chỗ bị sót", "Ground of each photo, and gaps"],
  keyPhoto: ["vùng chụp", "photo"],
  keySmeared: ["ảnh nhoè", "smeared"],
  keyGap: ["chỗ sót", "gap"],
  more: ["và {0} điều nữa", "and {0} more"],
  earlier: ["Các lượt tải lên", "Uploads"],
  goOnHint: ["Còn {0}. Chọn lại đúng các ảnh này để tải tiếp.", "{0} to go. Choose the same photos again to go on."],
  expires: ["Giữ đến {0}", "Kept until {0}"],
  remove: ["Xoá", "Delete"],
  removeAsk: ["Xoá lượt tải lên “{0}”?", "Delete the upload “{0}”?"],
  readFailed: [
    "Không đọc được ảnh từ thẻ ({0}). Hãy cắm lại thẻ rồi chọn lại đúng các ảnh đó.",
    "A photo cannot be read ({0}). Plug the card in again and choose the same photos.",
  ],
  needsRole: ["Tài khoản này không có quyền tải ảnh lên.", "This account may not upload."],
} satisfies Record<string, [string, string]>;

export type Word = keyof typeof words;

export function t(word: Word, ...values: (string | number)[]): string {
  const text = words[word][language() === "vi" ? 0 : 1];
  return values.reduce<string>((out, value, i) => out.replace(`{${i}}`, String(value)), text);
}
