"""What `flycam upload` says of a card before its heavy bytes went."""

from __future__ import annotations

from typing import Any

import pytest

from flycam.cli.upload import format_upload, format_upload_preview_lines
from flycam.ingest.upload.client import UploadReport
from flycam.messages import join

CLEAR: dict[str, Any] = {
    "frames": 6,
    "usable": 6,
    "problems": [],
    "rejections": [],
    "gaps": [],
    "photos": [{"name": "a.jpg", "gsd_m": 0.121}, {"name": "b.jpg", "gsd_m": 0.125}],
    "relief": [],
    "ground_m2": 451_000.0,
    "films": [],
    "smeared": 0,
    "smear_known": 6,
    "worst_smear_px": 0.4,
    "seconds": 0.5,
}


def said(look: dict[str, Any], language: str = "vi") -> str:
    return join(format_upload_preview_lines(look), "\n").in_language(language).replace("\u00a0", " ")


def sent(laid: dict[str, Any], look: dict[str, Any] | None = None) -> UploadReport:
    return UploadReport(
        upload_id="u",
        files=6,
        bytes=60,
        sent_bytes=60,
        skipped=(),
        skipped_count=0,
        skipped_reasons=(),
        result={"flight_id": "f", "name": "Bản Lầu", "event": "Bão số 3", "frames": {"used": 6}, **laid},
        seconds=1.0,
        preview=look,
    )


def test_into_which_event_it_went_is_said_and_what_was_not_done_as_asked() -> None:
    """A name that was asked for was passed over without a word, and nobody knew where a flight went."""
    laid = {"notes": ["Name B: ignored"], "notes_vi": ["Tên B: bỏ qua"]}
    answer, lines = format_upload(sent(laid))
    assert answer["event"] == "Bão số 3" and answer["notes_vi"] == ["Tên B: bỏ qua"]
    assert "Name B: ignored" in map(str, lines)
    vietnamese = join(lines, "\n").in_language("vi")
    assert "\n  sự kiện: Bão số 3\n" in vietnamese and vietnamese.endswith("\nTên B: bỏ qua")


@pytest.mark.parametrize("look", [None, CLEAR])
def test_the_answer_has_what_the_heads_said_but_not_of_each_photo(look: dict[str, Any] | None) -> None:
    answer, _ = format_upload(sent({}, look))
    if look is None:
        assert answer["look"] is None
    else:
        assert answer["look"]["ground_m2"] == 451_000.0 and answer["look"]["gaps"] == []
        assert "photos" not in answer["look"]
