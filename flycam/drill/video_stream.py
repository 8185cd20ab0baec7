"""Live stream of a video drill as from an aircraft: MPEG-TS and MAVLink over UDP.

It is sent in real time, so that a command room can rehearse with the same command as for a real flight.
The telemetry begins before the first frame, as on an aircraft that stands ready; a packet is sent at its
tlog time: the streams are offset as the drill's clocks are.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flycam.drill.ground_truth import read_truth
from flycam.drill.video_drill import TELEMETRY_NAME, VIDEO_NAME
from flycam.drill.video_encoder import find_encoder_program
from flycam.errors import NotFound, OptionUnusable, SourceUnreadable
from flycam.messages import _

Address = tuple[str, int]

_STAMP_BYTES = 8
_MAVLINK_2, _SIGNED = 0xFD, 0x01
# bytes of a packet besides its payload, by its first byte
_FRAME_BYTES = {0xFE: 8, _MAVLINK_2: 12}
_SIGNATURE_BYTES = 13
# the longest wait before a stop is noticed
_LOOK_S = 0.5
_END_S = 20.0
_MAX_STDERR_BYTES = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamReport:
    """Result of streaming.

    packets   of telemetry that were sent
    video_s   seconds of video that were sent; 0 without an address for it
    complete  whether everything was sent
    """

    packets: int
    video_s: float
    complete: bool


def parse_address(option: str, text: str) -> Address:
    """Parse "HOST:PORT" as a socket address; OptionUnusable."""
    host, __, port = text.removeprefix("udp://").rpartition(":")
    try:
        number = int(port)
        if not host or not 0 < number < 65_536:
            raise ValueError
        socket.getaddrinfo(host, number, socket.AF_INET, socket.SOCK_DGRAM)
    except (ValueError, OSError) as error:
        raise OptionUnusable(
            _(
                "{option} {text}: give where to send as HOST:PORT, such as 127.0.0.1:5600",
                option=option,
                text=text,
            )
        ) from error
    return host, number


def stream_drill(
    folder: Path,
    video_to: Address | None,
    telemetry_to: Address | None,
    *,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> StreamReport:
    """Send the video of a drill and its telemetry in real time.

    folder  as `write_video_drill` wrote it
    progress(elapsed, all)  called about every second, in seconds of the flight

    Raises NotFound without a video drill there, InputUnusable without the sending program,
    SourceUnreadable where nothing can be sent to the address.
    """
    start_s, seconds = _read_timing(folder)
    packets = list(_packets((folder / TELEMETRY_NAME).read_bytes()))
    lead_s = max(0.0, start_s - packets[0][0]) if packets else 0.0
    begun_s = time.monotonic() + lead_s
    sent = 0
    with _Film(folder / VIDEO_NAME, video_to) as film, _Link(telemetry_to) as link:
        moments = [*((stamp_s - start_s, packet) for stamp_s, packet in packets), (seconds, b"")]
        for at_s, packet in sorted(moments, key=lambda one: one[0]):
            while (wait_s := begun_s + at_s - time.monotonic()) > 0.0 and not stopped():
                film.start_once(begun_s)
                time.sleep(min(wait_s, _LOOK_S, max(begun_s - time.monotonic(), 0.0) or _LOOK_S))
                if progress is not None:
                    progress(round(lead_s + min(at_s, seconds)), round(lead_s + seconds))
            if stopped():
                return StreamReport(packets=sent, video_s=film.shown_s(begun_s, seconds), complete=False)
            film.start_once(begun_s)
            if packet:
                link.send(packet)
                sent += 1
        film.finish()
    return StreamReport(packets=sent, video_s=film.shown_s(begun_s, seconds), complete=True)


def _read_timing(folder: Path) -> tuple[float, float]:
    """Return the tlog time at video time 0 (UTC seconds), and the video's seconds."""
    truth = read_truth(folder)
    facts = truth.facts
    if "video" not in facts:
        raise NotFound(_("{folder}: holds a drill of photos: write one with --video", folder=folder))
    start_s = datetime.fromisoformat(facts["video"]["start_utc"]).timestamp() + facts["clock_offset_s"]
    return start_s, len(truth.exteriors) / facts["video"]["fps"]


def _packets(data: bytes) -> Iterator[tuple[float, bytes]]:
    """Yield (stamp in UTC seconds, packet) of a tlog.

    8 bytes of microseconds, big-endian, then the packet.
    """
    at = 0
    while at + _STAMP_BYTES + 2 < len(data):
        (stamp,) = struct.unpack_from(">Q", data, at)
        at += _STAMP_BYTES
        length = _FRAME_BYTES[data[at]] + data[at + 1]
        if data[at] == _MAVLINK_2 and data[at + 2] & _SIGNED:
            length += _SIGNATURE_BYTES
        yield stamp / 1e6, data[at : at + length]
        at += length


class _Link:
    """UDP socket for packets; sends nothing without an address."""

    def __init__(self, to: Address | None) -> None:
        self._to = to
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> _Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, packet: bytes) -> None:
        """Send one packet; a receiver that is not listening yet loses it, as by radio."""
        if self._to is None:
            return
        try:
            self._socket.sendto(packet, self._to)
        except OSError as error:
            host, port = self._to
            raise SourceUnreadable(
                _(
                    "{host}:{port}: nothing can be sent there ({strerror}): check address and network",
                    host=host,
                    port=port,
                    strerror=error.strerror,
                )
            ) from error


class _Film:
    """Subprocess that sends the video as MPEG-TS from the moment it is started."""

    def __init__(self, path: Path, to: Address | None) -> None:
        self._path, self._to = path, to
        self._program = find_encoder_program("--stream") if to is not None else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def start_once(self, at_s: float) -> None:
        """Start it once at `at_s` (monotonic); later calls raise if it has failed."""
        if self._to is None or time.monotonic() < at_s:
            return
        if self._process is None:
            host, port = self._to
            self._process = subprocess.Popen(  # noqa: S603  the program found on the path, no shell
                [
                    *(self._program, "-q", "filesrc", f"location={self._path}", "!", "qtdemux", "!"),
                    *("h264parse", "config-interval=-1", "!", "mpegtsmux", "alignment=7", "!"),
                    *("udpsink", f"host={host}", f"port={port}", "sync=true"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
            )
        elif self._process.poll() not in (None, 0):
            raise self._failed()

    def finish(self) -> None:
        """Wait until the last frame was sent."""
        if self._process is None:
            return
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            raise self._failed() from error
        if code != 0:
            raise self._failed()

    def shown_s(self, begun_s: float, seconds: float) -> float:
        """Return the seconds of video that were sent."""
        return 0.0 if self._process is None else min(max(time.monotonic() - begun_s, 0.0), seconds)

    def _failed(self) -> SourceUnreadable:
        self._stderr.seek(0)
        stderr_text = " ".join(self._stderr.read(_MAX_STDERR_BYTES).decode(errors="replace").split())
        return SourceUnreadable(
            _(
                "{name}: sending it stopped ({reason}): check --stream and the network",
                name=self._path.name,
                reason=stderr_text or _("no message"),
            )
        )
