"""The only table from an error to its exit code, HTTP status and the words that people read."""

from __future__ import annotations

from dataclasses import dataclass

from flycam import errors as e

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_STORAGE = 4
EXIT_REFUSED = 5
# done, but some files are on the memory card alone: it must not be wiped
EXIT_INCOMPLETE = 6
# 128 + SIGINT, as shells report Ctrl-C
EXIT_CANCELLED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of an error: exit code, HTTP status, and a heading in both languages."""

    exit_code: int
    http_status: int
    heading_en: str
    heading_vi: str


_INTERNAL = Outcome(EXIT_INTERNAL, 500, "Internal error", "Lỗi bên trong phần mềm")

OUTCOMES: dict[type[Exception], Outcome] = {
    e.InputUnusable: Outcome(EXIT_INPUT, 422, "The input cannot be used", "Không dùng được dữ liệu đầu vào"),
    e.OptionUnusable: Outcome(EXIT_USAGE, 422, "The command is not right", "Câu lệnh chưa đúng"),
    e.SourceUnreadable: Outcome(EXIT_INPUT, 422, "The file cannot be read", "Không đọc được tệp"),
    e.StreamUnreadable: Outcome(EXIT_INPUT, 422, "No video comes", "Không nhận được video"),
    e.CalibrationMissing: Outcome(EXIT_INPUT, 422, "The camera is not known", "Chưa biết thông số máy ảnh"),
    e.PositionMissing: Outcome(EXIT_INPUT, 422, "The photos have no position", "Ảnh không có toạ độ"),
    e.PhotosUnpositioned: Outcome(EXIT_INPUT, 422, "No photo can be placed", "Không đặt được ảnh nào"),
    e.VideoUnpositioned: Outcome(EXIT_INPUT, 422, "The film has no position", "Chưa có vị trí của video"),
    e.TerrainMissing: Outcome(EXIT_INPUT, 422, "No terrain here", "Không có mô hình độ cao ở khu vực này"),
    e.CrsMissing: Outcome(EXIT_INPUT, 422, "No coordinate system", "Tệp không ghi hệ toạ độ"),
    e.DatumUnknown: Outcome(EXIT_INPUT, 422, "Height datum not known", "Chưa rõ hệ độ cao"),
    e.BoundaryInvalid: Outcome(EXIT_INPUT, 422, "No usable boundary", "Không có ranh giới dùng được"),
    e.LayerInvalid: Outcome(EXIT_INPUT, 422, "No usable layer", "Không có lớp dữ liệu dùng được"),
    e.NotFound: Outcome(EXIT_INPUT, 404, "Not found", "Không tìm thấy"),
    e.OriginalPurged: Outcome(
        EXIT_INPUT, 410, "Let go under the retention term", "Đã xoá theo thời hạn lưu giữ"
    ),
    e.DueListChanged: Outcome(EXIT_INPUT, 409, "The list has changed", "Danh sách đã thay đổi"),
    e.NameTaken: Outcome(EXIT_INPUT, 409, "The name is taken", "Tên đã được dùng"),
    e.FlightBoundToEvent: Outcome(
        EXIT_INPUT, 409, "The flight stays in its event", "Chuyến bay phải ở lại sự kiện"
    ),
    e.RealDataPresent: Outcome(EXIT_INPUT, 409, "Something real is here", "Ở đây đã có dữ liệu thật"),
    e.FrameRejected: Outcome(EXIT_INPUT, 422, "No frame can be used", "Không dùng được ảnh nào"),
    e.StorageFailed: Outcome(EXIT_STORAGE, 503, "Storage trouble", "Lỗi lưu trữ"),
    e.StoreUnavailable: Outcome(EXIT_STORAGE, 503, "The store does not answer", "Kho lưu trữ không trả lời"),
    e.PeerUnavailable: Outcome(EXIT_STORAGE, 503, "The server does not answer", "Máy chủ không trả lời"),
    e.StoreDenied: Outcome(EXIT_STORAGE, 503, "The store denies access", "Kho lưu trữ từ chối truy cập"),
    e.BucketMissing: Outcome(EXIT_STORAGE, 503, "The bucket does not exist", "Chưa có bucket lưu trữ"),
    e.StoreConflict: Outcome(
        EXIT_STORAGE, 409, "Something else was written first", "Đã có thay đổi khác được ghi trước"
    ),
    e.DiskFull: Outcome(EXIT_STORAGE, 507, "The disk is full", "Ổ đĩa đã đầy"),
    e.ObjectMissing: Outcome(EXIT_STORAGE, 503, "An object is missing", "Thiếu dữ liệu trong kho"),
    e.RecordsMissing: Outcome(EXIT_STORAGE, 409, "It has to be sent again", "Cần gửi lại"),
    e.TileCorrupt: Outcome(EXIT_STORAGE, 503, "A tile is damaged", "Mảnh bản đồ bị hỏng"),
    e.DataDamaged: Outcome(
        EXIT_STORAGE, 503, "Not all that is kept is whole", "Dữ liệu lưu giữ không còn nguyên vẹn"
    ),
    e.CatalogUnavailable: Outcome(
        EXIT_STORAGE, 503, "The catalogue does not open", "Không mở được cơ sở dữ liệu"
    ),
    e.FlightBusy: Outcome(EXIT_STORAGE, 409, "The flight is busy", "Chuyến bay đang được xử lý"),
    e.ClusterUnavailable: Outcome(
        EXIT_STORAGE, 503, "The cluster does not answer", "Cụm máy tính không trả lời"
    ),
    e.WorkerIncompatible: Outcome(
        EXIT_STORAGE, 503, "A worker does not belong to this house", "Máy phụ không cùng hệ thống"
    ),
    e.AccessDenied: Outcome(EXIT_USAGE, 403, "Not allowed", "Không có quyền"),
    e.UploadIncomplete: Outcome(EXIT_INCOMPLETE, 409, "Keep the card", "Phải giữ thẻ nhớ"),
    e.FeatureDisabled: Outcome(
        EXIT_USAGE, 404, "This server does not do that", "Máy chủ này không có chức năng đó"
    ),
    e.ServerUntrusted: Outcome(EXIT_INPUT, 422, "The server is not believed", "Chưa tin được máy chủ"),
    e.SignInUnavailable: Outcome(
        EXIT_STORAGE, 503, "The sign-in service cannot be used", "Không dùng được dịch vụ đăng nhập"
    ),
    e.Cancelled: Outcome(EXIT_CANCELLED, 409, "Stopped", "Đã dừng"),
    e.EvidenceInsufficient: Outcome(EXIT_REFUSED, 409, "Refused by evidence", "Không đủ căn cứ để kết luận"),
}


def get_outcome(error: BaseException) -> Outcome:
    """Return the nearest entry up the error's class tree, else the internal error."""
    return next((OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES), _INTERNAL)


def get_exit_code(error: BaseException) -> int:
    """Return the exit code of the process."""
    return get_outcome(error).exit_code


def get_http_status(error: BaseException) -> int:
    """Return the HTTP status."""
    return get_outcome(error).http_status


def format_error(error: BaseException, language: str = "en") -> str:
    """Return heading and sentence of an error.

    `language` is "en", or "vi" (English where the error has no Vietnamese).
    """
    outcome = get_outcome(error)
    heading = outcome.heading_vi if language == "vi" else outcome.heading_en
    return f"{heading}: {format_error_detail(error, language)}"


def format_error_detail(error: BaseException, language: str = "en") -> str:
    """Return the sentence of an error without the heading.

    An internal error keeps its type's name.
    """
    if get_outcome(error) is _INTERNAL:
        return f"{type(error).__name__}: {error}"
    return getattr(error, "vi", None) or str(error) if language == "vi" else str(error)
