"""A drowning machine: pictures go whose neighbours show their ground, and new ground is lost last."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.ingest.live import frame_pipeline
from flycam.ingest.live.frame_pipeline import CLOSES_AT, OPENS_AT, FramePipeline, FrameQueue, choose_spacing
from flycam.ingest.video.clock_offset import ClockOffset
from flycam.ingest.video.video_source import VideoFrame, VideoHealth
from flycam.retry import RetryPolicy
from flycam.workspace import ignore_progress
from tests.ingest.live.test_keyframe_selection import CAMERA, north, texture
from tests.waiting import ENOUGH_S

_DEEP_M = 72.0  # the view of `north`


def picture(number: int, arrived_ns: int | None = None) -> VideoFrame:
    return VideoFrame(
        pts_ns=number,
        t_utc_ns=number,
        arrived_ns=time.monotonic_ns() if arrived_ns is None else arrived_ns,
        pixels=np.zeros((2, 2, 3), np.uint8),
    )


def numbers(queue: FrameQueue) -> list[int]:
    queue.close()
    found = []
    while (one := queue.get()) is not None:
        found.append(one.pts_ns)
    return found


def test_the_picture_goes_whose_neighbours_show_most_of_it() -> None:
    queue = FrameQueue(4, drops=True)
    for number, share in enumerate((1.0, 0.5, 0.1, 0.2, 0.5)):
        assert queue.put(picture(number), share)
    assert queue.dropped == {"thinned": 1}
    assert numbers(queue) == [0, 1, 3, 4]  # the third: the fourth is then 30 % new against the second


def test_new_ground_is_lost_only_where_every_picture_shows_it_alone_and_that_has_its_own_name() -> None:
    queue = FrameQueue(3, drops=True)
    for number in range(5):
        queue.put(picture(number), 0.7)
    assert queue.dropped == {"no_time": 2}
    assert numbers(queue)[-1] == 4  # the newest is never the one


def test_of_a_file_nothing_is_dropped_who_chooses_waits() -> None:
    queue, done = FrameQueue(2, drops=False), threading.Event()

    def choose() -> None:
        for number in range(6):
            queue.put(picture(number), 0.1)
        done.set()

    threading.Thread(target=choose, daemon=True).start()
    assert not done.wait(0.2)
    found = [queue.get() for _ in range(6)]
    assert done.wait(ENOUGH_S) and not queue.dropped
    assert [one.pts_ns for one in found if one is not None] == list(range(6))


@given(st.floats(0.0, 20.0), st.floats(0.0, 20.0))
def test_the_later_the_wider_and_never_so_wide_that_ground_is_left_between(one: float, other: float) -> None:
    early, late = choose_spacing(min(one, other)), choose_spacing(max(one, other))
    assert OPENS_AT <= early[0] <= late[0] < 0.8 and CLOSES_AT <= early[1] <= late[1] < 0.8
    assert choose_spacing(0.5) == (OPENS_AT, CLOSES_AT)


class Clock:
    """Time that passes as whoever brings pictures says, once whoever lays has laid what he can by then: how
    fast this machine is tells on neither."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._changed = threading.Condition()
        self._begun, self._wakes_s, self._is_over = 0, None, False

    def monotonic_ns(self) -> int:
        return round(1e9 * self.now_s)

    def work(self, seconds: float) -> None:
        """It takes so long: in the thread that lays."""
        with self._changed:
            self._begun += 1
            wakes_s = self.now_s + seconds
            if seconds > 0.0:
                self._wakes_s = wakes_s
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._is_over or self.now_s >= wakes_s, ENOUGH_S)

    def go_on(self, to_s: float, given: Callable[[], int]) -> None:
        """Until then; given: how many pictures whoever lays can have taken by now."""
        with self._changed:
            while True:
                assert self._changed.wait_for(
                    lambda: self._wakes_s is not None or self._begun == given(), ENOUGH_S
                )
                if self._wakes_s is None or self._wakes_s > to_s:
                    break
                self.now_s, self._wakes_s = self._wakes_s, None
                self._changed.notify_all()
            self.now_s = to_s

    def end(self) -> None:
        """What is still to be laid takes no time any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


class _Laying:
    """Takes its time over every picture."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.laid_s = seconds, []
        self.clock = Clock()
        self.late_ms: list[float] = []
        self.drop_counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        self.patience = RetryPolicy()

    def orthorectify(self, picture: VideoFrame, _pose: object, **_: bool) -> bool:
        self.clock.work(self.seconds)
        self.laid_s.append(picture.pts_ns / 1e9)
        self.late_ms.append((self.clock.monotonic_ns() - picture.arrived_ns) / 1e6)
        return True

    def reprocess(self, *_: object, **__: bool) -> None:
        """Nothing lies in doubt."""

    def abandon(self) -> None:
        raise AssertionError("nothing went wrong")


