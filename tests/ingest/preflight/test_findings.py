"""Horizon, duplicates, numbering, blur: the small rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.photos.photo_reader import make_display_names
from flycam.ingest.preflight.attitude import compute_sky_fraction, reject_sky_photos
from flycam.ingest.preflight.files import find_duplicates, find_missing_files, reject_bad_images
from flycam.ingest.preflight.flight_table import build_flight_table
from tests.ingest.photos.made_flights import CAMERA, codes, photo, picture, strips, the


def table_of(photos):
    return build_flight_table(photos, np.arange(1, len(photos) + 1) * 1_000_000_000)


def test_a_level_gimbal_is_rejected_and_an_oblique_one_kept():
    rotations = rotation_from_gimbal(0.0, np.radians([-90.0, -45.0, -20.0, 0.0, 10.0]), 0.0)
    share = compute_sky_fraction(rotations, [CAMERA] * 5)
    assert share[0] == share[1] == 0.0
    assert 0.0 < share[2] < 0.5 < share[4]
    keep, rejected, problems = reject_sky_photos(["a", "b", "c", "d", "e"], share, np.ones(5, bool))
    assert keep.tolist()[:3] == [True, True, True]
    assert [r.reason for r in rejected] == ["horizon_in_view"] * int((~keep).sum())
    assert not keep[4]
    assert {"horizon", "horizon_part"} == set(codes(problems))


def test_the_same_bytes_twice_are_used_once(tmp_path):
    bodies = {"A.JPG": b"one", "B.JPG": b"one", "C.JPG": b"two"}
    photos = []
    for name, body in bodies.items():
        path = tmp_path / name
        path.write_bytes(body)
        photos.append(photo(name, path=path, size_bytes=3, taken_text="2025-09-20T09:00:00"))
    kept, rejected, problems = find_duplicates(table_of(photos))
    assert kept == [0, 2]
    assert (rejected[0].name, rejected[0].reason) == ("B.JPG", "duplicate")
    assert "A.JPG" in str(rejected[0].message)
    assert the(problems, "duplicates").frames == ("B.JPG",)


def test_a_half_copied_card_names_its_gaps():
    names = [f"DJI_{n:04d}.JPG" for n in range(1, 41) if n not in {5, 20, 21, 22}]
    missing, problems = find_missing_files([*map(Path, names)])
    assert missing == ("DJI_0005.JPG", "DJI_0020.JPG", "DJI_0021.JPG", "DJI_0022.JPG")
    assert "DJI_0020.JPG to DJI_0022.JPG" in str(the(problems, "numbers_missing").sentence)


@pytest.mark.parametrize(
    "names",
    [
        [f"DJI_{n:04d}.JPG" for n in range(1, 30)],
        ["DJI_0998.JPG", "DJI_0999.JPG", "DJI_0001.JPG"],
        ["DJI_0001.JPG", "DJI_0900.JPG"],
        ["DJI_20250416072557_0001_D.JPG", "DJI_20250416072559_0002_D.JPG"],
        ["one.jpg", "two.jpg"],
        [],
    ],
)
def test_no_gap_is_invented(names):
    assert find_missing_files([*map(Path, names)]) == ((), [])


def test_folders_that_count_from_the_start_again_have_gaps_of_their_own():
    first = [Path("100MEDIA", f"DJI_{n:04d}.JPG") for n in range(1, 10) if n != 4]
    second = [Path("101MEDIA", f"DJI_{n:04d}.JPG") for n in range(1, 10) if n != 7]
    missing, problems = find_missing_files([*first, *second])
    assert missing == ("100MEDIA/DJI_0004.JPG", "101MEDIA/DJI_0007.JPG")
    assert "100MEDIA/DJI_0004.JPG" in the(problems, "numbers_missing").sentence.in_language("vi")


def test_blur_is_judged_against_the_flight_and_a_covered_lens_by_itself():
    looks = {2: picture(0.05), 4: picture(0.2), 7: picture(0.0, covered=True)}
    photos = [replace(one, checks=looks.get(row, picture(0.5))) for row, one in enumerate(strips(lines=1))]
    refused, problems = reject_bad_images(photos, make_display_names(photos))
    assert {(row, error.reason) for row, error in refused.items()} == {
        (2, "too_blurred"),
        (7, "lens_covered"),
    }
    assert the(problems, "soft").frames == (photos[4].name,)
