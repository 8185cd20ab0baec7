from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.errors import DatumUnknown
from flycam.geodata.geoid import interpolate_undulation_m
from flycam.ingest.photos.metadata import Dialect
from flycam.ingest.preflight.altitude import HeightMode, resolve_heights
from flycam.ingest.preflight.files import resolve_capture_times
from flycam.ingest.preflight.flight_table import build_flight_table, split_sorties
from flycam.ingest.preflight.flying_height import FlyingHeights
from tests.ingest.photos.made_flights import GROUND_M, LAT, LON, M_PER_DEG, codes, flat, strips, the


def settle(photos, terrain=None, **asked):
    times, _ = resolve_capture_times(photos)
    table = build_flight_table(photos, times)
    return resolve_heights(table, split_sorties(table), terrain, **asked)


def slope(lonlat):
    """A 45 degree mountainside that rises to the north from 300 m."""
    return GROUND_M + np.maximum((lonlat[:, 1] - LAT) * M_PER_DEG, -50.0), "EGM96"


def test_relative_height_and_terrain_at_takeoff_by_default():
    heights, problems = settle(strips(), flat())
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)
    assert heights.datum == "EGM96"
    assert codes(problems) == ["takeoff_estimated"]
    assert heights.on_terrain.all()
    assert heights.takeoffs[0].sigma_m == pytest.approx(3.0)
    np.testing.assert_allclose(heights.sigma_m, np.sqrt(3.0**2 + 1.0 + 1.5**2))


def test_absolute_altitude_fifty_metres_off_is_not_believed_on_flat_ground():
    photos = [replace(p, absolute_altitude_m=p.absolute_altitude_m + 50.0) for p in strips()]
    heights, problems = settle(photos, flat())
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)
    assert "+50.0 ± 8.5 m" in str(the(problems, "altitude_off").sentence)


def test_fifteen_metres_off_is_within_what_receivers_do_and_terrain_wins_on_flat_ground():
    photos = [replace(p, absolute_altitude_m=p.absolute_altitude_m + 15.0) for p in strips()]
    heights, problems = settle(photos, flat())
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)
    assert "difference +15.0" in str(the(problems, "takeoff_estimated").sentence)
    said = the(problems, "takeoff_estimated")
    assert str(said.sentence).endswith(
        "they agree within their errors; taken from the terrain: 300.0 ± 3.0 m."
    )
    assert said.sentence.in_language("vi").endswith("lấy theo địa hình: 300,0 ± 3,0 m.")


def test_on_a_mountainside_the_aircraft_knows_its_takeoff_better_than_the_first_photo_does():
    photos = strips(heading_deg=90.0, relative_m=260.0)  # took off at 300, first photo already over the slope
    photos = [replace(p, lat_deg=p.lat_deg + 120.0 / M_PER_DEG) for p in photos]
    heights, problems = settle(photos, slope)
    assert heights.takeoffs[0].how == "altitude"
    said = the(problems, "takeoff_estimated")
    assert "agree" not in str(said.sentence), "at such a sigma agreement is no word"
    assert str(said.sentence).endswith("confirm the other; taken from the altitudes: 300.0 ± 8.0 m.")
    assert "khớp" not in said.sentence.in_language("vi")
    assert said.sentence.in_language("vi").endswith("lấy theo độ cao đã ghi: 300,0 ± 8,0 m.")
    assert not heights.on_terrain.any(), "the aircraft's own altitude knows nothing of the terrain's error"
    np.testing.assert_allclose(heights.height_m, 560.0)
    assert heights.takeoffs[0].sigma_m == pytest.approx(8.0)


def test_a_takeoff_that_would_bury_photos_is_raised():
    photos = [replace(p, absolute_altitude_m=None, relative_altitude_m=20.0) for p in strips(spacing_m=-60.0)]
    heights, problems = settle(photos, slope)
    assert "takeoff_raised" in codes(problems)
    assert heights.above_ground_m.min() > 0.0
    assert heights.takeoffs[0].sigma_m > 20.0


def test_each_sortie_has_its_own_takeoff():
    second = [
        replace(p, name=f"B{p.name}", taken_text=p.taken_text.replace("T09", "T11"), relative_altitude_m=60.0)
        for p in strips()
    ]
    heights, _ = settle([*strips(), *second], flat())
    assert len(heights.takeoffs) == 2
    np.testing.assert_allclose(heights.height_m[[0, -1]], [GROUND_M + 100.0, GROUND_M + 60.0])


@pytest.mark.parametrize(
    ("given", "height", "how"), [(512.0, 612.0, "operator"), ((LON, LAT + 0.001), 511.195, "operator_point")]
)
def test_the_operators_word_beats_every_estimate(given, height, how):
    heights, _ = settle(strips(), slope, takeoff=given)
    assert heights.takeoffs[0].how == how
    assert heights.on_terrain.all() == (how == "operator_point")
    np.testing.assert_allclose(heights.height_m, height, atol=1e-6)


def test_home_position_beats_the_estimate():
    heights, _ = settle(strips(), slope, home_lonlat=(LON, LAT + 0.001))
    assert heights.takeoffs[0].how == "home_position"


