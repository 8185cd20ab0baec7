/** Vietnamese first, English by one click. Every sentence of the page is here. */

import type { Warning } from "./api";

export type Language = "vi" | "en";

const words = {
  appTitle: ["Bản đồ bay chụp", "Drone flight map"],
  event: ["Sự kiện", "Event"],
  noEvent: ["Chưa có sự kiện", "No event yet"],
  drill: ["DIỄN TẬP", "DIỄN TẬP (drill)"],
  drillMark: ["DIỄN TẬP", "DIỄN TẬP"],
  drillNote: ["Ảnh diễn tập – không phải hiện trường thật", "Drill imagery – not a real scene"],
  riskLevel: ["Rủi ro thiên tai cấp {0}", "Disaster risk level {0}"],
  flights: ["Chuyến bay", "Flights"],
  newestOnTop: ["Mới nhất ở trên cùng", "Newest on top"],
  noFlights: [
    "Chưa có chuyến bay nào trong sự kiện này. Nạp ảnh bằng lệnh “flycam ingest”.",
    "No flight in this event yet. Add photos with “flycam ingest”.",
  ],
  show: ["Hiện", "Show"],
  zoomTo: ["Tới nơi", "Go there"],
  captured: ["Bay chụp", "Captured"],
  gsd: ["Độ phân giải", "Ground resolution"],
  gsdShort: ["GSD", "GSD"],
  operator: ["Người bay", "Operator"],
  stateIngesting: ["Đang nạp – chưa đủ ảnh", "Being ingested – not complete"],
  stateWithdrawn: ["Đã rút khỏi bản đồ", "Withdrawn from the map"],
  details: ["Chi tiết", "Details"],
  hideDetails: ["Thu gọn", "Less"],
  framesUsed: ["Ảnh đã dùng", "Photos used"],
  framesRejected: ["Ảnh bị loại", "Photos rejected"],
  framesWithdrawn: ["Ảnh đã rút", "Photos withdrawn"],
  communesCovered: ["Vùng phủ theo xã, phường", "Coverage by commune"],
  noCommunes: ["Chưa có ranh giới xã cho vùng này", "No commune boundaries for this area"],
  layers: ["Lớp bản đồ", "Map layers"],
  layerHillshade: ["Địa hình", "Terrain"],
  layerCommunes: ["Ranh giới xã, phường", "Commune boundaries"],
  communesFrom: ["theo ranh giới từ {0}", "as they stand since {0}"],
  layerFootprints: ["Khung từng ảnh", "Photo footprints"],
  layerGaps: ["Chỗ còn thiếu trong chuyến bay", "Ground missed by the flight"],
  layerNotFlown: ["Nơi chưa bay chụp", "Not flown"],
  revision: ["Bản ảnh", "Revision"],
  revisionLive: ["Ảnh trực tiếp (chưa hoàn thiện)", "Live (not finished)"],
  revisionFinal: ["Bản hoàn thiện {0} – {1}", "Finished {0} – {1}"],
  revisionNumber: ["Bản hoàn thiện {0}", "Finished {0}"],
  report: ["Báo cáo chất lượng", "Quality report"],
  dataLayer: ["Độ tin cậy của ảnh", "How far to trust it"],
  dataNone: ["Không hiện", "Not shown"],
  dataError: ["Sai số dự kiến", "Expected error"],
  dataAge: ["Tuổi của ảnh", "Age of the picture"],
  dataSurface: ["Bề mặt nắn ảnh", "Ground used"],
  errorNote: [
    "Trong nội bộ ảnh; cả tờ ảnh còn có thể lệch chung, xem khi bấm vào ảnh.",
    "Within the picture; all of it may be shifted as well: click the imagery.",
  ],
  commonShift: ["Lệch chung cả tờ", "Shift of the whole"],
  groundOf: ["Bề mặt", "Ground"],
  groundOwn: ["đo từ chính chuyến bay", "measured by the flight itself"],
  groundCorrected: ["suy ra hoặc hiệu chỉnh theo chuyến bay", "carried on or corrected from the flight"],
  groundDem: ["mô hình độ cao (DEM)", "terrain model (DEM)"],
  groundPlane: ["mặt phẳng (không có DEM)", "a flat plane (no DEM)"],
  errorUnknown: [
    "không rõ: không có mô hình độ cao, chỗ cao hoặc thấp hơn mặt phẳng bị lệch thêm",
    "not known: there is no terrain model, and ground above or below the plane is misplaced",
  ],
  legend: ["Chú giải", "Legend"],
  vn2000: ["VN-2000 KTT {0}", "VN-2000 CM {0}"],
  nearestMeridian: ["(gần nhất)", "(nearest)"],
  legendNoTerrain: [
    "Địa hình mờ dần: hết vùng đã có mô hình độ cao",
    "Shading fades out: no terrain is known beyond",
  ],
  legendNotFlown: ["Chưa bay chụp: không biết ở đó có gì", "Not flown: nothing is known about it"],
  legendFlight: ["Phạm vi chuyến bay", "Extent of a flight"],
  legendCommune: ["Ranh giới xã, phường", "Commune boundary"],
  legendFootprint: ["Khung ảnh trên mặt đất", "Footprint of a photo"],
  legendGap: ["Chỗ chưa chụp được, cần bay lại", "Missed ground: fly again"],
  legendPicked: ["Điểm đang xem và khung ảnh gốc", "Point shown, and its photo"],
  search: ["Tìm xã, phường (gõ không dấu cũng được)", "Find a commune (accents not needed)"],
  searchShort: ["Tìm xã, phường", "Find a commune"],
  searchNone: ["Không tìm thấy xã, phường nào", "No commune found"],
  menu: ["Danh sách", "List"],
  closeMenu: ["Xem bản đồ", "Show map"],
  close: ["Đóng", "Close"],
  zoomIn: ["Phóng to", "Zoom in"],
  zoomOut: ["Thu nhỏ", "Zoom out"],
  wholeEvent: ["Toàn cảnh", "Whole event"],
  elsewhere: ["Nơi khác: {0}", "Others: {0}"],
  elsewhereTitle: ["Chuyến bay ở nơi khác", "Flights elsewhere"],
  clickHint: ["Bấm vào ảnh để biết ảnh gốc, giờ chụp", "Click the imagery to see its photo and time"],
  evidenceTitle: ["Ảnh gốc tại điểm này", "Photo behind this point"],
  evidenceNone: ["Chưa bay chụp", "Not flown"],
  evidenceNoneText: [
    "Điểm này không có ảnh trong các chuyến bay đang hiện. Không suy ra được là ở đó không có gì.",
    "No shown flight imaged this point. It does not follow that nothing is there.",
  ],
  serverError: ["Máy chủ báo lỗi", "The server reports an error"],
  evidenceUnknown: [
    "Chưa biết điểm này có ảnh hay không. Trang sẽ tự hỏi lại khi máy chủ trả lời.",
    "Whether this point was imaged is not known. The page asks again when the server answers.",
  ],
  communeNone: [
    "Chưa bay chụp: các chuyến bay đang hiện không có ảnh xã, phường này. Không suy ra được là ở đó không có gì.",
    "Not flown: no shown flight imaged this commune. It does not follow that nothing is there.",
  ],
  communeSeen: ["Diện tích có ảnh", "Share imaged"],
  fatal: [
    "Không tải được bản đồ: {0}. Kiểm tra kết nối tới máy chủ; trang sẽ tự thử lại.",
    "The map cannot be loaded: {0}. Check the connection to the server; the page tries again by itself.",
  ],
  noAnswer: ["máy chủ không trả lời", "the server does not answer"],
  noAnswerTitle: ["Máy chủ không trả lời", "The server does not answer"],
  searchUnknown: [
    "Máy chủ không trả lời: chưa tìm được. Trang sẽ tự tìm lại.",
    "The server does not answer: nothing was searched. The page tries again.",
  ],
  outlinedAsIngested: [
    "theo vị trí ảnh khi nạp, không phải của bản hoàn thiện đang hiện",
    "as the photos were ingested, not as the finished revision on show places them",
  ],
  layerUnread: ["chưa đủ: máy chủ không trả lời", "not complete: the server does not answer"],
  photo: ["Tệp ảnh", "Photo file"],
  time: ["Giờ chụp", "Taken (UTC+7)"],
  camera: ["Máy ảnh", "Camera"],
  positionError: ["Sai số vị trí", "Position error"],
  poseGnss: ["GPS của máy bay", "aircraft GPS"],
  poseRtk: ["GPS RTK", "RTK GPS"],
  poseRegistered: ["khớp ảnh", "image registration"],
  poseAdjusted: ["bình sai khối ảnh", "bundle adjustment"],
  flight: ["Chuyến bay", "Flight"],
  location: ["Toạ độ WGS 84", "WGS 84"],
  commune: ["Xã, phường", "Commune"],
  settled: ["Đã hiệu chỉnh khi nạp", "Settled when ingested"],
  openOriginal: ["Mở ảnh gốc", "Open the original photo"],
  previewAlt: ["Ảnh gốc thu nhỏ", "The photo, reduced"],
  warning: ["Lưu ý", "Note"],
  loginTitle: ["Đăng nhập", "Sign in"],
  loginText: [
    "Dán mã truy cập mà quản trị viên đã cấp (lệnh “flycam user add”).",
    "Paste the access token your administrator gave you (“flycam user add”).",
  ],
  loginToken: ["Mã truy cập", "Access token"],
  loginButton: ["Vào bản đồ", "Open the map"],
  upload: ["Tải ảnh lên", "Upload"],
  logout: ["Thoát", "Sign out"],
  openAccess: ["Chỉ máy này, chưa đặt tài khoản", "This computer only, no accounts yet"],
  offline: [
    "Mất kết nối với máy chủ. Bản đồ đang hiện là bản đã tải; sẽ tự thử lại.",
    "No connection to the server. The map shows what was loaded; retrying.",
  ],
  loading: ["Đang tải…", "Loading…"],
  north: ["B", "N"],
  south: ["N", "S"],
  east: ["Đ", "E"],
  west: ["T", "W"],
  seconds: ["{0} giây", "{0} s"],
  minutes: ["{0} phút", "{0} min"],
  hours: ["{0} giờ", "{0} h"],
  aloftTitle: ["Máy bay đang bay", "Aircraft in the air"],
  aloftPicture: ["hình cách đây {0}", "picture {0} old"],
  aloftNoPicture: ["chưa có hình", "no picture yet"],
  aloftLastPicture: ["Hình cuối: {0}", "Last picture: {0}"],
  aloftLaid: ["Mới nhất trên bản đồ: {0}", "Newest on the map: {0}"],
  aloftSince: ["từ {0} trước", "for {0}"],
  aloftLostVideo: ["MẤT HÌNH", "VIDEO LOST"],
  aloftLostTelemetry: ["MẤT SỐ LIỆU BAY", "TELEMETRY LOST"],
  aloftLostProgram: ["MẤT LIÊN LẠC với máy nhận hình", "NO NEWS from the receiving computer"],
  aloftLostServer: ["KHÔNG CÓ TIN từ máy chủ", "NO NEWS from the server"],
  aloftLinks: ["Hình: {0} · số liệu bay: {1}", "Video: {0} · telemetry: {1}"],
  aloftLinkGood: ["tốt", "good"],
  aloftLinkLost: ["mất {0}", "lost {0}"],
  aloftLinkNever: ["chưa có", "none yet"],
  aloftReplay: ["PHÁT LẠI", "REPLAY"],
  aloftHeight: ["Cao hơn chỗ cất cánh {0} m", "{0} m above take-off"],
  aloftNoPlace: ["Chưa biết vị trí máy bay", "Where the aircraft is, is not known"],
  aloftPlaceOld: ["Vị trí máy bay cách đây {0}", "The aircraft's place is {0} old"],
  aloftClosing: ["Hết hình, đang trải nốt lên bản đồ", "No more pictures; the last are being laid"],
  aloftEnded: ["Đã bay xong", "The flight has ended"],
  aloftFailed: ["Đã dừng vì lỗi: {0}", "Stopped by an error: {0}"],
  aloftRecording: ["PHÁT LẠI bản ghi: lúc này máy bay không ở đó", "A RECORDING played again: the aircraft is not there now"],
  aloftLeftOut: ["Không dùng", "Not used"],
  aloftRecorded: ["Video đã ghi: {0}", "Video recorded: {0}"],
  aloftNewest: ["Hình mới nhất từ máy bay", "The newest picture from the aircraft"],
  videoPlay: ["Xem lại video", "Play the video"],
  videoOfFlight: ["Video", "Video"],
  videoClose: ["Đóng video", "Close the video"],
  videoNone: ["Chưa ghi được đoạn video nào", "No video is recorded yet"],
  videoWithheld: ["Video này đã bị rút, chỉ quản trị viên xem được", "This video was withdrawn: administrators only"],
  videoCodec: ["Trình duyệt này không phát được video {0}; tải về để xem", "This browser does not play {0}; download it"],
  videoBroken: ["Không phát được đoạn này, xem đoạn sau", "This stretch does not play; the next one follows"],
  videoEnd: ["Hết đoạn đã ghi; đang chờ đoạn mới", "End of what is recorded; waiting for more"],
  videoOver: ["Hết video", "End of the video"],
  videoFailed: ["Không hỏi được máy chủ; bấm lại để thử", "The server did not answer; press again"],
  videoDownload: ["Tải đoạn này", "Download this stretch"],
  videoWhen: ["Đoạn video, cũ nhất đến mới nhất", "Stretch of the video, oldest to newest"],
  aloftMore: ["Chi tiết", "Details"],
  aloftElsewhere: ["Đang bay ở sự kiện khác: {0}", "In the air in another event: {0}"],
  legendAircraft: ["Máy bay, đường bay, khung hình mới nhất", "Aircraft, its track, its newest picture"],
  ageNow: ["vừa xong", "just now"],
  ageMinutes: ["{0} phút trước", "{0} min ago"],
  ageHours: ["{0} giờ trước", "{0} h ago"],
  ageDays: ["{0} ngày trước", "{0} days ago"],
  ageYears: ["{0} năm trước", "{0} years ago"],
  ageFuture: ["giờ máy ảnh ở tương lai", "camera clock is ahead"],
  layer_colour: ["Ảnh màu", "Colour"],
  layer_infrared: ["Cận hồng ngoại", "Near infrared"],
  layer_thermal: ["Ảnh nhiệt", "Thermal"],
  layer_night: ["Ảnh đêm", "Night"],
  reason_unreadable: ["không đọc được", "unreadable"],
  reason_no_position: ["không có vị trí", "no position"],
  reason_telemetry_gap: ["thiếu dữ liệu bay", "telemetry gap"],
  reason_pose_rejected: ["vị trí, góc chụp sai", "pose rejected"],
  reason_horizon_in_view: ["chụp ngang chân trời", "horizon in view"],
  reason_outside_terrain: ["ngoài vùng có địa hình", "outside the terrain"],
  reason_too_blurred: ["mờ, nhoè", "too blurred"],
  reason_lens_covered: ["ống kính bị che", "lens covered"],
  reason_duplicate: ["trùng lặp", "duplicate"],
  reason_rejected: ["bị loại", "rejected"],
} satisfies Record<string, [string, string]>;

export type Word = keyof typeof words;

let current: Language = "vi";

export function language(): Language {
  return current;
}

export function setLanguage(next: Language): void {
  current = next;
  document.documentElement.lang = next;
  document.title = `flycam – ${t("appTitle")}`;
}

export function t(word: Word, ...values: (string | number)[]): string {
  const text = words[word][current === "vi" ? 0 : 1];
  return values.reduce<string>((out, value, i) => out.replace(`{${i}}`, String(value)), text);
}

/** For what the server says in both languages. */
export function inLanguage(vietnamese: string, english: string): string {
  return current === "vi" ? vietnamese : english;
}

/** What a warning says of the revision that is drawn. */
export function warned(one: Warning, isFinished: boolean): string {
  return isFinished ? inLanguage(one.finished_vi, one.finished) : inLanguage(one.brief_vi, one.brief);
}

/** For words whose key comes from the server: falls back to the server's own spelling. */
export function tOr(key: string, fallback: string): string {
  return key in words ? t(key as Word) : fallback;
}