def flow_of(source: object, told: object, laying: object, is_sparing: bool = False) -> FramePipeline:
    """A flow from a source whose clock is the log's to a laying."""
    telemetry = SimpleNamespace(
        log_poses=told,
        zero_ns=0,
        refresh=lambda: None,
        covers=lambda _log_s: True,
        poses=SimpleNamespace(exterior_at=lambda _t_ns, _sigma_s: None),
    )
    clock = SimpleNamespace(
        add=lambda _picture: None,
        settle=lambda: None,
        to_log_s=lambda pts_ns: pts_ns / 1e9,
        breaks=0,
        offset=ClockOffset(0.0, 0.0),
    )
    return FramePipeline(  # type: ignore[arg-type]
        source, telemetry, clock, CAMERA, laying, drops=True, is_sparing=lambda: is_sparing
    )


def flown(
    laying: _Laying, speed_mps: float, seconds: float, faster: float, is_sparing: bool = False
) -> FramePipeline:
    """A flight north whose pictures come ten a second of film, so many times faster."""
    told, pixels, clock = north(speed_mps, seconds + 1.0), texture(), laying.clock

    def pictures() -> Iterator[VideoFrame]:
        for k in range(round(10 * seconds)):
            clock.go_on(k / (10.0 * faster), lambda: flow.chosen - flow._to_lay.dropped.total())
            ns = k * 100_000_000
            yield VideoFrame(pts_ns=ns, t_utc_ns=ns, arrived_ns=clock.monotonic_ns(), pixels=pixels)
        clock.end()

    source = SimpleNamespace(
        frames=pictures,
        is_stream=False,
        is_undated=False,
        duration_s=seconds,
        fps=10.0,
        health=VideoHealth(),
        stop=lambda: None,
    )
    flow = flow_of(source, told, laying, is_sparing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_pipeline, "time", clock)
        flow.run(ignore_progress, lambda: False)
    return flow


@pytest.mark.parametrize(("lay_s", "is_late"), [(0.0, False), (0.2, True)])
def test_a_slow_laying_lays_fewer_pictures_and_all_of_the_ground(lay_s: float, is_late: bool) -> None:
    """Twelve pictures a second would be laid as usual; a slow laying takes five."""
    laying = _Laying(lay_s)
    flow = flown(laying, speed_mps=9.0, seconds=90.0, faster=20.0)
    moved = np.diff(laying.laid_s) * 9.0 / _DEEP_M
    assert moved.max() < 0.95, "ground was left between two pictures"
    assert flow.drop_counts["no_time"] == 0
    assert flow.chosen == len(laying.laid_s) + flow.drop_counts["thinned"]
    if is_late:
        assert np.median(moved[-10:]) > 1.1 * CLOSES_AT
    else:
        assert not flow.drop_counts and np.median(moved) < CLOSES_AT + 0.02


def test_far_too_slow_a_laying_loses_ground_counted_as_that_and_the_newest_is_laid() -> None:
    laying = _Laying(1.2)
    flow = flown(laying, speed_mps=9.0, seconds=75.0, faster=50.0)
    assert flow.drop_counts["no_time"] > 0
    assert flow.chosen == len(laying.laid_s) + flow.drop_counts["thinned"] + flow.drop_counts["no_time"]
    assert laying.laid_s[-1] > 70.0
