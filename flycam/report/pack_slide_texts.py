"""Texts of slides alone, in Vietnamese and English.

Few words, as they are read from five metres.
"""

from __future__ import annotations

from collections.abc import Mapping

from flycam.report.texts import TranslatedText

SLIDE_TEXTS: Mapping[str, TranslatedText] = {
    "covered_slide": TranslatedText("có vùng che", "partly masked"),
    "slide_changes": TranslatedText(
        "thay đổi đã xác nhận (viền tím): {said}, tổng {area}",
        "confirmed changes (violet): {said}; {area} in all",
    ),
    "slide_none_changed": TranslatedText(
        "không có thay đổi nào được xác nhận trên phần đã so", "no change confirmed on what was compared"
    ),
    "slide_rescue": TranslatedText("NGƯỜI CẦN CỨU: {count} nơi", "PEOPLE TO RESCUE: {count:place|places}"),
    "slide_rescue_new": TranslatedText(
        "({count} mới báo, chưa xác minh)", "({count} reported, not verified)"
    ),
    "slide_reported": TranslatedText("mới báo, chưa xác minh: {kinds}", "reported, not verified: {kinds}"),
    "slide_compared": TranslatedText(
        "đã so ảnh trước và sau trên {pct} diện tích", "before and after compared on {pct} of it"
    ),
    "slide_not_compared": TranslatedText("chưa so ảnh trước và sau", "before and after not compared"),
    "slide_drawn": TranslatedText("vẽ tay", "drawn by hand"),
    "slide_doubted": TranslatedText("cặp ảnh kém chắc chắn", "two doubtful pictures"),
    "slide_stands_in": TranslatedText("bản khác bản đã dùng", "another revision than was used"),
    "slide_confirmed": TranslatedText("người xác nhận: {name}", "confirmed by {name}"),
}
