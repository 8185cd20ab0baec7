from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.errors import DatumUnknown
from flycam.geodata.geoid import interpolate_undulation_m
from flycam.ingest.photos.xmp import Dialect
from flycam.ingest.preflight.altitude import HeightMode, resolve_heights
from flycam.ingest.preflight.files import resolve_capture_times
from flycam.ingest.preflight.flight_table import build_flight_table, split_sorties
from flycam.ingest.preflight.flying_height import FlyingHeights
from tests.ingest.photos.made_flights import GROUND_M, LAT, LON, M_PER_DEG, codes, flat, strips


def settle(photos, terrain=None, **options):
    times, _ = resolve_capture_times(photos)
    table = build_flight_table(photos, times)
    return resolve_heights(table, split_sorties(table), terrain, **options)


def slope(lonlat):
    """A 45 degree mountainside that rises to the north from 300 m."""
    return GROUND_M + np.maximum((lonlat[:, 1] - LAT) * M_PER_DEG, -50.0), "EGM96"


def island(lonlat):
    return np.where(np.abs(lonlat[:, 0] - LON) < 0.01, GROUND_M, np.nan), "EGM96"


def flown(**fields):
    return [replace(p, **fields) for p in strips()]


def seen(above, sigma_m=4.0, photos=48):
    """Heights above ground as the pictures of a whole flight would tell them."""
    return FlyingHeights(
        above_ground_m=np.broadcast_to(np.asarray(above, dtype=np.float64), photos),
        sigma_m=np.full(photos, sigma_m),
        visible_m=np.zeros((photos, 2)),
        measured=np.ones(photos, dtype=bool),
        turn_deg=np.full((photos, 2), np.nan),
    )


UNMEASURED = replace(seen(60.0), measured=np.zeros(48, dtype=bool))
TOO_HIGH = {"takeoff": GROUND_M + 200.0, "seen": seen(100.0)}
ELLIPSOIDAL = {"dialect": Dialect.SENSEFLY, "exif_altitude_m": 400.0}
RELATIVE_EXIF = {"exif_altitude_m": 100.2, "absolute_altitude_m": None}
EXIF, SEEN = {"mode": HeightMode.EXIF}, {"seen": seen(100.0)}
UNDULATION_M = interpolate_undulation_m("EGM96", np.array([[LON, LAT]]))[0]
RTK = {"rtk_flag": 50, "rtk_std_m": (0.01, 0.01, 0.02), "absolute_altitude_m": 400.0}
ONLY_EXIF = {"exif_altitude_m": 100.0, "absolute_altitude_m": None, "relative_altitude_m": None}
LOST_ONE = [*strips()[:5], replace(strips()[5], relative_altitude_m=None), *strips()[6:]]
POINT = (LON, LAT + 0.001)