def test_the_home_of_another_place_is_not_taken():
    heights, _ = settle(strips(), flat(), home_lonlat=(LON + 1.0, LAT))
    assert heights.takeoffs[0].how != "home_position"


def test_a_takeoff_point_without_terrain_is_said_and_estimated():
    def island(lonlat):
        inside = np.abs(lonlat[:, 0] - LON) < 0.01
        return np.where(inside, GROUND_M, np.nan), "EGM96"

    heights, problems = settle(strips(), island, takeoff=(LON + 0.05, LAT))
    assert codes(problems)[0] == "takeoff_off_terrain"
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)


def test_rtk_heights_are_ellipsoidal_and_come_down_to_the_terrain():
    photos = [
        replace(p, rtk_flag=50, rtk_std_m=(0.01, 0.01, 0.02), absolute_altitude_m=400.0) for p in strips()
    ]
    heights, problems = settle(photos, flat())
    n = interpolate_undulation_m("EGM96", np.array([[LON, LAT]]))[0]
    np.testing.assert_allclose(heights.height_m, 400.0 - n, atol=0.05)
    assert heights.sigma_m.max() < 0.03
    assert codes(problems) == ["rtk_altitude_accepted"]


@pytest.mark.parametrize(("stated_m", "sigma_m"), [(3.7, 8.0), (12.0, 12.0)])
def test_a_single_point_height_is_doubted_as_any_and_more_where_it_says_so(stated_m, sigma_m):
    single = {"rtk_flag": 16, "rtk_std_m": (2.7, 1.5, stated_m)}
    photos = [
        replace(p, **single, relative_altitude_m=None, absolute_altitude_m=GROUND_M + 100.0) for p in strips()
    ]
    heights, problems = settle(photos, flat())
    assert codes(problems) == ["altitude_accepted"]
    np.testing.assert_allclose(heights.sigma_m, sigma_m)


def test_exif_altitude_that_is_height_above_takeoff_is_exposed():
    photos = [replace(p, exif_altitude_m=100.2) for p in strips()]
    _, problems = settle(photos, flat())
    assert "above take-off" in str(the(problems, "exif_altitude_is_relative").sentence)


def test_an_exposed_exif_altitude_is_not_compared_with_the_terrain_either():
    photos = [replace(p, exif_altitude_m=100.2, absolute_altitude_m=None) for p in strips()]
    heights, problems = settle(photos, flat())
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)
    assert codes(problems) == ["exif_altitude_is_relative"]


def test_a_photo_that_lost_its_relative_height_takes_the_sorties_zero():
    photos = strips()
    photos[5] = replace(photos[5], relative_altitude_m=None)
    heights, _ = settle(photos, flat())
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)


def test_only_an_altitude_below_the_ground_is_read_as_above_takeoff():
    photos = [
        replace(p, exif_altitude_m=100.0, absolute_altitude_m=None, relative_altitude_m=None)
        for p in strips()
    ]
    heights, problems = settle(photos, flat())
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)
    assert "200 m under the ground" in str(the(problems, "altitude_is_above_takeoff").sentence)


def test_only_an_absolute_altitude_is_accepted_after_the_check():
    photos = [replace(p, relative_altitude_m=None) for p in strips()]
    heights, problems = settle(photos, flat())
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)
    assert codes(problems) == ["altitude_accepted"]


def test_height_modes_override():
    photos = [replace(p, absolute_altitude_m=430.0, exif_altitude_m=415.0) for p in strips()]
    for mode, height in (("absolute", 430.0), ("exif", 415.0), ("relative", 400.0)):
        heights, _ = settle(photos, flat(), mode=HeightMode(mode))
        np.testing.assert_allclose(heights.height_m, height)


def test_sensefly_exif_is_ellipsoidal():
    photos = [replace(p, dialect=Dialect.SENSEFLY, exif_altitude_m=400.0) for p in strips()]
    heights, _ = settle(photos, flat(datum="EGM2008"), mode=HeightMode.EXIF)
    n = interpolate_undulation_m("EGM2008", np.array([[LON, LAT]]))[0]
    np.testing.assert_allclose(heights.height_m, 400.0 - n, atol=0.05)


def test_an_unknown_datum_is_an_error_never_a_silent_thirty_metres():
    photos = [replace(p, relative_altitude_m=None) for p in strips()]
    with pytest.raises(DatumUnknown):
        settle(photos, flat(datum="Hon Dau"))


def test_without_terrain_a_plane_and_a_warning():
    heights, problems = settle(strips())
    assert heights.datum == "LOCAL"
    np.testing.assert_allclose(heights.height_m, 100.0)
    assert "plane" in str(the(problems, "no_terrain").sentence)


def test_without_terrain_or_relative_height_nothing_is_invented():
    photos = [replace(p, relative_altitude_m=None) for p in strips()]
    heights, problems = settle(photos)
    assert np.isnan(heights.height_m).all()
    assert "--takeoff" in str(the(problems, "height_unknown").sentence)
    heights, _ = settle(photos, takeoff=300.0)
    np.testing.assert_allclose(heights.height_m, 100.0)


