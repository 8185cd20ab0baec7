/** Every sentence of the room where guests are invited and what is kept is seen, Vietnamese first. */

import { translator } from "../i18n";

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
  retention: ["Lưu giữ bản gốc", "How long originals are kept"],
  retentionNote: [
    "Ảnh, video gốc có nhà dân, nạn nhân không giữ mãi. Không có gì tự xoá: mục đến hạn nằm trong danh sách này cho tới khi một quản trị viên xác nhận. Bản đồ và bản ghi của từng ảnh luôn được giữ.",
    "Photos and videos of homes and victims are not kept forever. Nothing is deleted by itself: what is due stands on this list until an administrator confirms it. The map and each photo's record stay.",
  ],
  retentionHow: [
    "Đặt thời hạn: “flycam retention set”. Giữ lại theo yêu cầu: “flycam retention hold”, “release”.",
    "Terms are set by “flycam retention set”, holds by “flycam retention hold” and “release”.",
  ],
  due: ["Đến hạn hôm nay ({0} bản gốc)", "Due today ({0} originals)"],
  dueNone: ["Không có gì đến hạn.", "Nothing is due."],
  dueMore: ["… và {0} dòng nữa", "… and {0} more rows"],
  dueBegun: ["{0} bản gốc đã xác nhận mà chưa xoá xong.", "{0} originals were confirmed and are not deleted yet."],
  dueCount: ["{0} {1}", "{0} {1}"],
  duePast: ["quá {0} ngày", "past {0} days"],
  dueElsewhere: ["máy {0} đã xoá", "deleted on {0}"],
  dueSince: ["đến hạn {0}", "due since {0}"],
  confirm: ["Xác nhận xoá danh sách này…", "Let go of this list…"],
  complete: ["Xoá nốt phần đã xác nhận…", "Complete what was confirmed…"],
  sure: ["Xoá vĩnh viễn {0} bản gốc", "Delete {0} originals for good"],
  sureNote: [
    "Bản gốc đã xoá không lấy lại được. Tên của bạn và mã danh sách này ({0}) được ghi vào nhật ký.",
    "Originals that are deleted do not come back. Your name and this list's code ({0}) go into the audit log.",
  ],
  notNow: ["Thôi", "Not now"],
  working: ["Đang xoá…", "Being deleted…"],
  letGoDone: ["Đã xoá {0} bản gốc.", "{0} originals were deleted."],
  waiting: ["Còn chờ, hãy làm lại sau: {0}.", "Still waiting, do it again later: {0}."],
  terms: ["Thời hạn", "Terms"],
  termsNone: ["Chưa đặt thời hạn: mọi bản gốc được giữ mãi.", "No terms: all originals are kept for ever."],
  termDays: ["{0} ngày", "{0} days"],
  forEver: ["giữ mãi", "for ever"],
  everyEvent: ["mọi sự kiện", "all events"],
  setBy: ["{0}, {1}", "{0}, {1}"],
  holds: ["Đang giữ lại ({0})", "Held ({0})"],
  holdsNone: ["Không có chuyến bay hay sự kiện nào bị giữ lại.", "No flight or event is held."],
  kind_photo: ["ảnh gốc", "photos"],
  kind_video: ["đoạn video đã ghi", "pieces of recorded video"],
  kind_mark_photo: ["ảnh của dấu hiện trường", "photos of field marks"],
  kind_upload: ["tệp tải lên ngoài bản đồ", "uploaded files off the map"],
} satisfies Record<string, [string, string]>;

export type Word = keyof typeof words;

export const t = translator(words);

/** What people call a role; one that a newer server knows is called as the server does. */
export function roleName(role: string): string {
  const key = `role_${role}`;
  return key in words ? t(key as Word) : role;
}

/** What originals of a kind are called. */
export function kindName(kind: string): string {
  const key = `kind_${kind}`;
  return key in words ? t(key as Word) : kind;
}
