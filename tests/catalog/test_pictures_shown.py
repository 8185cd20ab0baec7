"""What pictures are called on record, taken apart: mosaics, files with and without a digest."""

from __future__ import annotations

import pytest

from flycam.catalog.pictures_shown import (
    PictureShown,
    file_shown,
    mosaics_of,
    pair_of,
    picture_of,
    revision_of,
    without_digest,
    without_place,
)


@pytest.mark.parametrize(
    ("shown", "picture", "file_name"),
    [
        ("m1@2", PictureShown("m1", 2), ""),
        ("f-1:colour@0", PictureShown("f-1:colour", 0), ""),
        ("sau.tif", PictureShown("sau.tif"), "sau.tif"),
        ("sau.tif#0a1b2c3d", PictureShown("sau.tif#0a1b2c3d"), "sau.tif"),
        ("ảnh@2025.tif#0a1b2c3d", PictureShown("ảnh@2025.tif#0a1b2c3d"), "ảnh@2025.tif"),
        ("vùng #1.tif", PictureShown("vùng #1.tif"), "vùng #1.tif"),
        ("", PictureShown(""), ""),
        ("a + b@3.tif#0a1b2c3d", PictureShown("a + b@3.tif#0a1b2c3d"), "a + b@3.tif"),
        ("m1@²", PictureShown("m1@²"), "m1@²"),
    ],
)
def test_a_name_is_taken_apart(shown: str, picture: PictureShown, file_name: str) -> None:
    assert picture_of(shown) == picture
    assert picture_of(shown).file_name == file_name


def test_two_files_of_one_name_are_two_and_each_can_be_named() -> None:
    one, other = (file_shown("a + b@3.tif", digit * 64) for digit in "ab")
    assert one == "a + b@3.tif#aaaaaaaa" and picture_of(one) != picture_of(other)
    assert without_digest(one) == "a + b@3.tif" and without_digest("m1@2") == "m1@2"


def test_revisions_of_one_mosaic_are_one_side() -> None:
    assert pair_of("m1@0", "m2@3") == pair_of("m1@1", "m2@3") == ("m1", "m2")
    assert pair_of("m1@0", "") == ("m1", "")
    assert mosaics_of("m1@0", "sau.tif", "m2@1", "") == ("m1", "m2")
    assert [revision_of(one) for one in ("m1@7", "sau.tif", "")] == [7, 0, 0]


@pytest.mark.parametrize("name", ["odm_orthophoto.tif", "ảnh, lần 2.tif", "a@3.tif", "a + b.tif"])
@pytest.mark.parametrize(
    ("folder", "taken"), [("ngay-2", "10/09/2024 10:15"), ("ngày 2, sáng", ""), ("", "")]
)
def test_where_a_file_lay_is_told_and_makes_it_no_other_picture(name: str, folder: str, taken: str) -> None:
    """Programs call every orthophoto the same: people tell them apart by their folders and dates."""
    bare, placed = file_shown(name, "a" * 64), file_shown(name, "a" * 64, folder, taken)
    assert placed.startswith(f"{folder}/" if folder else bare[:3]) and taken in placed
    one = picture_of(placed)
    assert (one.source, one.revision, one.shown) == (bare, None, placed)
    assert without_place(placed) == bare == without_place(bare)
    assert without_place("m1@2") == "m1@2"
    assert without_digest(placed) == without_digest(bare)
    assert pair_of(placed, "m1@0") == pair_of(bare, "m1@4")