def seen(above, sigma_m=4.0, photos=48):
    """Heights above ground as the pictures of a whole flight would tell them."""
    return FlyingHeights(
        above_ground_m=np.broadcast_to(np.asarray(above, dtype=np.float64), photos),
        sigma_m=np.full(photos, sigma_m),
        visible_m=np.zeros((photos, 2)),
        measured=np.ones(photos, dtype=bool),
        turn_deg=np.full((photos, 2), np.nan),
    )


def only_exif(altitude_m):
    heights = np.broadcast_to(np.asarray(altitude_m, dtype=np.float64), len(strips()))
    return [
        replace(p, absolute_altitude_m=None, relative_altitude_m=None, exif_altitude_m=float(h))
        for p, h in zip(strips(), heights, strict=True)
    ]


@pytest.mark.parametrize("altitude_m", [400.0, -20.0])
def test_without_terrain_the_pictures_tell_the_height_and_its_sigma(altitude_m):
    heights, problems = settle(only_exif(altitude_m), seen=seen(100.0))
    assert heights.datum == "LOCAL"
    np.testing.assert_allclose(heights.height_m, 100.0)
    np.testing.assert_allclose(heights.sigma_m, 4.0)
    assert heights.from_images.all()
    assert codes(problems) == ["no_terrain", "height_from_pictures"]


def test_on_terrain_what_the_pictures_tell_stands_on_the_ground_they_show():
    photos = [
        replace(p, exif_altitude_m=None, absolute_altitude_m=None, relative_altitude_m=None) for p in strips()
    ]
    heights, problems = settle(
        photos, slope, seen=replace(seen(100.0), visible_m=np.tile([0.0, 40.0], (48, 1)))
    )
    ground, _ = slope(np.array([[p.lon_deg, p.lat_deg + 40.0 / M_PER_DEG] for p in photos]))
    np.testing.assert_allclose(heights.height_m, ground + 100.0, atol=0.1)
    assert heights.on_terrain.all()
    assert codes(problems) == ["height_from_pictures"]


def test_an_altitude_that_drifts_is_neither_above_sea_nor_above_takeoff():
    """59 m above the ground, drifting by 100 m, it was read as height above take-off: 8 times the scale."""
    photos = only_exif(GROUND_M + 59.0 + np.linspace(-50.0, 50.0, len(strips())))
    heights, problems = settle(photos, flat(), seen=seen(60.0))
    np.testing.assert_allclose(heights.above_ground_m, 60.0)
    assert codes(problems) == ["height_contradicted"]
    heights, problems = settle(photos, flat())
    assert "altitude_is_above_takeoff" not in codes(problems)
    assert np.median(heights.above_ground_m) == pytest.approx(59.0)


def test_of_two_readings_that_of_which_the_pictures_agree_is_taken():
    photos = [replace(p, relative_altitude_m=300.0) for p in strips()]  # the zero of another flight
    heights, problems = settle(photos, flat(), seen=seen(103.0))
    np.testing.assert_allclose(heights.height_m, GROUND_M + 100.0)
    assert codes(problems) == ["altitude_accepted"]
    assert not heights.from_images.any()


@pytest.mark.parametrize(
    ("shown_m", "taken_m"), [(85.0, 100.0), (118.0, 100.0), (70.0, 70.0), (130.0, 130.0)]
)
def test_no_scale_is_laid_that_the_pictures_contradict_by_a_fifth(shown_m, taken_m):
    for terrain in (None, flat()):
        heights, _ = settle(strips(), terrain, seen=seen(shown_m))
        above = heights.above_ground_m
        np.testing.assert_allclose(above, taken_m)


def test_a_takeoff_that_buries_photos_is_left_to_who_gave_it():
    heights, _ = settle(strips(), flat(), takeoff=-5000.0, seen=seen(100.0))
    assert (heights.above_ground_m < 0.0).all()
    heights, problems = settle(strips(), flat(), takeoff=GROUND_M + 200.0, seen=seen(100.0))
    np.testing.assert_allclose(heights.above_ground_m, 100.0)
    assert "height_contradicted" in codes(problems)


def test_pictures_that_are_unsure_contradict_nothing():
    heights, _ = settle(strips(), flat(), seen=seen(70.0, sigma_m=20.0))
    np.testing.assert_allclose(heights.above_ground_m, 100.0)


def test_a_few_photos_that_are_contradicted_take_no_others_with_them():
    above = np.full(48, 100.0)
    above[:4] = 60.0
    heights, problems = settle(strips(), flat(), seen=seen(above))
    np.testing.assert_allclose(heights.above_ground_m, above)
    assert len(the(problems, "height_contradicted").frames) == 4


def test_photos_that_were_not_looked_at_are_not_judged_one_by_one():
    heights, _ = settle(strips(), flat(), seen=replace(seen(60.0), measured=np.zeros(48, dtype=bool)))
    np.testing.assert_allclose(heights.above_ground_m, 100.0)
