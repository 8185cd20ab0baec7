/** Every sentence of the printed sheet, Vietnamese first. */

import { translator } from "../i18n";

const words = {
  room: ["In bản đồ", "Print the map"],
  paper: ["Khổ giấy", "Paper"],
  scale: ["Tỉ lệ", "Scale"],
  print: ["In", "Print"],
  close: ["Đóng", "Close"],
  hint: ["Kéo để dời bản đồ. Khi in chọn đúng khổ giấy và 100 %.", "Drag to move the map. Print on this paper at 100 %."],
  drawing: ["Đang vẽ bản đồ…", "The map is being drawn…"],
  title: ["Tên tờ bản đồ", "Title of the sheet"],
  scaleOf: ["Tỉ lệ 1:{0} khi in khổ {1}, 100 %", "Scale 1:{0} when printed on {1} at 100 %"],
  gridOf: ["Lưới VN-2000, KTT {0}, múi 3°; ô {1}", "Grid VN-2000, central meridian {0}, 3° zone; squares of {1}"],
  gridWhose: ["({0})", "({0})"],
  gridNearest: ["(kinh tuyến trục gần nhất)", "(the nearest meridian)"],
  gridNone: ["Không có lưới VN-2000 cho phạm vi này", "There is no VN-2000 grid for this ground"],
  gridAsked: ["Đang lấy lưới VN-2000…", "The VN-2000 grid is being fetched…"],
  gridFailed: ["Máy chủ không trả lời: chưa có lưới", "The server does not answer: there is no grid yet"],
  middle: ["Giữa tờ (WGS 84): {0}", "Middle of the sheet (WGS 84): {0}"],
  pictures: ["Ảnh, mới nhất ở trên", "Pictures, newest on top"],
  picturesMore: ["và {0} chuyến bay cũ hơn", "and {0} older flights"],
  picturesNone: ["Chưa bay chụp trong phạm vi này", "Nothing in this sheet was flown"],
  asOf: ["Bản đồ tại thời điểm {0}", "The map as of {0}"],
  printed: ["Lập tờ: {0} ({1})", "Made: {0} ({1})"],
  notOfficial: ["Không thay thế bản đồ địa hình. Chỗ không có ảnh là chưa bay chụp, không phải không có gì.", "No substitute for a topographic map. Where there is no picture it was not flown; it does not follow that nothing is there."],
  north: ["B", "N"],
  classesAsked: ["Đang lấy chú giải màu…", "What the colours mean is being fetched…"],
  classesFailed: ["Chưa có chú giải màu: máy chủ không trả lời", "What the colours mean is not known: the server does not answer"],
  classesShift: ["Chưa kể lệch chung của cả ảnh.", "A shift of the whole picture is not included."],
  layerUnread: ["chưa tải được", "not loaded"],
  layerShare: ["vẽ {0} trong {1}", "{0} of {1} drawn"],
  legend: ["Chú giải", "Legend"],
} satisfies Record<string, [string, string]>;

export type Word = keyof typeof words;

export const t = translator(words);
