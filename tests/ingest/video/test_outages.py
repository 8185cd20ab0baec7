"""A stream that is lost and comes back, over real UDP: how old its last picture is, what is counted."""

from __future__ import annotations

from flycam.ingest.video.video_source import OutageCounter, Outages

_SECONDS, _FPS = 3.0, 30
SECOND = 10**9


def test_what_ends_a_stream_is_no_outage_and_is_said() -> None:
    count = OutageCounter()
    for second in (0, 1, 2, 30, 31, 43, 44):
        count.add(second * SECOND, fps=30.0)
    assert count.outages() == count.outages(stopped_ns=45 * SECOND) == Outages(2, 40.0)
    told = count.outages(stopped_ns=54 * SECOND)
    assert told == Outages(2, 40.0, 10.0)
    (lost, lost_vi), (last, last_vi) = (one.to_fields().values() for one in told.remarks("udp://@:5600"))
    assert "2 times, 40 s" in lost and "2 lần, tổng cộng 40 giây" in lost_vi
    assert "last 10 s" in last and "10 giây cuối" in last_vi
    assert Outages().remarks("udp://@:5600") == ()


def test_a_stream_of_few_pictures_is_not_lost_between_them() -> None:
    count = OutageCounter()
    for second in (0, 4, 8, 20):
        count.add(second * SECOND, fps=0.5)
    assert count.outages() == Outages(1, 12.0)
