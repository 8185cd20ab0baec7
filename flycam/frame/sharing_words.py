"""What is to be said when pictures go out of the house."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.warning_words import Words

LINKED_AREA = "linked_area"
MASKS_COVERED = "masks_covered"

SHARING_WORDS: Mapping[str, Words] = {
    LINKED_AREA: Words(
        brief_vi="ảnh ghép {area_vi} km², vượt mức {limit_vi} km²",
        brief_en="a linked mosaic of {area} km², above the set {limit} km²",
        sentence_vi=(
            "Ảnh ghép đưa ra ngoài có diện tích {area_vi} km², vượt mức {limit_vi} km² đã đặt"
            " (FLYCAM_LINKED_KM2): hãy xin ý kiến người có thẩm quyền trước khi chuyển tiếp, hoặc chỉ chia sẻ"
            " các xã cần thiết. Việc này đã được ghi vào nhật ký."
        ),
        sentence_en=(
            "What goes out is a linked mosaic of {area} km², above the {limit} km² that were set"
            " (FLYCAM_LINKED_KM2): ask whoever may decide on it before you hand it on, or share only the"
            " communes that are needed. It is in the audit log."
        ),
    ),
    MASKS_COVERED: Words(
        brief_vi="đã che theo vùng che",
        brief_en="masks are covered",
        sentence_vi=(
            "Chỗ có vùng che (nhà dân, nạn nhân) để trống trong tệp này, dù ai lập tệp: chỗ trống đó không"
            " phải là chưa bay chụp."
        ),
        sentence_en=(
            "What masks cover (homes, victims) is left empty in this file, whoever made it: it is not ground"
            " that was not imaged."
        ),
    ),
}
