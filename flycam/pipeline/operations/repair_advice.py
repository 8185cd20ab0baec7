"""Advice on objects that the node cannot make again by itself, in both languages."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.pipeline.operations.inventory import REPLACEABLE_KINDS, InventoryItem, InventoryKind


@dataclass(frozen=True, slots=True)
class RepairAdvice:
    """One sentence, English and Vietnamese."""

    en: str
    vi: str


_FROM_COPY = RepairAdvice(
    "put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP",
    "lấy lại từ nơi còn giữ: flycam verify --from THẺ_NHỚ|THƯ_MỤC|BẢN_SAO_LƯU",
)
_ADVICE = {
    InventoryKind.PHOTO: RepairAdvice(
        "put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP; a picture of "
        "a film that is lost comes back with the same film: flycam live",
        "lấy lại từ nơi còn giữ: flycam verify --from THẺ_NHỚ|THƯ_MỤC|BẢN_SAO_LƯU; ảnh cắt từ video bị mất "
        "thì chạy lại flycam live với chính video đó",
    ),
    InventoryKind.TERRAIN: RepairAdvice(
        "put it back from a backup (flycam verify --from BACKUP), or ingest the flight's photos, or lay its "
        "film, again",
        "lấy lại từ bản sao lưu (flycam verify --from BẢN_SAO_LƯU), hoặc nạp lại ảnh hay video của chuyến "
        "bay",
    ),
    InventoryKind.TILE: RepairAdvice(
        "the photos or the terrain it is made of are not whole: bring those back and verify again, put it "
        "back from a backup, or run 'flycam finish' for a new revision",
        "ảnh gốc hoặc mô hình độ cao để dựng mảnh này không còn nguyên: hãy khôi phục rồi đọc lại, lấy từ "
        "bản sao lưu, hoặc chạy 'flycam finish' để có bản mới",
    ),
    InventoryKind.GIVEN: RepairAdvice(
        "put it back from a backup (flycam verify --from BACKUP), or have the box that gave it write all of "
        "it once more: flycam bundle write --all",
        "lấy lại từ bản sao lưu (flycam verify --from BẢN_SAO_LƯU), hoặc để máy đã gửi ghi lại toàn bộ: "
        "flycam bundle write --all",
    ),
    InventoryKind.CLIP: RepairAdvice(
        "the tiles it is cut from are not whole: bring those back and verify again",
        "các mảnh bản đồ của nó không còn nguyên: hãy khôi phục rồi chạy lại verify",
    ),
    InventoryKind.REPORT: RepairAdvice(
        "make it anew: flycam report FLIGHT OUT.pdf",
        "làm lại: flycam report CHUYẾN_BAY TỆP.pdf",
    ),
    InventoryKind.PACK: RepairAdvice(
        "put it back from a backup (flycam verify --from BACKUP), or ask for a new meeting pack on the map",
        "lấy lại từ bản sao lưu (flycam verify --from BẢN_SAO_LƯU), hoặc yêu cầu gói họp mới trên bản đồ",
    ),
}
_BUSY = RepairAdvice(
    "its flight is being written at this moment: verify again when that is done",
    "chuyến bay đang được ghi: hãy chạy lại verify khi ghi xong",
)
_NOT_TRIED = RepairAdvice(
    "nothing was mended in this dry run: flycam verify makes it again, or says what it lacks",
    "đây là lần chạy thử, chưa sửa gì: flycam verify sẽ dựng lại, hoặc nói còn thiếu gì",
)


def choose_advice(item: InventoryItem, *, is_busy: bool, was_tried: bool) -> RepairAdvice:
    """Choose the advice for a lost or damaged object.

    is_busy: its flight could not be written now; was_tried: a repair was attempted.
    """
    if not was_tried and item.kind in REPLACEABLE_KINDS:
        return _NOT_TRIED
    return _BUSY if is_busy else _ADVICE.get(item.kind, _FROM_COPY)
