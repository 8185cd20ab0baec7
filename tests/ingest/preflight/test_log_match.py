from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.ingest.photos.xmp import Angles
from flycam.ingest.preflight.files import resolve_capture_times
from flycam.ingest.preflight.flight_table import build_flight_table
from flycam.ingest.preflight.log_match import estimate_event_offset_ns, fill_from_log
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.model.telemetry import TelemetrySample, TelemetryTrack
from tests.ingest.photos.made_flights import codes, strips, the


def bare(p):
    """The photo without anything a log could give."""
    return replace(
        p,
        lon_deg=None,
        lat_deg=None,
        relative_altitude_m=None,
        absolute_altitude_m=None,
        gimbal=Angles(),
        aircraft=Angles(),
    )


def sample_of(p, t_ns):
    return TelemetrySample(
        t_utc_ns=int(t_ns),
        lon_deg=p.lon_deg,
        lat_deg=p.lat_deg,
        height_m=p.absolute_altitude_m,
        height_datum="EGM96",
        relative_height_m=p.relative_altitude_m,
        yaw_deg=p.aircraft.yaw_deg,
        pitch_deg=p.aircraft.pitch_deg,
        roll_deg=p.aircraft.roll_deg,
        speed_mps=10.0,
    )


def log_of(photos, shift_s=0.0, *, events=False):
    times, _ = resolve_capture_times(photos)
    samples = tuple(
        sample_of(p, t + round(shift_s * 1e9)) for p, t in zip(photos, times.tolist(), strict=True)
    )
    track = TelemetryTrack(samples=samples, max_gap_s=20.0)
    return FlightLog(name="f.tlog", track=track, clock="UTC", camera_events=samples if events else ())


def table_of(photos):
    return build_flight_table(photos, resolve_capture_times(photos)[0])


def test_photos_without_position_take_the_track_at_their_time():
    photos = strips()
    filled, problems = fill_from_log(table_of([bare(p) for p in photos]), log_of(photos))
    np.testing.assert_allclose(filled.lonlat, table_of(photos).lonlat, atol=1e-9)
    np.testing.assert_allclose(filled.relative_m, 100.0)
    np.testing.assert_allclose(filled.aircraft, table_of(photos).aircraft)
    np.testing.assert_allclose(filled.sigma_xy_m, 0.29 * 10.0)  # whole-second stamps
    assert the(problems, "log_matched").sentence.values["found"] == 48


def test_what_a_photo_knows_itself_is_kept_and_compared():
    photos = strips()
    mixed = [replace(p if k % 2 else bare(p), horizontal_error_m=4.5) for k, p in enumerate(photos)]
    shifted = [replace(p, lat_deg=p.lat_deg + 5.0 / 111_195.0) for p in photos]
    filled, problems = fill_from_log(table_of(mixed), log_of(shifted))
    assert filled.lonlat[1, 1] == photos[1].lat_deg
    assert filled.lonlat[0, 1] == shifted[0].lat_deg
    np.testing.assert_array_equal(filled.stated_xy_m[:2], [np.nan, 4.5])  # said of the photo's own position
    check = the(problems, "log_matched").sentence.values["check"]
    assert check.values["median_m"] == pytest.approx(5.0, abs=0.05)


def test_events_match_by_pattern_whatever_the_clocks_say_and_survive_lost_photos():
    photos = strips()
    left = [bare(p) for k, p in enumerate(photos) if k not in (3, 4, 17, 40)]
    filled, problems = fill_from_log(table_of(left), log_of(photos, 4321.7, events=True))
    expected = table_of([p for k, p in enumerate(photos) if k not in (3, 4, 17, 40)]).lonlat
    np.testing.assert_allclose(filled.lonlat, expected, atol=1e-9)
    how = the(problems, "log_matched").sentence.values["how"]
    assert (how.values["matching"], how.values["count"], how.values["events"]) == (44, 44, 48)
    np.testing.assert_allclose(filled.sigma_xy_m, 0.0)


@pytest.mark.parametrize("hours", [-7, 1])
def test_a_wrong_zone_is_found(hours):
    photos = strips()
    filled, problems = fill_from_log(table_of([bare(p) for p in photos]), log_of(photos, hours * 3600.0))
    assert np.isfinite(filled.lonlat).all()
    assert codes(problems) == ["log_matched"]


def test_another_days_log_matches_nothing_and_nothing_is_extrapolated():
    photos = strips()
    filled, problems = fill_from_log(table_of([bare(p) for p in photos]), log_of(photos, 86400.0 * 3))
    assert np.isnan(filled.lonlat).all()
    assert codes(problems) == ["log_does_not_match"]


@given(st.floats(-40_000, 40_000), st.integers(0, 2**31))
@settings(max_examples=25)
def test_the_offset_of_an_irregular_pattern_is_found(shift_s, seed):
    generator = np.random.default_rng(seed)
    events = np.cumsum(generator.uniform(1.5, 6.0, 60)) * 1e9
    keep = np.sort(generator.choice(60, 45, replace=False))
    photos = events[keep] - shift_s * 1e9 + generator.normal(0, 0.05e9, 45)
    found = estimate_event_offset_ns(photos.astype(np.int64), events.astype(np.int64))
    assert found / 1e9 == pytest.approx(shift_s, abs=0.1)


def test_photos_without_time_take_events_in_order_only_if_the_counts_agree():
    photos = strips()
    timeless = [replace(bare(p), taken_text=None, taken_offset=None) for p in photos]
    log = log_of(photos, events=True)
    filled, _ = fill_from_log(table_of(timeless), log)
    np.testing.assert_allclose(filled.lonlat, table_of(photos).lonlat, atol=1e-9)
    filled, problems = fill_from_log(table_of(timeless[1:]), log)
    assert codes(problems) == ["log_does_not_match"]
    assert np.isnan(filled.lonlat).all()
