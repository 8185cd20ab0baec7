"""Names of the reasons for which parts of a video were rejected: keys are counted, people read these."""

from __future__ import annotations

from collections.abc import Mapping

_WORDS: Mapping[str, tuple[str, str]] = {
    "overrun": ("came faster than they could be laid", "đến nhanh hơn tốc độ xử lý"),
    "undecoded": ("came faster than they could be decoded", "đến nhanh hơn tốc độ giải mã"),
    "broken": ("could not be decoded", "bị hỏng, không giải mã được"),
    "unrecorded": ("are not in the recording of the video", "không có trong bản ghi video"),
    "thinned": ("left out when late, their neighbours show it", "bỏ bớt khi xử lý chậm, ảnh kề bên đã có"),
    "no_time": ("show new ground there was no time to lay", "chụp chỗ mới nhưng không kịp trải"),
    "store_away": ("show new ground while the store was away", "chụp chỗ mới khi kho lưu trữ mất liên lạc"),
    "pts_backwards": ("bear a time that goes backwards", "có mốc thời gian lùi lại"),
    "torn": ("torn", "bị vỡ hình"),
    "filmed_before": ("show what is on the map already", "chụp chỗ đã có trên bản đồ"),
    "withdrawn": ("withdrawn", "đã bị rút"),
    "telemetry_gap": ("the log says nothing of", "không có số liệu trong nhật ký bay"),
    "pose_rejected": ("position or attitude cannot be right", "có vị trí hoặc hướng không hợp lý"),
    "horizon_in_view": ("look at the horizon", "nhìn vào chân trời"),
    "outside_terrain": ("outside the terrain that is known", "nằm ngoài địa hình đã biết"),
    "no_height": ("no usable height", "không có độ cao dùng được"),
    "no_sight": ("do not say which way they look", "không ghi hướng nhìn của máy ảnh"),
    "no_position": ("no usable position", "không có vị trí dùng được"),
    "calibration_missing": ("lens unknown", "chưa biết ống kính"),
    "too_blurred": ("too blurred", "quá mờ"),
    "lens_covered": ("black, or the lens covered", "ảnh đen hoặc ống kính bị che"),
    "unreadable": ("unreadable", "không đọc được"),
    "no_fix": ("samples without a GNSS fix", "mẫu nhật ký chưa bắt được GNSS"),
    "jump": ("samples that jump", "mẫu nhật ký nhảy vị trí"),
    "frozen": ("samples that stand still in flight", "mẫu nhật ký đứng yên khi đang bay"),
    "bad_signature": ("packets without a valid signature", "gói tin không có chữ ký đúng"),
    "noise": ("bytes that are no packet", "byte không phải gói tin"),
    "damaged": ("packets damaged", "gói tin hỏng"),
    "unwritten": (
        "packets are not in the recording of the telemetry",
        "gói tin không có trong bản ghi dữ liệu",
    ),
}

_UNFITTED: Mapping[str, tuple[str, str]] = {
    "first": ("show ground that no frame before showed", "chụp chỗ chưa có khung hình nào trước đó"),
    "few": ("have too little in common with those before", "có quá ít điểm chung với các khung hình trước"),
    "unclear": ("agree with those before on no pose", "không khớp rõ với các khung hình trước"),
    "far": ("would lie farther off than the log allows", "sẽ lệch xa hơn mức nhật ký cho phép"),
    "worse": ("would fit worse than by the log", "sẽ khớp kém hơn so với nhật ký"),
    "hurried": ("came too fast to be fitted", "đến quá nhanh, không kịp khớp"),
}


def format_unregistered_counts(counts: Mapping[str, int], language: str = "en") -> str:
    """Format counts of video frames not registered to earlier ones, by reason.

    As `format_rejection_counts`.
    """
    return _format_counts(_UNFITTED, counts, language)


def format_rejection_counts(counts: Mapping[str, int], language: str = "en") -> str:
    """Format counts by reason as a list in "vi" or "en"; "" for no counts.

    A reason without a name is written as its key.
    """
    return _format_counts(_WORDS, counts, language)


def _format_counts(words: Mapping[str, tuple[str, str]], counts: Mapping[str, int], language: str) -> str:
    column = language == "vi"
    said = ((count, words.get(reason, (reason, reason))[column]) for reason, count in sorted(counts.items()))
    return ", ".join(f"{count} {what}" for count, what in said if count)
