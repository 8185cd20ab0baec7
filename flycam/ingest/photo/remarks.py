"""Remarks of the photo readers in both languages; photos carry the English one."""

from __future__ import annotations

from collections.abc import Mapping

REMARKS_VI: Mapping[str, str] = {
    "the JPEG header holds stray bytes": "phần đầu tệp JPEG có byte lạ",
    "the EXIF block is cut off": "khối EXIF bị cắt cụt",
    "the EXIF block is damaged: ignored": "khối EXIF bị hỏng nên được bỏ qua",
    "EXIF position has no hemisphere letter: north and east are assumed": (
        "toạ độ EXIF không ghi bán cầu, được coi là vĩ độ bắc và kinh độ đông"
    ),
    "EXIF position is out of range: ignored": "toạ độ EXIF vượt giới hạn nên được bỏ qua",
    "the XMP packet is larger than 1 MB: ignored": "gói XMP lớn hơn 1 MB nên được bỏ qua",
    "the XMP packet is empty": "gói XMP trống",
    "the XMP packet declares an entity or a document type: ignored; copy the photo again": (
        "gói XMP có khai báo thực thể hoặc kiểu tài liệu nên được bỏ qua; hãy chép lại ảnh"
    ),
    "the XMP packet is damaged: read by pattern": "gói XMP bị hỏng, chỉ đọc được từng phần",
    "angles come from the maker note, because the photo has no XMP": (
        "các góc được lấy từ ghi chú của hãng (maker note) vì ảnh không có XMP"
    ),
}
