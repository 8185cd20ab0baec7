"""Turned pictures are found by their pixels, with or without a tag that tells of it, and read as they lie."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from flycam.geometry.correlation import count_agreeing_windows, locate_square, orthorectify_thumbnail
from flycam.ingest.photos.photo_reader import read_photos
from flycam.ingest.photos.photo_search import search_photos
from flycam.ingest.photos.xmp import Angles
from flycam.ingest.preflight.image_rotation import detect_edited_photos
from flycam.ingest.preflight_check import diagnose
from flycam.media.pixels import check_pixels
from flycam.model.diagnosis import Severity
from tests.ingest.photos.made_flights import CAMERA, photo, strips
from tests.ingest.preflight.turned_flights import fields_and_roads, flat, problem, shown_by


def flown(photos, quarters, software=None, ground=None):
    """Diagnosis of a flight some of whose pictures (by index) were turned clockwise afterwards."""
    before = diagnose(photos, camera=CAMERA, terrain_at=flat)
    pictures = shown_by(before.headers, fields_and_roads() if ground is None else ground)
    handed = []
    for k, one in enumerate(photos):
        turn = quarters.get(k, 0)
        checks = check_pixels(np.ascontiguousarray(np.rot90(pictures[one.name], -turn)))
        size = one.image_size_px[::-1] if turn % 2 else one.image_size_px
        tag = (software or {}).get(k, one.software)
        handed.append(replace(one, image_size_px=size, software=tag, checks=checks))
    after = diagnose(handed, camera=CAMERA, terrain_at=flat)
    return before, after


def turns_found(before, after):
    """Quarter turns clockwise of each camera between two diagnoses, by source name, where not 0."""
    found = {}
    old = {h.provenance.source_name: np.array(h.exterior_prior.rotation) for h in before.headers}
    for header in after.headers:
        turn = np.array(header.exterior_prior.rotation) @ old[header.provenance.source_name].T
        quarters = round(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])) / 90.0) % 4
        if quarters:
            found[header.provenance.source_name] = quarters
    return found


def test_a_flight_as_it_was_read_raises_no_alarm():
    before, after = flown(strips(lines=3, per_line=8), {})
    assert turns_found(before, after) == {}
    assert not {"turned", "edited", "edited_unsettled", "sideways"} & {p.code for p in after.problems}
    assert [h.interior for h in after.headers] == [h.interior for h in before.headers]


def test_a_strip_turned_in_a_viewer_is_read_as_it_lies():
    viewer = dict.fromkeys(range(8, 16), "Microsoft Windows Photo Viewer 10.0")
    photos = [replace(p, software="v01.23.4920") for p in strips(lines=3, per_line=8)]
    before, after = flown(photos, dict.fromkeys(viewer, 2), viewer)
    names = {photos[k].name for k in viewer}
    assert turns_found(before, after) == dict.fromkeys(names, 2)
    finding = problem(after, "turned")
    assert set(finding.frames) == names and "180°" in str(finding.sentence)
    assert set(problem(after, "edited").frames) == names
    one = next(h for h in after.headers if h.provenance.source_name in names)
    assert one.interior.calibration_id == "test, turned 180°"


def test_single_photos_turned_without_any_tag_are_found():
    photos = strips(lines=3, per_line=8)
    before, after = flown(photos, {5: 2, 13: 1, 18: 3})
    assert turns_found(before, after) == {photos[5].name: 2, photos[13].name: 1, photos[18].name: 3}
    sizes = {h.provenance.source_name: h.interior.image_size_px for h in after.headers}
    assert sizes[photos[13].name] == (3000, 4000) and sizes[photos[5].name] == (4000, 3000)
    assert problem(after, "edited") is None


def test_a_heading_that_was_guessed_is_not_a_picture_that_was_turned():
    """An aircraft flew backwards and its tags state no heading: nobody turned anything."""
    photos = strips(lines=3, per_line=8)
    settle = partial(diagnose, camera=CAMERA, terrain_at=flat)
    pictures = shown_by(settle(photos).headers, fields_and_roads())
    silent = [
        replace(
            p,
            gimbal=replace(p.gimbal, yaw_deg=None),
            aircraft=Angles(),
            software="Photo Viewer",
            checks=check_pixels(np.ascontiguousarray(np.rot90(pictures[p.name], 2))),
        )
        for p in photos
    ]
    found = settle(silent)
    assert problem(found, "turned") is None
    assert len(problem(found, "heading_guessed_wrong").frames) >= 20


def test_over_water_nothing_is_claimed_and_an_edited_photo_is_named():
    photos = strips(lines=3, per_line=6)
    water = np.random.default_rng(1).normal(90, 3, (1286, 1286)).clip(0, 255).astype(np.uint8)
    before, after = flown(photos, {7: 2}, {7: "Picasa"}, ground=water)
    assert turns_found(before, after) == {}
    finding = problem(after, "edited_unsettled")
    assert finding.frames == (photos[7].name,) and finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("software", "usual", "edited"),
    [
        ("Microsoft Windows Photo Viewer 10.0.10240.16384", "v01.23.4920", True),
        ("Picasa", "", True),
        ("Adobe Photoshop CC 2019 (Windows)", "Adobe Photoshop CC 2019 (Windows)", True),
        ("v01.23.4921", "v01.23.4920", False),
        ("6eb4918033f74783a77e54b2040c1c69", "96d9a35cf1b44edda2886aac635097ef", False),
        ("Dragon 1.7.1 ; Impala:0.0 P3A:0.1", "Dragon 1.8.0 ; Impala:0.0 P3A:0.1", False),
        ("10.03.12.06", "10.03.12.06", False),
        ("Somebody's Tool", "10.03.12.06", True),
        ("Pix4Dcapture", "Pix4Dcapture", False),
        ("", "v01.23.4920", False),
    ],
)
def test_which_software_makes_a_photo_suspect(software, usual, edited):
    photos = [photo(f"{k}.JPG", software=usual) for k in range(4)] + [photo("x.JPG", software=software)]
    assert detect_edited_photos(photos)[-1] == edited


def orthorectified(headers, photos, name):
    """Thumbnail of a photo on level ground at height 0, two metres a pixel by three."""
    header = next(h for h in headers if h.provenance.source_name == name)
    spot = locate_square(np.array(header.exterior_prior.projection_centre_m[:2]), 0.5)
    nodes = spot.nodes_m(0.5)
    nodes = np.column_stack([nodes, np.zeros(len(nodes))])
    return orthorectify_thumbnail(
        next(one for one in photos if one.name == name).checks.thumbnail,
        header.interior,
        header.exterior_prior,
        spot,
        nodes,
    )


@pytest.mark.real
def test_the_return_strip_of_brighton_beach_was_turned_by_hand(shared_data):
    photos, _ = read_photos(search_photos([shared_data / "flights" / "brighton_beach"]).photos, is_whole=True)
    unseen = [replace(photo, checks=None) for photo in photos]
    without, found = (diagnose(some) for some in (unseen, photos))
    strip = [f"DJI_00{k}.JPG" for k in range(24, 30)]
    assert turns_found(without, found) == dict.fromkeys(strip, 2)
    for name, neighbour in zip(strip, [*strip[1:], "DJI_0030.JPG"], strict=True):
        at_last, as_written = (
            [orthorectified(one.headers, photos, of) for of in (name, neighbour)] for one in (found, without)
        )
        assert count_agreeing_windows(*at_last) >= 4 > count_agreeing_windows(*as_written)
