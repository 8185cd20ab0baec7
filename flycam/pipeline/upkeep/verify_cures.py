"""What to do about an object that the house cannot make again by itself, in both languages."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.pipeline.upkeep.held import REPLACED, Held, Kind


@dataclass(frozen=True, slots=True)
class Cure:
    """One sentence, English and Vietnamese."""

    en: str
    vi: str


_FROM_COPY = Cure(
    "put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP",
    "lấy lại từ nơi còn giữ: flycam verify --from THẺ_NHỚ|THƯ_MỤC|BẢN_SAO_LƯU",
)
_CURES = {
    Kind.PHOTO: Cure(
        "put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP; a picture of "
        "a film that is lost comes back with the same film: flycam live",
        "lấy lại từ nơi còn giữ: flycam verify --from THẺ_NHỚ|THƯ_MỤC|BẢN_SAO_LƯU; ảnh cắt từ video bị mất "
        "thì chạy lại flycam live với chính video đó",
    ),
    Kind.TERRAIN: Cure(
        "put it back from a backup (flycam verify --from BACKUP), or ingest the flight's photos, or lay its "
        "film, again",
        "lấy lại từ bản sao lưu (flycam verify --from BẢN_SAO_LƯU), hoặc nạp lại ảnh hay video của chuyến "
        "bay",
    ),
    Kind.TILE: Cure(
        "the photos or the terrain it is made of are not whole: bring those back and verify again, put it "
        "back from a backup, or run 'flycam finish' for a new revision",
        "ảnh gốc hoặc mô hình độ cao để dựng mảnh này không còn nguyên: hãy khôi phục rồi đọc lại, lấy từ "
        "bản sao lưu, hoặc chạy 'flycam finish' để có bản mới",
    ),
    Kind.GIVEN: Cure(
        "put it back from a backup (flycam verify --from BACKUP), or have the box that gave it write all of "
        "it once more: flycam bundle write --all",
        "lấy lại từ bản sao lưu (flycam verify --from BẢN_SAO_LƯU), hoặc để máy đã gửi ghi lại toàn bộ: "
        "flycam bundle write --all",
    ),
    Kind.CLIP: Cure(
        "the tiles it is cut from are not whole: bring those back and verify again",
        "các mảnh bản đồ của nó không còn nguyên: hãy khôi phục rồi chạy lại verify",
    ),
    Kind.REPORT: Cure(
        "make it anew: flycam report FLIGHT OUT.pdf",
        "làm lại: flycam report CHUYẾN_BAY TỆP.pdf",
    ),
    Kind.PACK: Cure(
        "put it back from a backup (flycam verify --from BACKUP), or ask for a new meeting pack on the map",
        "lấy lại từ bản sao lưu (flycam verify --from BẢN_SAO_LƯU), hoặc yêu cầu gói họp mới trên bản đồ",
    ),
}
_BUSY = Cure(
    "its flight is being written at this moment: verify again when that is done",
    "chuyến bay đang được ghi: hãy chạy lại verify khi ghi xong",
)
_NOT_TRIED = Cure(
    "nothing was mended in this dry run: flycam verify makes it again, or says what it lacks",
    "đây là lần chạy thử, chưa sửa gì: flycam verify sẽ dựng lại, hoặc nói còn thiếu gì",
)


def cure_of(held: Held, *, is_busy: bool, was_tried: bool) -> Cure:
    """What to do about an object that is lost or damaged. is_busy: its flight could not be written now;
    was_tried: what can be made again was to be."""
    if not was_tried and held.kind in REPLACED:
        return _NOT_TRIED
    return _BUSY if is_busy else _CURES.get(held.kind, _FROM_COPY)
