"""Which of a card's logs may tell where a film was filmed."""

from __future__ import annotations

from pathlib import Path

from flycam.ingest.upload.processing import CardLogs
from tests.ingest.telemetry.test_klv_video import film


def test_what_a_film_holds_itself_comes_after_the_log_of_its_name_and_before_others(tmp_path: Path) -> None:
    film(tmp_path / "a.ts", stated=True)
    (tmp_path / "b.mp4").write_bytes(b"\0\0\0\x10ftypmp42\0\0\0\0")
    logs = CardLogs(tmp_path, ["a.srt", "x.klv"], lambda _: None)
    (tmp_path / "x.klv").write_bytes(b"no log")
    assert list(logs.find_video_logs("a.ts")) == ["a.srt", "a.ts"]
    assert list(logs.find_video_logs("b.mp4")) == []
