"""Telemetry over a serial line: real pseudo-terminal pairs, whose far end an aircraft's radio holds."""

from __future__ import annotations

import os
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flycam.errors import OptionUnusable, SourceUnreadable
from flycam.ingest.telemetry import mavlink_link
from flycam.ingest.telemetry.mavlink_link import DEFAULT_BAUD, MavlinkLink, is_link
from tests.ingest.telemetry.test_mavlink_link import Aircraft
from tests.waiting import until


class Radio:
    """A pseudo-terminal: `send` is what the aircraft says, `path` the line that it comes over."""

    def __init__(self) -> None:
        self._far, self._near = os.openpty()
        self.path = os.ttyname(self._near)

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._far, data) :]

    def settings(self) -> list:
        return termios.tcgetattr(self._near)

    def pull_out(self) -> None:
        for fd in (self._far, self._near):
            os.close(fd)
        self._far = self._near = -1

    def close(self) -> None:
        if self._far >= 0:
            self.pull_out()


@pytest.fixture
def radio() -> Iterator[Radio]:
    one = Radio()
    yield one
    one.close()


def test_the_line_is_raw_at_the_speed_that_was_asked_for(radio: Radio) -> None:
    for spelling, speed in ((":115200", termios.B115200), ("", termios.B57600)):
        with MavlinkLink(f"serial:{radio.path}{spelling}"):
            _, _, control, local, speed_in, speed_out, _ = radio.settings()
        assert (speed_in, speed_out) == (speed, speed)
        assert control & termios.CSIZE == termios.CS8 and not control & termios.PARENB
        assert not local & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert DEFAULT_BAUD == 57_600


def test_a_radio_that_is_pulled_out_is_followed_again_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mavlink_link, "_FIRST_PAUSE_S", 0.1)
    aircraft, name = Aircraft(), tmp_path / "ttyUSB0"
    first, second = Radio(), Radio()
    name.symlink_to(first.path)
    with MavlinkLink(f"serial:{name}:57600") as link:
        radio_says(first, [aircraft.position(k) for k in range(5)])
        until(lambda: link.health.messages == 5)
        name.unlink()
        first.pull_out()
        time.sleep(0.5)
        assert link.health.connections == 1
        name.symlink_to(second.path)
        until(lambda: link.health.connections == 2)
        radio_says(second, [aircraft.position(k) for k in range(5, 10)])
        until(lambda: link.health.messages == 10)
    second.close()


def radio_says(radio: Radio, packets: list[bytes]) -> None:
    for packet in packets:
        radio.send(packet)
        time.sleep(0.02)


def test_lines_that_are_none_are_said_with_their_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no line")
    for wrong in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(SourceUnreadable, match="dialout"), MavlinkLink(f"serial:{wrong}:57600"):
            pass
    for url in ("serial:", "serial:/dev/ttyUSB0:fast", "serial:/dev/ttyUSB0:12345", "serial:/dev/ttyUSB0:0"):
        with pytest.raises(OptionUnusable, match="serial:/dev/ttyUSB0:57600"):
            MavlinkLink(url)
    assert is_link("serial:/dev/ttyUSB0") and is_link("serial:///dev/ttyUSB0:57600")
    assert not is_link("/logs/serial.tlog") and not is_link("serial.tlog")
