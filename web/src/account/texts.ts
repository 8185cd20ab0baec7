/** Every sentence of the first set-up, and of the room where tokens are made and ended, Vietnamese first. */

import { translator } from "../i18n";

const words = {
  setup: ["Thiết lập lần đầu", "First set-up"],
  setupText: [
    "Chưa có tài khoản nào. Hãy nhập mã thiết lập mà máy chủ in ra khi khởi động để tạo quản trị viên đầu tiên.",
    "There is no account yet. Enter the set-up code that the server printed when it started, to make the first administrator.",
  ],
  setupLost: ["Mã đã mất hoặc quá 60 phút? Trên máy chủ hãy chạy:", "Lost, or older than 60 minutes? On the server run:"],
  setupCode: ["Mã thiết lập", "Set-up code"],
  setupName: ["Tên của bạn", "Your name"],
  setupButton: ["Tạo quản trị viên", "Make the administrator"],
  setupDone: ["{0} là quản trị viên", "{0} is an administrator"],
  setupKeep: [
    "Đây là mã truy cập của bạn, chỉ hiện lần này. Hãy cất vào nơi an toàn: nó dùng để đăng nhập trên máy khác và lần sau.",
    "This is your access token, shown this once. Keep it in a safe place: it signs you in on other machines, and next time.",
  ],
  setupOpen: ["Đã cất, vào bản đồ", "It is kept: open the map"],
  room: ["Mã truy cập", "Access tokens"],
  roomOf: ["Mã truy cập của {0} ({1})", "Access tokens of {0} ({1})"],
  close: ["Đóng", "Close"],
  elsewhere: ["Đăng nhập trên máy khác", "Sign in on another machine"],
  elsewhereNote: [
    "Mã ngắn, gõ tay được vào ô đăng nhập, dùng một lần trong 15 phút. Đọc qua điện thoại được; không cần chép mã truy cập dài.",
    "A short code to type into the sign-in form, good once within 15 minutes. It can be read over the phone; no long token is copied.",
  ],
  codeMake: ["Tạo mã vào một lần", "Make a one-time code"],
  codeMade: ["Mã cho {0}, dùng một lần trong {1} phút:", "Code for {0}, good once within {1} minutes:"],
  whose: ["Tài khoản", "Account"],
  make: ["Tạo mã truy cập mới", "Make a new token"],
  makeNote: [
    "Mỗi chương trình, mỗi máy một mã riêng, chỉ đủ việc: mất mã nào thì thu hồi đúng mã ấy.",
    "One token for each program and machine, for no more than it needs: whichever is lost is revoked alone.",
  ],
  label: ["Dùng cho", "What it is for"],
  labelHint: ["QGIS phòng bản đồ", "QGIS in the map room"],
  scope: ["Được phép", "May do"],
  scope_all: ["mọi việc của tài khoản", "all that the account may"],
  scope_map: ["chỉ xem bản đồ (phần mềm GIS)", "only look at the map (GIS programs)"],
  scope_uploads: ["chỉ tải ảnh lên (tổ bay, điện thoại)", "only upload (crews, phones)"],
  scope_sync: ["chỉ đồng bộ (trạm dã chiến)", "only sync (field boxes)"],
  days: ["Hết hạn sau", "Expires after"],
  day: ["{0} ngày", "{0} days"],
  never: ["không hết hạn", "never"],
  button: ["Tạo mã", "Make it"],
  made: ["Mã truy cập “{0}”. Chỉ hiện lần này:", "The token “{0}”. It is shown this once:"],
  copy: ["Chép", "Copy"],
  held: ["Mã đang dùng ({0})", "Tokens that hold ({0})"],
  first: ["mã đầu tiên", "the first token"],
  here: ["đang dùng ở đây", "in use here"],
  until: ["đến {0}", "until {0}"],
  used: ["dùng lần cuối {0}", "last used {0}"],
  unused: ["chưa dùng", "never used"],
  by: ["do {0} cấp", "made by {0}"],
  ends: ["Thu hồi mã này thì cũng kết thúc: {0}", "Revoking it ends these too: {0}"],
  links: ["{0} liên kết khách", "{0} guest links"],
  revoke: ["Thu hồi", "Revoke"],
  revokeOf: ["Thu hồi mã {0}", "Revoke the token {0}"],
  reading: ["Đang đọc…", "Being read…"],
  unread: ["Chưa đọc được: máy chủ không trả lời.", "Not read: the server does not answer."],
} satisfies Record<string, [string, string]>;

export type Word = keyof typeof words;

export const t = translator(words);
