/** What is said of a house without flights, Vietnamese first. */

import { translator } from "../i18n";

const words = {
  title: ["Cần có để bắt đầu", "To begin"],
  boundaries: ["Ranh giới xã, phường", "Commune boundaries"],
  heights: ["Mô hình độ cao", "Terrain heights"],
  flight: ["Chuyến bay", "A flight"],
  done: ["đã có", "there"],
  missing: ["chưa có: “{0}”", "missing: “{0}”"],
  unknown: ["chưa rõ: máy chủ không trả lời", "not known: the server does not answer"],
  flightHow: ["chưa có: bấm “Tải ảnh lên”, hoặc “flycam ingest”", "missing: press “Upload”, or “flycam ingest”"],
  ofPictures: [
    "Sự kiện này mới có thay đổi tìm được trên ảnh đã so sánh: thay đổi đã xác nhận nằm trên bản đồ và ở “Bảng xã”. Chưa cần thêm gì; có chuyến bay thì bấm “Tải ảnh lên”.",
    "This event has changes that were found on pictures: the confirmed ones are on the map and on the board of communes. Nothing is missing; where there is a flight, press “Upload”.",
  ],
  drill: ["Mở bản diễn tập", "Open the drill"],
  drillMaking: [
    "Máy chủ đang lập bản diễn tập (hai chuyến bay mô phỏng trước và sau bão), mất khoảng năm đến mười phút; xong sẽ tự mở.",
    "The server is making the drill (two made-up flights, before and after a storm): five to ten minutes. It opens by itself.",
  ],
  drillHow: [
    "Chưa có bản diễn tập. Quản trị viên bấm nút này sẽ lập được; hoặc trên máy chủ hãy chạy:",
    "There is no drill yet. An administrator makes one by this button; or on the server run:",
  ],
} satisfies Record<string, [string, string]>;

export const t = translator(words);
