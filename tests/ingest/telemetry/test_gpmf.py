"""GPMF inside a film: a real drone's, and what a camera's GPS tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.video.video_poses import read_video_log
from flycam.ingest.video.video_source import read_creation_ns
from tests.ingest.telemetry.made_gpmf import film, nested, numbers, scale, triple

BEGAN_S = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC


def gps5(second: int, *, fix: int = 3, stamp: bytes | None = None, rows: int = 18) -> bytes:
    """One payload: eastwards at 10 m/s."""
    place = [
        [21.9e7, (104.8 + 1e-4 * (second + (k + 0.5) / rows)) * 1e7, 1_500_000, 10_000, 1000]
        for k in range(rows)
    ]
    stamp = b"2605282026%02d.000" % (40 + second) if stamp is None else stamp
    return nested(
        "DEVC",
        triple("DVNM", "c", 1, b"Camera"),
        nested(
            "STRM",
            triple("GPSF", "L", 4, fix.to_bytes(4, "big")),
            triple("GPSU", "U", 16, stamp),
            scale(10**7, 10**7, 1000, 1000, 100),
            numbers("GPS5", "lllll", place),
        ),
    )


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.real
def test_a_real_drone_tells_its_flight_in_its_film(shared_data: Path) -> None:
    path = shared_data / "video" / "karma.mp4"
    log = read_video_log(path, read_creation_ns(path), path)
    samples = log.log.track.samples
    assert len(samples) == 47 and log.is_own
    first, last = samples[0], samples[-1]
    assert (first.lat_deg, first.lon_deg) == pytest.approx((33.12537, -117.33106), abs=1e-5)  # a coast
    assert 1.5 < first.relative_height_m < 3.0 and first.height_m == pytest.approx(15.71, abs=0.01)
    # the film's own time of creation, which a drone on another clock does not know, is met to the second
    assert abs(log.zero_ns - (read_creation_ns(path) or 0)) < 1_000_000_000
    assert last.speed_mps == pytest.approx(8.3, abs=0.1)
    assert last.yaw_deg == pytest.approx(-29.8, abs=0.3)


def test_a_cameras_gps_is_timed_by_its_own_stamps_in_the_film(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", film([gps5(k) for k in range(6)], per_chunk=4))
    log = read_flight_log(path)
    assert log.video_zero_ns == pytest.approx(BEGAN_S * 1e9, abs=1e6)
    assert len(log.track.samples) == 6 * 18
    one = log.track.pose_at(round((BEGAN_S + 3.25) * 1e9))
    assert one.lon_deg == pytest.approx(104.8 + 3.25e-4, abs=1e-8)
    assert (one.height_m, one.height_datum, one.fix) == (1500.0, "ELLIPSOID", "3d")
    assert np.isnan(one.gimbal_pitch_deg) and np.isnan(one.yaw_deg)


def test_gps9_has_its_time_and_fix_in_each_row(tmp_path: Path) -> None:
    days, second = divmod(BEGAN_S - 946_684_800, 86_400)

    def payload(k: int) -> bytes:
        rows = [
            [21.9e7, 104.8e7, 1_500_000, 0, 0, days, (second + k + (i + 0.5) / 10) * 1000, 150, 3]
            for i in range(10)
        ]
        by = scale(10**7, 10**7, 1000, 1000, 100, 1, 1000, 100, 1)
        return nested("DEVC", nested("STRM", by, numbers("GPS9", "lllllllSS", rows)))

    log = read_flight_log(written(tmp_path / "a.mp4", film([payload(k) for k in range(4)])))
    assert log.video_zero_ns == pytest.approx(BEGAN_S * 1e9, abs=2e6)
    assert log.track.samples[0].fix == "3d"


def test_a_film_without_telemetry_is_said_to_be_that(tmp_path: Path) -> None:
    for data in (film([])[:60], film([gps5(0)]).replace(b"gpmd", b"djmd")):
        with pytest.raises(SourceUnreadable, match="without telemetry"):
            read_flight_log(written(tmp_path / "a.mp4", data))
    with pytest.raises(SourceUnreadable, match="GPS was off"):
        read_flight_log(
            written(tmp_path / "a.mp4", film([nested("DEVC", triple("DVNM", "c", 1, b"Camera"))]))
        )


def test_moments_without_a_fix_do_not_time_the_film_and_are_marked(tmp_path: Path) -> None:
    lost = b"150101000000.000"
    payloads = [gps5(k, fix=0 if k < 3 else 3, stamp=lost if k < 3 else None) for k in range(6)]
    log = read_flight_log(written(tmp_path / "a.mp4", film(payloads)))
    assert log.video_zero_ns == pytest.approx(BEGAN_S * 1e9, abs=1e6)
    assert [one.fix for one in log.track.samples[:: 3 * 18]] == ["no_fix", "3d"]
