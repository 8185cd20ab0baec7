"""Names of kinds of field marks and of their states: (Vietnamese, English)."""

from __future__ import annotations

from flycam.frame.mark import MarkKind, MarkStatus

MARK_KIND_NAMES = {
    MarkKind.RESCUE: ("người cần cứu", "people to rescue"),
    MarkKind.BLOCKED: ("đường tắc", "road blocked"),
    MarkKind.CRACK: ("vết nứt", "crack"),
    MarkKind.LANDING: ("bãi đáp", "landing place"),
    MarkKind.ASSEMBLY: ("điểm tập kết", "assembly point"),
    MarkKind.OTHER: ("dấu khác", "other"),
    MarkKind.SECTOR: ("khu vực tìm kiếm", "search sector"),
}
MARK_STATUS_NAMES = {
    MarkStatus.OPEN: ("mới báo, chưa xác minh", "reported, not verified"),
    MarkStatus.DOING: ("đang xử lý", "being dealt with"),
    MarkStatus.DONE: ("đã xong", "done"),
    MarkStatus.REMOVED: ("đã gỡ", "removed"),
}
