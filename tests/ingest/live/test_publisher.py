"""Pictures are merged one at a time, shown in groups behind, laid once: in order, bounded, errors raised."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import StorageFailed
from flycam.ingest.live.orthorectifier import IngestedIntervals, Publisher
from flycam.model.frame import format_video_frame_name, parse_video_frame_pts_ns
from flycam.model.records import FrameStatus

_SOON_S = 30.0


def test_who_merges_waits_while_too_many_are_not_shown() -> None:
    begun, gate, added = threading.Event(), threading.Event(), []

    def publish(_group: object) -> None:
        begun.set()
        assert gate.wait(_SOON_S)

    publisher = Publisher(publish, most=2)

    def merge() -> None:
        for number in range(6):
            publisher.put(number)
            added.append(number)

    merging = threading.Thread(target=merge, daemon=True)
    merging.start()
    assert begun.wait(_SOON_S)
    merging.join(0.3)
    assert merging.is_alive() and len(added) <= 4  # two are written, two wait
    gate.set()
    merging.join(_SOON_S)
    publisher.close()
    assert added == list(range(6))


def test_what_went_wrong_is_raised_where_the_pictures_come_from() -> None:
    def broken(_group: object) -> None:
        raise StorageFailed("the disk went away: run again")

    publisher = Publisher(broken)
    publisher.put(0)
    with pytest.raises(StorageFailed, match="disk"):
        for number in range(1, 1000):
            publisher.put(number)
    with pytest.raises(StorageFailed, match="disk"):
        publisher.close()


@dataclass(frozen=True)
class Recorded:
    """What `IngestedIntervals` reads of a frame's record."""

    header: SimpleNamespace
    status: FrameStatus


def on_record(*times_s: float, status: FrameStatus = FrameStatus.USED) -> list[Recorded]:
    names = [format_video_frame_name("flight.ts", round(time_s * 1e9)) for time_s in times_s]
    return [Recorded(SimpleNamespace(provenance=SimpleNamespace(source_name=name)), status) for name in names]


def covered(filmed: IngestedIntervals, *times_s: float) -> list[bool]:
    return [filmed.contains(round(time_s * 1e9)) for time_s in times_s]


@given(st.integers(0, 100 * 3600 * 10**9), st.sampled_from(["a.mp4", "DJI-0001.MOV", "x", "a-1.b.ts"]))
def test_a_picture_s_name_tells_its_time_to_the_millisecond(pts_ns: int, video: str) -> None:
    assert abs(parse_video_frame_pts_ns(format_video_frame_name(video, pts_ns)) - pts_ns) <= 500_000


def test_between_neighbours_all_is_filmed_and_before_and_behind_them_nothing() -> None:
    filmed = IngestedIntervals(on_record(1.0, 2.0, 3.0))
    assert covered(filmed, 0.5, 1.5, 2.9, 3.1) == [False, True, True, False]


def test_a_gap_that_a_late_run_left_is_filled_and_what_was_withdrawn_is_none() -> None:
    late = IngestedIntervals(on_record(1.0, 2.0, 3.0, 4.0, 9.0, 10.0))
    assert covered(late, 3.5, 6.0, 9.5) == [True, False, True]
    gone = IngestedIntervals([*on_record(1.0, 2.0), *on_record(3.0, 4.0, status=FrameStatus.WITHDRAWN)])
    assert covered(gone, 2.5, 3.5, 4.4, 4.6) == [True, True, True, False]


def test_frames_that_could_not_be_laid_cover_nothing() -> None:
    assert covered(IngestedIntervals(on_record(1.0, 2.0, status=FrameStatus.REJECTED)), 1.5) == [False]
    assert covered(IngestedIntervals([]), 1.5) == covered(IngestedIntervals(on_record(1.0)), 1.5) == [False]
