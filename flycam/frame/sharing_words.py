"""What is to be said when pictures go out of the house."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.warning_words import Words

MASKS_COVERED = "masks_covered"

SHARING_WORDS: Mapping[str, Words] = {
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
