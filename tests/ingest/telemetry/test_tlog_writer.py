"""A link's packets on the disk: whole ones, whatever the disk does."""

from __future__ import annotations

import resource
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flycam.ingest.telemetry.mavlink_link import TlogWriter
from flycam.messages import Message


class Losses:
    """What a record said."""

    def __init__(self) -> None:
        self.lost = 0
        self.said: list[Message] = []

    def __call__(self, lost: int, said: Message | None) -> None:
        self.lost = lost
        self.said += [said] if said else []


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file of this process may get larger, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def written(path: Path) -> list[tuple[float, bytes]]:
    """(UTC, packet) of packets of forty bytes."""
    data = path.read_bytes()
    assert len(data) % 48 == 0, "torn"
    return [
        (struct.unpack_from(">Q", data, at)[0] / 1e6, data[at + 8 : at + 48])
        for at in range(0, len(data), 48)
    ]


def packet(number: int) -> bytes:
    return bytes([number]) * 40


def test_a_disk_that_fills_up_loses_whole_packets_and_it_goes_on_once_there_is_room(tmp_path: Path) -> None:
    losses, path = Losses(), tmp_path / "heard.tlog"
    record = TlogWriter(path, losses)
    with full_at(48 * 2 + 20):  # the third is torn
        for number in range(5):
            record.write(float(number), packet(number))
        assert len(path.read_bytes()) == 96
    for number in range(5, 7):
        record.write(float(number), packet(number))
    with full_at(48 * 4 + 7):
        record.write(7.0, packet(7))
    record.close()
    assert [data[0] for _, data in written(path)] == [0, 1, 5, 6] and losses.lost == 4
    assert len(losses.said) == 2 and all(str(tmp_path) in str(one) for one in losses.said)