@pytest.mark.parametrize(
    ("photos", "terrain", "options", "height_m", "found", "how"),
    [
        (strips(), flat(), {}, 400.0, ["takeoff_estimated"], "terrain_and_altitude"),
        # absolute altitudes: 50 m off is said, 15 m is within what receivers do
        (flown(absolute_altitude_m=450.0), flat(), {}, 400.0, {"altitude_off"}, "terrain_and_altitude"),
        (flown(absolute_altitude_m=415.0), flat(), {}, 400.0, ["takeoff_estimated"], "terrain_and_altitude"),
        (flown(relative_altitude_m=None), flat(), {}, 400.0, ["altitude_accepted"], None),
        (flown(**RTK), flat(), {}, 400.0 - UNDULATION_M, ["rtk_altitude_accepted"], None),
        (LOST_ONE, flat(), {}, 400.0, None, None),
        # EXIF altitudes that are heights above take-off
        (flown(exif_altitude_m=100.2), flat(), {}, 400.0, {"exif_altitude_is_relative"}, None),
        (flown(**RELATIVE_EXIF), flat(), {}, 400.0, ["exif_altitude_is_relative"], None),
        (flown(**ONLY_EXIF), flat(), {}, 400.0, {"altitude_is_above_takeoff"}, None),
        # the operator's word, and a log's
        (strips(), slope, {"takeoff": 512.0}, 612.0, None, "operator"),
        (strips(), slope, {"takeoff": POINT}, 511.195, None, "operator_point"),
        (strips(), slope, {"home_lonlat": POINT}, 511.195, None, "home_position"),
        (strips(), flat(), {"home_lonlat": (LON + 1.0, LAT)}, 400.0, None, "terrain_and_altitude"),
        (strips(), island, {"takeoff": (LON + 0.05, LAT)}, 400.0, {"takeoff_off_terrain"}, None),
        (flown(absolute_altitude_m=430.0), flat(), {"mode": HeightMode.ABSOLUTE}, 430.0, None, None),
        (flown(exif_altitude_m=415.0), flat(), EXIF, 415.0, None, None),
        (flown(absolute_altitude_m=430.0), flat(), {"mode": HeightMode.RELATIVE}, 400.0, None, None),
        (flown(**ELLIPSOIDAL), flat(), EXIF, 400.0 - UNDULATION_M, None, None),
        # without terrain: a plane
        (strips(), None, {}, 100.0, {"no_terrain"}, None),
        (flown(relative_altitude_m=None), None, {}, np.nan, {"height_unknown"}, None),
        (flown(relative_altitude_m=None), None, {"takeoff": 300.0}, 100.0, None, None),
        # the ground is at 188 m, as the operator says, and the altitude counts from there
        (flown(**ONLY_EXIF), None, {"takeoff": 188.0}, 100.0, {"altitude_is_above_takeoff"}, None),
        # the operator says that the altitude counts from take-off, whatever it calls itself
        (flown(**ONLY_EXIF), None, {"mode": HeightMode.RELATIVE}, 100.0, set(), None),
        (flown(**ONLY_EXIF), flat(), {"mode": HeightMode.RELATIVE}, 400.0, set(), None),
        # the pictures tell
        (flown(**ONLY_EXIF), None, SEEN, 100.0, ["no_terrain", "height_from_pictures"], None),
        (flown(relative_altitude_m=300.0), flat(), {"seen": seen(103.0)}, 400.0, ["altitude_accepted"], None),
        (strips(), flat(), {"seen": seen(70.0, sigma_m=20.0)}, 400.0, None, None),
        (strips(), flat(), {"seen": UNMEASURED}, 400.0, None, None),
        (strips(), flat(), TOO_HIGH, 400.0, {"height_contradicted"}, None),
    ],
)
def test_heights(photos, terrain, options, height_m, found, how):
    """found: all codes in order, or some of them."""
    heights, problems = settle(photos, terrain, **options)
    np.testing.assert_allclose(heights.height_m, height_m, atol=0.05)
    assert heights.datum == ("LOCAL" if terrain is None else "EGM96")
    if how is not None:
        assert heights.takeoffs[0].how == how
    if isinstance(found, list):
        assert codes(problems) == found
    elif found is not None:
        assert found <= {*codes(problems)}


def test_sigmas_of_heights():
    heights, _ = settle(strips(), flat())
    assert heights.takeoffs[0].sigma_m == pytest.approx(3.0)
    np.testing.assert_allclose(heights.sigma_m, np.sqrt(3.0**2 + 1.0 + 1.5**2))
    for fields, sigma_m in ((RTK, 0.03), ({**RTK, "rtk_flag": 16, "rtk_std_m": (2.7, 1.5, 12.0)}, 12.0)):
        heights, _ = settle(flown(**fields, relative_altitude_m=None), flat())
        assert heights.sigma_m.max() <= sigma_m
    assert heights.sigma_m.min() == 12.0


def test_on_a_mountainside_the_aircraft_knows_its_takeoff_better_than_the_first_photo_does():
    photos = strips(heading_deg=90.0, relative_m=260.0)  # took off at 300, first photo already over the slope
    photos = [replace(p, lat_deg=p.lat_deg + 120.0 / M_PER_DEG) for p in photos]
    heights, _ = settle(photos, slope)
    assert heights.takeoffs[0].how == "altitude"
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


def test_an_unknown_datum_is_an_error_never_a_silent_thirty_metres():
    photos = [replace(p, relative_altitude_m=None) for p in strips()]
    with pytest.raises(DatumUnknown):
        settle(photos, flat(datum="Hon Dau"))


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
    drifting = GROUND_M + 59.0 + np.linspace(-50.0, 50.0, len(strips()))
    photos = [
        replace(p, **{**ONLY_EXIF, "exif_altitude_m": float(h)})
        for p, h in zip(strips(), drifting, strict=True)
    ]
    heights, problems = settle(photos, flat(), seen=seen(60.0))
    np.testing.assert_allclose(heights.above_ground_m, 60.0)
    assert codes(problems) == ["height_contradicted"]
    heights, problems = settle(photos, flat())
    assert "altitude_is_above_takeoff" not in codes(problems)
    assert np.median(heights.above_ground_m) == pytest.approx(59.0)


@pytest.mark.parametrize(
    ("shown_m", "taken_m"), [(85.0, 100.0), (118.0, 100.0), (70.0, 70.0), (130.0, 130.0)]
)
def test_no_scale_is_laid_that_the_pictures_contradict_by_a_fifth(shown_m, taken_m):
    for terrain in (None, flat()):
        heights, _ = settle(strips(), terrain, seen=seen(shown_m))
        above = heights.above_ground_m
        np.testing.assert_allclose(above, taken_m)
