"""A lens that nobody names is told by what neighbouring pictures show of one ground."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from flycam.ingest.photos.photo_reader import read_photos
from flycam.ingest.photos.photo_search import search_photos
from flycam.ingest.preflight_check import diagnose
from flycam.media.pixels import check_pixels
from tests.ingest.photos.made_flights import CAMERA, strips
from tests.ingest.preflight.turned_flights import fields_and_roads, flat, problem, shown_by

NAMELESS = {
    "model": "TEST",
    "focal_mm": None,
    "focal35_mm": None,
    "focal_plane_px_per_mm": None,
    "calibrated_focal_px": None,
}
"""What a photo no longer states so that nobody knows its lens."""

settle = partial(diagnose, terrain_at=flat)


@pytest.fixture(scope="module")
def flight():
    """A flight with what its cameras saw."""
    photos = strips(lines=3, per_line=8)
    pictures = shown_by(settle(photos, camera=CAMERA).headers, fields_and_roads())
    return [replace(p, checks=check_pixels(np.ascontiguousarray(pictures[p.name]))) for p in photos]


def test_a_lens_is_told_by_its_pictures_within_its_sigma(flight):
    found = settle(flight)
    interior = found.headers[0].interior
    assert len(found.headers) == len(flight) and problem(found, "calibration_missing") is None
    off = interior.focal_length_px[0] / CAMERA.focal_length_px[0] - 1.0
    assert abs(off) < 0.03 and abs(off) < 2.0 * interior.sigma_focal_rel < 0.2
    finding = problem(found, "lens_estimated")
    focal_px = f"{interior.focal_length_px[0]:.0f} px"
    assert len(finding.frames) == len(flight) and focal_px in str(finding.sentence)


@pytest.mark.parametrize("most", [0, 2])
def test_without_pictures_or_neighbours_a_lens_stays_unknown(flight, most):
    few = flight[:2] if most else [replace(photo, checks=None) for photo in flight]
    found = settle(few)
    assert not found.headers
    assert {r.reason for r in found.rejected} == {"calibration_missing"}


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "takeoff", "focal_over_side", "within"),
    [
        ("brighton_beach", None, 0.5931, 0.03),
        pytest.param("toledo", 0.0, 0.5931, 0.07, marks=pytest.mark.soak),
    ],
)
def test_lenses_of_real_flights(
    shared_data: Path, folder: str, takeoff: float | None, focal_over_side: float, within: float
) -> None:
    """Both by DJI's one module of 2015, which OpenSfM lists with 0.5931 of the longer side."""
    photos, _ = read_photos(search_photos([shared_data / "flights" / folder]).photos, is_whole=True)
    found = diagnose([replace(one, **NAMELESS) for one in photos], takeoff=takeoff)
    assert len(found.headers) == len(photos)
    for header in found.headers:
        interior = header.interior
        ratio = interior.focal_length_px[0] / max(interior.image_size_px)
        assert abs(ratio / focal_over_side - 1.0) < min(within, interior.sigma_focal_rel)
