"""What pictures are called on record, taken apart: mosaics, files with and without a digest."""

from __future__ import annotations

import pytest

from flycam.catalog.changes import (
    ImageReference,
    format_file_reference,
    list_mosaic_ids,
    parse_image_reference,
    parse_revision,
    parse_source_pair,
    strip_digest,
    strip_location,
)


@pytest.mark.parametrize(
    ("shown", "picture", "file_name"),
    [
        ("m1@2", ImageReference("m1", 2), ""),
        ("f-1:colour@0", ImageReference("f-1:colour", 0), ""),
        ("sau.tif", ImageReference("sau.tif"), "sau.tif"),
        ("sau.tif#0a1b2c3d", ImageReference("sau.tif#0a1b2c3d"), "sau.tif"),
        ("ảnh@2025.tif#0a1b2c3d", ImageReference("ảnh@2025.tif#0a1b2c3d"), "ảnh@2025.tif"),
        ("vùng #1.tif", ImageReference("vùng #1.tif"), "vùng #1.tif"),
        ("", ImageReference(""), ""),
        ("a + b@3.tif#0a1b2c3d", ImageReference("a + b@3.tif#0a1b2c3d"), "a + b@3.tif"),
        ("m1@²", ImageReference("m1@²"), "m1@²"),
    ],
)
def test_a_name_is_taken_apart(shown: str, picture: ImageReference, file_name: str) -> None:
    assert parse_image_reference(shown) == picture
    assert parse_image_reference(shown).file_name == file_name


def test_two_files_of_one_name_are_two_and_each_can_be_named() -> None:
    one, other = (format_file_reference("a + b@3.tif", digit * 64) for digit in "ab")
    assert one == "a + b@3.tif#aaaaaaaa" and parse_image_reference(one) != parse_image_reference(other)
    assert strip_digest(one) == "a + b@3.tif" and strip_digest("m1@2") == "m1@2"


def test_revisions_of_one_mosaic_are_one_side() -> None:
    assert parse_source_pair("m1@0", "m2@3") == parse_source_pair("m1@1", "m2@3") == ("m1", "m2")
    assert parse_source_pair("m1@0", "") == ("m1", "")
    assert list_mosaic_ids("m1@0", "sau.tif", "m2@1", "") == ("m1", "m2")
    assert [parse_revision(one) for one in ("m1@7", "sau.tif", "")] == [7, 0, 0]


@pytest.mark.parametrize("name", ["odm_orthophoto.tif", "ảnh, lần 2.tif", "a@3.tif", "a + b.tif"])
@pytest.mark.parametrize(
    ("folder", "taken"), [("ngay-2", "10/09/2024 10:15"), ("ngày 2, sáng", ""), ("", "")]
)
def test_where_a_file_lay_is_told_and_makes_it_no_other_picture(name: str, folder: str, taken: str) -> None:
    """Programs call every orthophoto the same: people tell them apart by their folders and dates."""
    bare, placed = format_file_reference(name, "a" * 64), format_file_reference(name, "a" * 64, folder, taken)
    assert placed.startswith(f"{folder}/" if folder else bare[:3]) and taken in placed
    one = parse_image_reference(placed)
    assert (one.source, one.revision, one.shown) == (bare, None, placed)
    assert strip_location(placed) == bare == strip_location(bare)
    assert strip_location("m1@2") == "m1@2"
    assert strip_digest(placed) == strip_digest(bare)
    assert parse_source_pair(placed, "m1@0") == parse_source_pair(bare, "m1@4")
