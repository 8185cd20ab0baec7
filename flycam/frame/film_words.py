"""What is to be said of a film's flight: that its clock, or its log, is in doubt."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.warning_words import Words

CLOCK_UNKNOWN = "clock_unknown"
CLOCK_UNKNOWN_LIVE = "clock_unknown_live"
LOG_DOUBTED = "log_doubted"
LOG_DOUBTED_LIVE = "log_doubted_live"

FILM_WORDS: Mapping[str, Words] = {
    CLOCK_UNKNOWN: Words(
        brief_vi="{film}: đồng hồ video và nhật ký lệch nhau chưa rõ, ± {sigma} giây",
        brief_en="{film}: clocks of video and log differ by an unknown time, ± {sigma} s",
        sentence_vi=(
            "{film}: chuyển động trong hình không cho biết đồng hồ video và nhật ký lệch nhau bao nhiêu (±"
            " {sigma} giây): ảnh có thể lệch {metres} m theo hướng bay; nếu biết, hãy nhập bằng"
            " --clock-offset."
        ),
        sentence_en=(
            "{film}: the pictures' motion does not tell how far the clocks of video and log lie apart (±"
            " {sigma} s): frames may lie {metres} m off along the course; give the difference with"
            " --clock-offset."
        ),
    ),
    CLOCK_UNKNOWN_LIVE: Words(
        brief_vi="{film}: có ảnh được đặt khi chưa rõ độ lệch đồng hồ video và nhật ký, ± {sigma} giây",
        brief_en="{film}: frames were laid before the clocks of video and log were known, ± {sigma} s",
        sentence_vi=(
            "{film}: có khung hình được đặt lên bản đồ khi chưa biết đồng hồ video và nhật ký lệch nhau bao"
            " nhiêu (± {sigma} giây): chúng có thể lệch {metres} m theo hướng bay; hãy chạy 'flycam finish'"
            " cho chuyến bay này."
        ),
        sentence_en=(
            "{film}: frames were laid while it was not known how far the clocks of video and log lie apart (±"
            " {sigma} s): they may lie {metres} m off along the course; run 'flycam finish' on this flight."
        ),
    ),
    LOG_DOUBTED: Words(
        brief_vi="{film}: {log} có thể không phải của video này",
        brief_en="{film}: {log} may be of another film",
        sentence_vi=(
            "{film}: {log} có thể không phải nhật ký của video này: {why_vi}. Hãy kiểm tra; nếu không phải,"
            " chạy lại 'flycam live' cho video này với đúng nhật ký: ảnh sẽ được trải lại."
        ),
        sentence_en=(
            "{film}: {log} may not be of this film: {why}. Check it; if it is not, give the film to 'flycam"
            " live' again with its own log: it is laid anew by that."
        ),
    ),
    LOG_DOUBTED_LIVE: Words(
        brief_vi="{film}: dữ liệu bay {log} có thể của máy bay khác",
        brief_en="{film}: the telemetry {log} may be of another aircraft",
        sentence_vi=(
            "{film}: dữ liệu bay {log} có thể của máy bay khác: {why_vi}. Ảnh có thể nằm sai chỗ; hãy kiểm"
            " tra địa chỉ đã nhập; nếu đúng là nhầm, gỡ chuyến bay bằng 'flycam withdraw'."
        ),
        sentence_en=(
            "{film}: the telemetry {log} may be of another aircraft: {why}. Its pictures may lie in the wrong"
            " place: check the addresses given; if they were mixed up, take the flight off the map with"
            " 'flycam withdraw'."
        ),
    ),
}
