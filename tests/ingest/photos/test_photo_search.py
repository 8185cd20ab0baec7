"""What of a card is looked into: regular files in it, whatever else lies there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flycam.ingest.photos.photo_search import NOT_OPENED, search_photos

JPEG = b"\xff\xd8\xff" + bytes(20)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(JPEG)
    return folder


def test_a_link_out_of_a_card_is_named_and_never_opened(card: Path, tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_bytes(JPEG)
    (card / "shadow.JPG").symlink_to(secret)
    (card / "shadow").symlink_to("../shadow")
    (card / "twice.jpg").symlink_to("shadow")
    found = search_photos([card])
    assert found.photos == (card / "a.jpg",) and not found.skipped
    assert {path.name for path, _ in found.refused} == {"shadow.JPG", "shadow", "twice.jpg"}
    assert all(error.message.in_language("vi") and path.name in str(error) for path, error in found.refused)


def test_a_link_to_what_was_given_too_is_that_photo(card: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.jpg").write_bytes(JPEG)
    (card / "b.jpg").symlink_to(other / "b.jpg")
    assert not search_photos([card, other]).refused
    assert len(search_photos([card, other]).photos) == 2
    assert [path.name for path, _ in search_photos([card]).refused] == ["b.jpg"]
    assert not search_photos([card / "b.jpg"]).refused, "somebody named the link itself"


def test_folders_by_links_are_not_gone_into(card: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.jpg").write_bytes(JPEG)
    (card / "out").symlink_to(elsewhere)
    (card / "loop").symlink_to(card)
    found = search_photos([card])
    assert found.photos == (card / "a.jpg",)
    assert [path.name for path, _ in found.refused] == ["out"]
    assert [path.name for path, _ in found.skipped] == ["loop"]


def test_what_lies_deeper_than_any_card_has_it_is_named_and_left_out(card: Path) -> None:
    """A thousand folders in one another ended an ingest with an internal error."""
    before = search_photos([card])
    here = os.open(card, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth in range(1, 1401):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
            if depth in (60, 70):
                file = os.open("deep.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=here)
                os.close(file)
    finally:
        os.close(here)
    found = search_photos([card])
    subprocess.run(["rm", "-rf", str(card / "d")], check=True)  # Python cannot
    assert [one for one in found.photos if one not in before.photos] == [card.joinpath(*"d" * 60, "deep.jpg")]
    (left_out,) = (one for one in found.skipped if one not in before.skipped)
    assert left_out[0] == card.joinpath(*"d" * 65) and left_out[1].startswith(NOT_OPENED)
