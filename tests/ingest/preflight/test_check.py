from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from flycam.geodata.crs import compute_convergence_and_scale
from flycam.geometry.camera import project
from flycam.geometry.pose import PoseSource
from flycam.ingest.photos.photo_reader import read_photos
from flycam.ingest.photos.photo_search import search_photos
from flycam.ingest.photos.xmp import Angles
from flycam.ingest.preflight_check import diagnose
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.media.pixels import read_grey
from flycam.model.diagnosis import GapKind, Severity
from flycam.model.flight import Layer
from flycam.model.frame import derive_frame_id
from tests.ingest.photos.exiftool_csv import read_exiftool_csv
from tests.ingest.photos.made_flights import (
    CAMERA,
    GROUND_M,
    LAT,
    LON,
    canberra_camera,
    codes,
    flat,
    photo,
    picture,
    strips,
    the,
)


def inspect(photos, **options):
    options = {"terrain_at": flat(), "camera": CAMERA, **options}
    return diagnose(photos, **options)


def test_headers_are_ready_to_rectify():
    photos = strips()
    diagnosis = inspect(photos)
    assert diagnosis.work_crs == "EPSG:32648"
    assert diagnosis.vertical_datum == "EGM96"
    header = diagnosis.headers[0]
    assert header.frame_id == derive_frame_id(photos[0].identity)
    assert header.layer is Layer.COLOUR
    exterior = header.exterior_prior
    assert exterior.source is PoseSource.GNSS
    assert exterior.sigma_position_m[:2] == (1.5, 1.5)
    convergence, scale = compute_convergence_and_scale("EPSG:32648", LON, LAT)
    assert exterior.grid_scale == pytest.approx(scale, abs=1e-8)
    up = -np.array(exterior.rotation)[1]
    assert np.arctan2(up[0], up[1]) == pytest.approx(np.radians(90.0) - convergence, abs=1e-7)
    below = np.array([[*exterior.projection_centre_m[:2], GROUND_M]])
    uv, depth = project(CAMERA, exterior, below)
    np.testing.assert_allclose(uv, [CAMERA.principal_point_px], atol=1e-6)
    assert depth[0] == pytest.approx(100.0 * scale)


def test_a_lens_nobody_knows_is_a_rejection_with_the_cure():
    diagnosis = diagnose(strips(), terrain_at=flat())
    assert diagnosis.headers == ()
    assert {r.reason for r in diagnosis.rejected} == {"calibration_missing"}
    assert the(diagnosis.problems, "calibration_missing").severity is Severity.ERROR


maybe = st.one_of(st.none(), st.floats(-1000, 1000))
angles = st.builds(Angles, yaw_deg=maybe, pitch_deg=maybe, roll_deg=maybe)
wild = st.lists(
    st.fixed_dictionaries(
        {
            "lon_deg": st.one_of(st.none(), st.just(LON), st.floats(-200, 200)),
            "lat_deg": st.one_of(st.none(), st.just(LAT), st.floats(-79, 200)),
            "relative_altitude_m": maybe,
            "absolute_altitude_m": maybe,
            "exif_altitude_m": maybe,
            "gimbal": angles,
            "aircraft": angles,
            "taken_text": st.sampled_from([None, "2025-09-20T09:00:00", "2025-09-20T09:00:02", "x"]),
            "rtk_flag": st.sampled_from([None, 0, 16, 34, 50]),
        }
    ),
    min_size=1,
    max_size=6,
)


@given(wild, st.booleans(), st.sampled_from(["auto", "relative", "absolute", "exif"]))
@settings(max_examples=80, deadline=None)
def test_no_photo_is_silently_dropped_and_no_header_is_nonsense(fields, with_terrain, mode):
    photos = [photo(f"{k}.JPG", size_bytes=k, **f) for k, f in enumerate(fields)]
    diagnosis = inspect(photos, terrain_at=flat() if with_terrain else None, height_mode=mode)
    names = [h.provenance.source_name for h in diagnosis.headers] + [r.name for r in diagnosis.rejected]
    assert sorted(names) == sorted(p.name for p in photos)
    for header in diagnosis.headers:
        exterior = header.exterior_prior
        numbers = [*exterior.projection_centre_m, *exterior.sigma_position_m, *exterior.sigma_attitude_rad]
        assert np.isfinite(numbers).all()
        r = np.array(exterior.rotation)
        np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-9)


@pytest.mark.real
def test_brighton_beach_stands_forty_metres_above_its_shore(shared_data):
    photos, failed = read_photos(search_photos([shared_data / "flights" / "brighton_beach"]).photos)
    assert failed == []
    diagnosis = diagnose(photos, terrain_at=flat(159.0))
    assert (len(diagnosis.headers), diagnosis.rejected, diagnosis.gaps) == (18, (), ())
    heights = [h.exterior_prior.projection_centre_m[2] for h in diagnosis.headers]
    np.testing.assert_allclose(heights, 199.0, atol=1.5)


@pytest.mark.real
def test_seneca_has_no_gimbal_and_its_ellipsoidal_height_is_not_taken_for_sea_level(shared_data):
    photos, _ = read_photos(search_photos([shared_data / "flights" / "seneca_fixed_wing"]).photos)
    diagnosis = diagnose(photos, terrain_at=flat(246.0))
    assert len(diagnosis.headers) == 6
    assert "fixed_mount" in codes(diagnosis.problems)
    for header in diagnosis.headers:
        assert 50.0 < header.exterior_prior.projection_centre_m[2] - 246.0 < 90.0


