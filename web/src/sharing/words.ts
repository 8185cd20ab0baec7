/** Every sentence of the room where guests are invited, Vietnamese first. */

import { spoken } from "../i18n";

const words = {
  room: ["Mời xem và hạn chế", "Guests and restrictions"],
  close: ["Đóng", "Close"],
  invite: ["Mời xem bản đồ", "Invite to look at the map"],
  inviteNote: [
    "Ai có liên kết đều xem được bản đồ và ảnh đã nắn cho tới khi hết hạn hoặc bị thu hồi. Không có ảnh gốc, dấu hiện trường, số liệu, tên người bay. Liên kết không chứa mã đăng nhập nào.",
    "Whoever has the link sees the map and its pictures until it expires or is revoked: no photos, marks, figures, or names of who flew. It carries nobody's token.",
  ],
  hours: ["Trong", "For"],
  hour: ["{0} giờ", "{0} h"],
  days: ["{0} ngày", "{0} days"],
  event: ["Cho xem", "Shows"],
  everything: ["Mọi sự kiện", "All events"],
  onlyCommunes: ["Chỉ các xã, phường (để trống: tất cả)", "Only these communes (empty: all)"],
  make: ["Tạo liên kết", "Make a link"],
  making: ["Đang tạo…", "Being made…"],
  made: ["Liên kết mới, đến {0}. Chỉ hiện lần này:", "A new link, until {0}. It is shown this once:"],
  address: ["Địa chỉ liên kết", "Address of the link"],
  copy: ["Chép", "Copy"],
  copied: ["Đã chép.", "Copied."],
  copyByHand: ["Hãy chép địa chỉ đang được chọn.", "Copy the address that is selected."],
  code: ["Mã QR của liên kết này", "QR code of this link"],
  onlyHere: [
    "Địa chỉ này chỉ mở được trên chính máy này. Hãy mở bản đồ bằng địa chỉ mạng của máy chủ rồi tạo liên kết.",
    "This address opens on this machine only. Open the map by the server's address in the network, and make the link there.",
  ],
  held: ["Liên kết đang mở ({0})", "Links that hold ({0})"],
  none: ["Không có liên kết nào đang mở.", "No link holds."],
  until: ["đến {0}", "until {0}"],
  by: ["do {0} tạo", "made by {0}"],
  communes: ["xã, phường: {0}", "communes: {0}"],
  revoke: ["Thu hồi", "Revoke"],
  revokeOf: ["Thu hồi liên kết {0}", "Revoke the link {0}"],
  reading: ["Đang đọc…", "Being read…"],
  unread: ["Chưa đọc được: máy chủ không trả lời.", "Not read: the server does not answer."],
  restrictions: ["Hạn chế xem", "What is restricted"],
  areas: ["Vùng hạn chế ({0})", "Restricted areas ({0})"],
  areasNone: ["Không có vùng hạn chế nào mà bạn được biết.", "No restricted area that you may know of."],
  areasNote: [
    "Ảnh trên các vùng này chỉ hiện cho vai trò được nêu. Thêm, bỏ bằng “flycam restricted”.",
    "Pictures of these areas are for the roles named only. “flycam restricted” adds and removes them.",
  ],
  seenBy: ["chỉ {0} xem được", "seen by {0} only"],
  since: ["từ {0}", "since {0}"],
  levels: ["Chuyến bay và lớp dữ liệu có mức hạn chế ({0})", "Flights and layers with a level ({0})"],
  levelsNone: ["Mọi chuyến bay và lớp dữ liệu đều công khai.", "Every flight and layer is open."],
  levelsNote: [
    "NỘI BỘ: khách không xem được. HẠN CHẾ: chỉ người phân tích và quản trị xem được. Đặt bằng “flycam flights classify”, “flycam layers classify”.",
    "INTERNAL: not for guests. RESTRICTED: for analysts and administrators. Set by “flycam flights classify”, “flycam layers classify”.",
  ],
  flight: ["chuyến bay", "flight"],
  layer: ["lớp dữ liệu", "layer"],
  role_viewer: ["người xem", "viewers"],
  role_operator: ["người vận hành", "operators"],
  role_analyst: ["người phân tích", "analysts"],
  role_admin: ["quản trị", "administrators"],
  role_box: ["trạm dã chiến", "boxes"],
} satisfies Record<string, [string, string]>;

export type Word = keyof typeof words;

export const t = spoken(words);

/** What people call a role; one that a newer server knows is called as the server does. */
export function roleName(role: string): string {
  const key = `role_${role}`;
  return key in words ? t(key as Word) : role;
}
