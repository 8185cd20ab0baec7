from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from shapely.geometry import Polygon

from bench.change_plain import plain_pair
from bench.change_scenes import image_pair
from flycam.change.detection import ChangeCandidate, detect_changes
from flycam.change.image_pair import ImagePair
from tests.drill.topview import ViewPair


def drawn(candidates: Sequence[ChangeCandidate], shape: tuple[int, ...], *kinds: str) -> np.ndarray:
    out = np.zeros(shape, np.uint8)
    for one in candidates:
        if one.kind in kinds:
            part = np.zeros(shape, np.uint8)
            cv2.fillPoly(part, [np.rint(ring * 16).astype(np.int32) for ring in one.rings], 1, shift=4)
            out |= part
    return out > 0


@pytest.fixture(scope="module")
def found(storm: ImagePair) -> tuple[ChangeCandidate, ...]:
    return detect_changes(storm)


def test_most_of_what_slid_and_what_was_flooded_is_found(
    found: tuple[ChangeCandidate, ...], views: ViewPair
) -> None:
    for number, kind in ((1, "landslide"), (2, "flood")):
        truth, mine = views.change == number, drawn(found, views.change.shape, kind)
        assert truth.sum() > 2000
        assert (mine & truth).sum() > 0.5 * truth.sum()
        sure = drawn([c for c in found if c.score > 0.5], views.change.shape, kind)
        assert (sure & truth).sum() > 0.6 * sure.sum()


def test_candidates_come_likeliest_first_and_say_what_they_are(found: tuple[ChangeCandidate, ...]) -> None:
    assert found
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    for one in found:
        shape = Polygon(one.rings[0], one.rings[1:])
        assert one.area_m2 == pytest.approx(shape.area * 0.25, rel=0.02)
        assert 0.0 < one.score <= 1.0
        assert one.length_m >= 0.5 * np.sqrt(one.area_m2)
    slides = [c.mean_slope_deg for c in found if c.kind == "landslide"]
    floods = [c.mean_slope_deg for c in found if c.kind == "flood"]
    assert min(slides) > max(floods)


def test_the_same_picture_twice_has_not_changed(storm: ImagePair) -> None:
    assert detect_changes(replace(storm, after_rgb=storm.before_rgb)) == ()


def test_a_darker_exposure_changes_nothing(storm: ImagePair, found: tuple[ChangeCandidate, ...]) -> None:
    darker = np.rint(255.0 * (0.8 * (storm.after_rgb / 255.0) ** 2.2) ** (1 / 2.2)).astype(np.uint8)
    again = detect_changes(replace(storm, after_rgb=darker))
    one, other = (drawn(c, storm.before_seen.shape, "landslide", "flood", "other") for c in (found, again))
    assert (one & other).sum() > 0.9 * (one | other).sum()


def test_nothing_is_said_of_ground_that_was_not_seen(storm: ImagePair) -> None:
    seen = storm.after_seen.copy()
    seen[: seen.shape[0] // 2] = False
    half = detect_changes(replace(storm, after_seen=seen))
    assert half
    outside = drawn(half, seen.shape, "landslide", "flood", "other") & ~seen
    assert outside.sum() < 0.002 * seen.size
    nothing = np.zeros_like(seen)
    assert detect_changes(replace(storm, after_seen=nothing)) == ()
    assert detect_changes(replace(storm, before_seen=nothing)) == ()


def test_without_terrain_there_are_still_candidates(storm: ImagePair) -> None:
    flat = detect_changes(replace(storm, heights_m=np.full_like(storm.heights_m, np.nan)))
    assert flat
    assert all(np.isfinite((c.score, c.area_m2)).all() for c in flat)
    assert all(np.isnan(c.mean_slope_deg) for c in flat), "no slope is made up"


def test_floods_and_slides_of_another_renderer_are_named_by_how_they_lie() -> None:
    pair = plain_pair(3, 400.0, 0.5)
    found = detect_changes(image_pair(pair))
    for number, kind, least in ((1, "landslide", 0.4), (2, "flood", 0.8)):
        truth, mine = pair.change == number, drawn(found, pair.change.shape, kind)
        assert truth.sum() > 2000
        assert (mine & truth).sum() > least * truth.sum(), kind


def test_slopes_lit_from_another_side_have_not_slid() -> None:
    """The light of a slope turns about with the sun, the ground stays as it is: 17 slides were seen here."""
    found = detect_changes(image_pair(plain_pair(13, 400.0, 0.5, storm=False)))
    assert not [one for one in found if one.kind == "landslide"]