@pytest.mark.real
def test_canberra_is_positioned_from_its_log(shared_data):
    folder = shared_data / "flights" / "canberra_tlog"
    interior = canberra_camera(folder)
    photos, _ = read_photos(search_photos([folder]).photos)
    diagnosis = diagnose(
        photos,
        camera=interior,
        terrain_at=flat(592.0),
        track=read_flight_log(folder / "flight.tlog"),
    )
    assert len(diagnosis.headers) == 5
    assert diagnosis.takeoff is not None
    assert diagnosis.takeoff.how == "home_position"
    assert the(diagnosis.problems, "log_matched").sentence.values["found"] == 5
    above = [h.exterior_prior.projection_centre_m[2] - 592.0 for h in diagnosis.headers]
    assert above == sorted(above)  # it was climbing, from 12.2 m to 22.8 m by the two photos that say so
    np.testing.assert_allclose([above[0], above[-1]], [12.2, 22.8], atol=1.5)
    centres = np.array([h.exterior_prior.projection_centre_m[:2] for h in diagnosis.headers])
    assert (np.linalg.norm(np.diff(centres, axis=0), axis=1) < 15.0).all()


def survey_flight(folder):
    """The 1,452 photos, those whose removal makes gaps, and ground 110 m under a terrain-following flight."""
    listed = read_exiftool_csv(folder / "image_metadata.csv")  # without the size of the pictures
    photos = [replace(one, image_size_px=CAMERA.image_size_px) for one in listed]
    lines = (folder / "images-to-delete-for-gaps.txt").read_text().splitlines()
    gone = {Path(line).name for line in lines if line.startswith("./")}
    places = np.array([[p.lon_deg, p.lat_deg] for p in photos])
    heights = np.array([p.absolute_altitude_m for p in photos])

    nearest = cKDTree(places)

    def ground(lonlat):
        return heights[nearest.query(lonlat)[1]] - 110.0, "EGM96"

    return photos, gone, ground


@pytest.mark.real
def test_the_surveys_known_gaps_are_found_and_none_is_invented(shared_data):
    photos, gone, ground = survey_flight(shared_data / "survey_metadata")
    assert (len(photos), len(gone)) == (1452, 32)
    complete = inspect(photos, terrain_at=ground)
    assert len(complete.headers) == 1452
    assert complete.gaps == ()

    left = [p for p in photos if p.name not in gone]
    broken = inspect(left, terrain_at=ground)
    assert all(g.kind is GapKind.BREAK for g in broken.gaps)
    order = [p.name for p in sorted(photos, key=lambda p: (p.taken_text, p.name))]
    found = set()
    for gap in broken.gaps:
        inside = order[order.index(gap.between[0]) + 1 : order.index(gap.between[1])]
        assert len(inside) == gap.missing
        found |= set(inside)
    assert found == gone


def test_the_operators_layer_beats_the_tags_and_is_said():
    photos = [replace(p, band="thermal") if i < 3 else p for i, p in enumerate(strips())]
    diagnosis = inspect(photos, layer="infrared")
    assert {h.layer for h in diagnosis.headers} == {Layer.INFRARED}
    assert len(the(diagnosis.problems, "layer_given").frames) == len(photos)
    with pytest.raises(ValueError, match="ultraviolet"):
        inspect(photos, layer="ultraviolet")


def test_a_camera_also_sold_for_infrared_is_asked_about():
    canon = [replace(p, maker="Canon", model="Canon PowerShot S110") for p in strips()]
    assert len(the(inspect(canon).problems, "maybe_infrared").frames) == len(canon)
    assert "maybe_infrared" not in codes(inspect(canon, layer="colour").problems)
    assert "maybe_infrared" not in codes(inspect(strips()).problems)


def test_a_real_flight_that_says_no_height_is_laid_by_the_motion_of_its_pictures(shared_data):
    """Brighton Beach flew 38 m above the shore (measured); here it says nothing but where it was."""
    read, _ = read_photos(search_photos([shared_data / "flights" / "brighton_beach"]).photos)
    photos = [
        replace(
            p,
            relative_altitude_m=None,
            absolute_altitude_m=None,
            exif_altitude_m=None,
            checks=picture(1.0),
        )
        for p in read
    ]
    found = diagnose(photos, grey_of=read_grey)
    heights = np.array([one.exterior_prior.projection_centre_m[2] for one in found.headers])
    sigma = np.array([one.exterior_prior.sigma_position_m[2] for one in found.headers])
    assert len(heights) == len(photos)
    np.testing.assert_allclose(heights, 38.0, rtol=0.1)
    assert (sigma < 6.0).all()
    assert "height_from_pictures" in codes(found.problems)
    alone = diagnose(photos[:1], grey_of=read_grey)
    assert [one.reason for one in alone.rejected] == ["no_height"]
    headers = diagnose([replace(photo, checks=None) for photo in photos])
    assert {one.reason for one in headers.rejected} == {"no_height"}
    assert headers.rejected[0].message != alone.rejected[0].message, "their pictures may still tell a height"


def test_photos_under_the_ground_are_rejected_not_drawn():
    diagnosis = inspect(strips(), height_mode="absolute", terrain_at=flat(500.0))
    assert diagnosis.headers == ()
    assert {r.reason for r in diagnosis.rejected} == {"pose_rejected"}


def test_a_thermal_photo_does_not_cover_for_a_colour_one():
    photos = strips(lines=9)
    hole = [k for k in range(len(photos)) if 3 <= k // 12 <= 6 and 3 <= k % 12 <= 8]
    photos = [replace(p, band="thermal") if k in hole else p for k, p in enumerate(photos)]
    assert [g.kind for g in inspect(photos).gaps if g.kind is GapKind.HOLE] == [GapKind.HOLE]
