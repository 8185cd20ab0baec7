"""What stands on slides alone, in Vietnamese and English: few words, for they are read from five metres."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.report.words import Said

SLIDE_WORDS: Mapping[str, Said] = {
    "covered_slide": Said("có vùng che", "partly masked"),
    "slide_changes": Said(
        "thay đổi đã xác nhận (viền tím): {said}, tổng {area}",
        "confirmed changes (violet): {said}; {area} in all",
    ),
    "slide_none_changed": Said(
        "không có thay đổi nào được xác nhận trên phần đã so", "no change confirmed on what was compared"
    ),
    "slide_rescue": Said("NGƯỜI CẦN CỨU: {count} nơi", "PEOPLE TO RESCUE: {count:place|places}"),
    "slide_rescue_new": Said("({count} mới báo, chưa xác minh)", "({count} reported, not verified)"),
    "slide_reported": Said("mới báo, chưa xác minh: {kinds}", "reported, not verified: {kinds}"),
    "slide_compared": Said(
        "đã so ảnh trước và sau trên {pct} diện tích", "before and after compared on {pct} of it"
    ),
    "slide_not_compared": Said("chưa so ảnh trước và sau", "before and after not compared"),
    "slide_drawn": Said("vẽ tay", "drawn by hand"),
    "slide_doubted": Said("cặp ảnh kém chắc chắn", "two doubtful pictures"),
    "slide_stands_in": Said("bản khác bản đã dùng", "another revision than was used"),
    "slide_confirmed": Said("người xác nhận: {name}", "confirmed by {name}"),
}
