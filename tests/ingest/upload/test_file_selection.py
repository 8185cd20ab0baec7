"""Which of a card's files are taken: one odd file holds up no card."""

from __future__ import annotations

import pytest

from flycam.errors import InputUnusable
from flycam.ingest.upload.memory_card import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_REASONS,
    MAX_UPLOAD_BYTES,
    UploadFile,
    select_files,
)

GOOD = ("DCIM/DJI_0001.JPG", "DCIM/DJI_0002.MP4")


def files(*paths: str, size: int = 1) -> list[UploadFile]:
    return [UploadFile(path=path, size=size, modified_ms=1) for path in paths]


@pytest.mark.parametrize(
    "odd", ["../a.jpg", "a\x00.jpg", "a\u202egpj.jpg", "", "a.zip", "DCIM/DJI_0001.JPG/b.jpg"]
)
def test_an_odd_file_is_passed_over_and_the_rest_taken(odd: str) -> None:
    chosen = select_files(files(GOOD[0], odd, GOOD[1]))
    assert tuple(one.path for one in chosen.files) == GOOD
    assert chosen.skipped.count == 1
    (reason,) = chosen.skipped.said
    assert "\x00" not in str(reason) and "\u202e" not in reason.in_language("vi")


@pytest.mark.parametrize(
    "paths", [("a.jpg", "a.jpg"), ("a.jpg", "a.jpg/b.jpg"), ("a\u0309nh.jpg", "ảnh.jpg")]
)
def test_of_two_files_that_would_be_one_the_second_is_passed_over(paths: tuple[str, str]) -> None:
    """Names that differ in how an accent is written lie side by side on some disks."""
    chosen = select_files(files(*paths))
    assert (len(chosen.files), chosen.skipped.count) == (1, 1)


@pytest.mark.parametrize("size", [0, MAX_FILE_BYTES + 1])
def test_a_file_of_a_size_no_photo_has_is_passed_over(size: int) -> None:
    chosen = select_files([*files(*GOOD), *files("large.jpg", size=size)])
    assert chosen.skipped.count == 1 and "large.jpg: " in str(chosen.skipped.said[0])


def test_many_odd_files_are_counted_and_the_first_named() -> None:
    chosen = select_files(files(*GOOD, *(f"a:{n:03}.jpg" for n in range(100))))
    assert (chosen.skipped.count, len(chosen.skipped.said)) == (100, MAX_REASONS)


def test_a_flight_log_that_was_named_is_never_passed_over() -> None:
    """Without it the photos would be laid by something else."""
    with pytest.raises(InputUnusable, match=r"^flight-log/a:b\.csv: "):
        select_files(files(*GOOD, "flight-log/a:b.csv"), "flight-log/a:b.csv")
    with pytest.raises(InputUnusable, match="flight log"):
        select_files(files(*GOOD), "flight-log/poses.csv")
    chosen = select_files(files(*GOOD, "flight-log/poses.csv"), "flight-log/poses.csv")
    assert chosen.telemetry == "flight-log/poses.csv" and not chosen.skipped.count


def test_more_than_an_upload_brings_is_refused_whole() -> None:
    with pytest.raises(InputUnusable, match="in parts"):
        select_files(files(*(f"{n}.jpg" for n in range(MAX_FILES + 1))))
    films = [UploadFile(path=f"{n}.mp4", size=MAX_UPLOAD_BYTES // 8, modified_ms=1) for n in range(9)]
    with pytest.raises(InputUnusable, match="500 GiB"):
        select_files(films)
