"""MISB metadata in their film: which are used, and when the film's first picture was by their clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.video.clock_offset import REACH_S
from flycam.ingest.video.video_poses import read_video_log
from tests.ingest.telemetry.made_streams import PRIVATE, pes, picture, stream
from tests.ingest.telemetry.test_klv import T0_US, here, packet

STEP, STEP_US = 9000, 100_000  # of PTS, of UTC
GIMBAL = {"t5": bytes(2), "t6": bytes(2), "t7": bytes(2), "t18": bytes(4), "t19": b"\xc0\0\0\0"}


def film(
    path: Path, *, stamp_us: int | None = None, stated: bool = False, late: int = 0, first_pts: int = 9000
) -> Path:
    """30 pictures; a packet for each, `late` pictures behind it in the file."""
    parts = []
    for k in range(30):
        pts = first_pts + k * STEP
        parts.append((256, picture(pts, None if stamp_us is None else stamp_us + k * STEP_US)))
        if k >= late:
            of = k - late
            local_set = packet(T0_US + of * STEP_US, **here(of))
            parts.append((257, pes(PRIVATE, local_set, first_pts + of * STEP if stated else None)))
    path.write_bytes(stream(parts))
    return path


def log_of(path: Path) -> FlightLog:
    return read_flight_log(path)


@pytest.mark.real
@pytest.mark.parametrize("name", ["h264_klv.ts", "h265_klv.ts", "mpeg2_klv.ts"])
def test_a_real_films_metadata_are_in_time_with_its_pictures(shared_data: Path, name: str) -> None:
    path = shared_data / "video" / name
    log = read_video_log(path, None, path)
    assert len(log.log.track.samples) == 30 and log.log.remarks == ()
    assert log.is_own and log.is_shared and log.base_s == 0.0
    assert abs(log.zero_ns - log.log.track.samples[0].t_utc_ns) < 1000  # it has a packet for each picture
    assert log.find_doubts(1.0, None) == ()


@pytest.mark.real
def test_a_real_film_without_metadata_says_that_and_not_that_it_has_no_position(shared_data: Path) -> None:
    with pytest.raises(SourceUnreadable, match="without MISB metadata"):
        read_flight_log(shared_data / "video" / "h264_no_klv.ts")


def test_pictures_stamps_say_when_the_film_began(tmp_path: Path) -> None:
    log = log_of(film(tmp_path / "a.ts", stamp_us=T0_US + 250_000, late=7))
    assert log.video_zero_ns == pytest.approx((T0_US + 250_000) * 1000, abs=1000)
    assert log.video_zero_sigma_s < 0.05


@pytest.mark.parametrize("first_pts", [9000, 2**33 - 12 * STEP])
def test_synchronous_metadata_say_it_themselves(tmp_path: Path, first_pts: int) -> None:
    path = film(tmp_path / "a.ts", stated=True, late=9, first_pts=first_pts)
    log = log_of(path)
    assert log.video_zero_ns == pytest.approx(T0_US * 1000, abs=1000)
    assert read_video_log(path, None, path).is_shared


def test_asynchronous_metadata_are_looked_for_where_they_lie(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", late=9)
    found = read_video_log(path, 5, path)
    assert not found.is_shared and found.is_own
    before, reach = found.initial_search(3.0)
    apart_s = (found.zero_ns - T0_US * 1000) / 1e9
    assert before.offset_s == 0.0 and abs(apart_s) < reach < REACH_S


def test_of_two_streams_the_one_that_tells_the_camera_is_used_and_the_other_named(tmp_path: Path) -> None:
    parts = []
    for k in range(20):
        parts.append((256, picture(k * STEP)))
        parts.append((257, pes(PRIVATE, packet(T0_US + k * STEP_US, **here(k)))))
        if k % 2:
            parts.append((258, pes(PRIVATE, packet(T0_US + k * STEP_US, **here(k, **GIMBAL)))))
    path = tmp_path / "a.ts"
    path.write_bytes(stream(parts))
    log = log_of(path)
    assert len(log.track.samples) == 10
    assert np.isfinite([one.gimbal_pitch_deg for one in log.track.samples]).all()
    (remark,) = log.remarks
    assert all("258" in said and "257" in said for said in remark.to_fields().values())
