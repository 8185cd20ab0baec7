"""Live MAVLink link over UDP, TCP or a serial line.

Bytes become messages, and messages every aircraft's recent log; the packets are recorded as a tlog.

With a key only packets that are signed with it, and newer than the last of their stream, are accepted;
unsigned, forged and replayed ones are counted. A TCP link or serial line that breaks is opened again with
growing pauses; UDP just waits. Old messages are forgotten, so that a link may stay open for a day.

Source: MAVLink 2 message signing (signature: the first 48 bits of SHA-256 over key and packet).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import select
import socket
import struct
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.errors import OptionUnusable, SourceUnreadable
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.mavlink import AircraftRegistry
from flycam.messages import Message, _
from flycam.model.text import strip_url_credentials
from flycam.model.time import EARLIEST_NS

# -- Serial line (telemetry radio on USB, pseudo-terminal) read like a socket ----------------------
#
# Raw, 8 bits, no parity. Uses the system's terminal interface (POSIX termios), so no further library is
# needed.


DEFAULT_BAUD = 57_600
"""Factory setting of telemetry radios."""

_SPEEDS = {
    int(name[1:]): getattr(termios, name) for name in dir(termios) if name[0] == "B" and name[1:].isdecimal()
}
# Indexes in termios' attribute list: iflag, oflag, cflag, lflag, ispeed, ospeed, cc.
_CONTROL = 2
_LOCAL_SPEEDS = (4, 5)


class SerialPort:
    """Serial port, open from its construction.

    timeout_s  how long `recv` waits

    Raises OSError where it cannot be opened, or is no serial line.
    """

    def __init__(self, path: Path, baud: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # nonblocking: a line without carrier would keep the opener waiting
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _make_raw(self._fd, _SPEEDS[baud])
            # two readers would each get half of every packet
            fcntl.ioctl(self._fd, termios.TIOCEXCL)
        except termios.error as error:
            os.close(self._fd)
            raise OSError(*error.args) from error
        except BaseException:
            os.close(self._fd)
            raise
        # select() takes no descriptor above 1,023, and a server has more open
        self._waiting = select.poll()
        self._waiting.register(self._fd, select.POLLIN)

    def recv(self, max_bytes: int) -> bytes:
        """Return the received bytes, at most max_bytes; b"" once the line is gone.

        Raises TimeoutError while nothing comes.
        """
        if not self._waiting.poll(1000.0 * self._timeout_s):
            raise TimeoutError
        try:
            return os.read(self._fd, max_bytes)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise TimeoutError from error
            return b""  # pulled out

    def close(self) -> None:
        """Close the port."""
        os.close(self._fd)


def is_supported_baud(baud: int) -> bool:
    """Return True if this system supports such a speed."""
    return baud in _SPEEDS and baud > 0


def _make_raw(fd: int, speed: int) -> None:
    """Pass bytes as they come: no echo, no line editing, no flow control by bytes."""
    settings = termios.tcgetattr(fd)
    flags = termios.CS8 | termios.CREAD | termios.CLOCAL
    settings[0] = settings[1] = settings[3] = 0
    settings[_CONTROL] = flags
    for at in _LOCAL_SPEEDS:
        settings[at] = speed
    settings[6][termios.VMIN], settings[6][termios.VTIME] = 0, 0
    termios.tcsetattr(fd, termios.TCSANOW, settings)
    termios.tcflush(fd, termios.TCIFLUSH)


# -- Steady clock ----------------------------------------------------------------------------------
#
# UTC clock that ignores later settings: a field node may start in 1970 and learn the time in flight.


_SET_NS = 2_000_000_000


class SteadyClock:
    """This machine's UTC at construction, advanced by the monotonic clock.

    All times that are compared in one flight come from one of these.

    zero_ns  UTC at which the monotonic clock was 0, as known then
    """

    def __init__(self) -> None:
        self.zero_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return UTC nanoseconds."""
        return self.zero_ns + time.monotonic_ns()

    def now_s(self) -> float:
        """Return UTC seconds."""
        return self.now_ns() / 1e9

    def remarks(self) -> tuple[Message, ...]:
        """Return remarks on the clock."""
        if self.now_ns() < EARLIEST_NS:
            return (
                _(
                    "this machine's clock is not set: the flight is dated before 2005; set the clock before "
                    "the next flight"
                ),
            )
        set_ns = time.time_ns() - self.now_ns()
        if abs(set_ns) < _SET_NS:
            return ()
        return (
            _(
                "this machine's clock was set by {seconds:+.0f} s in flight: the flight continues by the "
                "clock as it was",
                seconds=set_ns / 1e9,
            ),
        )


# -- Record of a live link's packets as a tlog of whole packets ------------------------------------
#
# A full disk loses packets of the record, which are counted, and nothing else: the link goes on, and so does
# the record once there is room.
#
# Source: the tlog layout of the MAVLink developer guide (64-bit big-endian microseconds, then the packet).


class TlogWriter:
    """Single-threaded writer; its file stays open from the first packet until closed.

    on_loss  called with the number of packets not written so far whenever it grows, and with a sentence about
             trouble, once until it is over
    """

    def __init__(self, path: Path, on_loss: Callable[[int, Message | None], None]) -> None:
        self._path, self._on_loss = path, on_loss
        self._file: FileIO | None = None
        self._whole_bytes = 0
        self._is_torn = self._in_trouble = False
        self._lost = 0

    def write(self, arrival_s: float, packet: bytes) -> None:
        """Write a packet that came at this UTC (s).

        Never raises OSError: losses are reported to `on_loss`.
        """
        try:
            self._append(struct.pack(">Q", round(arrival_s * 1e6)) + packet)
        except OSError as error:
            self._mend()
            self._lost += 1
            self._on_loss(self._lost, None if self._in_trouble else self._loss_reason(error))
            self._in_trouble = True
        else:
            self._in_trouble = False

    def close(self) -> None:
        """Close the file."""
        self._mend()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = FileIO(self._path, "ab")
            self._whole_bytes = self._file.seek(0, 2)
        if self._is_torn:
            self._file.truncate(self._whole_bytes)
        self._is_torn = True
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._is_torn = False
        self._whole_bytes += len(data)

    def _mend(self) -> None:
        """Truncate a partly written packet; if that fails too, before the next packet."""
        if self._file is not None and self._is_torn:
            with suppress(OSError):
                self._file.truncate(self._whole_bytes)
                self._is_torn = False

    def _loss_reason(self, error: OSError) -> Message:
        return _(
            "{folder}: the telemetry is not recorded at this moment ({why}); the map continues; free "
            "some space there",
            folder=self._path.parent,
            why=error.strerror or error,
        )


# -- Live link: transports, signatures, and messages by aircraft -----------------------------------


_DATAGRAM_BYTES = 65_536
_LOOK_S = 0.2
_FORGET_EVERY_S = 5.0
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 8.0
_KEY_BYTES, _SIGNATURE_BYTES = 32, 6
_SERIAL = "serial:"
# A peer that lost its power does not close its connection: after five seconds of silence it is probed three
# times, so that the link is opened again some ten seconds later.
_HEARTBEAT_PROBE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


@dataclass(slots=True)
class LinkHealth:
    """State of a link.

    messages      packets accepted
    refused       other packets, by reason: "bad_signature" (unsigned, forged, replayed), "damaged" (checksum
                  or length), "noise" (bytes between packets)
    connections   times the link was opened
    last_packet_ns  monotonic time of the last accepted packet, None: never
    unwritten     accepted packets missing in the record
    remarks       why they are missing
    """

    messages: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    last_packet_ns: int | None = None
    unwritten: int = 0
    remarks: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Udp:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Tcp:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Serial:
    path: Path
    baud: int


class MavlinkLink:
    """Link that listens in a thread of its own, inside the context.

    url     udp://HOST:PORT (packets that are sent here; an empty HOST is every address), tcp://HOST:PORT, or
            serial:/dev/ttyUSB0:57600 (a radio; the speed may be left out)
    key     32 bytes (`parse_signing_key`); None: every packet is accepted
    keep_s  how long messages are remembered
    record  a tlog to which every accepted packet is added; a full disk stops nothing else
    clock_s  UTC seconds, by which packets are dated
    """

    def __init__(
        self,
        url: str,
        *,
        key: bytes | None = None,
        keep_s: float = 150.0,
        record: Path | None = None,
        clock_s: Callable[[], float] | None = None,
    ) -> None:
        self._name, self._keep_s, self._clock_s = (
            strip_url_credentials(url),
            keep_s,
            clock_s or SteadyClock().now_s,
        )
        self._address = _parsed(url)
        self._key = key
        self._record = None if record is None else TlogWriter(record, self._not_written)
        self._link = AircraftRegistry()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._socket: socket.socket | SerialPort | None = None
        self._thread = threading.Thread(target=self._listen, name="mavlink", daemon=True)
        self._forgot_s = 0.0
        self.health = LinkHealth()

    def __enter__(self) -> MavlinkLink:
        """Open the link.

        Raises SourceUnreadable where that is not possible now.
        """
        try:
            self._socket = self._opened()
        except OSError as error:
            if isinstance(self._address, _Serial):
                raise SourceUnreadable(
                    _(
                        "{name}: cannot be opened ({strerror}): check that the radio is "
                        "plugged in, that this user may read it (group dialout), and that no "
                        "other program does",
                        name=self._name,
                        strerror=error.strerror or error,
                    )
                ) from error
            raise SourceUnreadable(
                _(
                    "{name}: cannot be opened ({strerror}): check address and port, and that "
                    "no other program holds it",
                    name=self._name,
                    strerror=error.strerror or error,
                )
            ) from error
        self._thread.start()
        return self

    def __exit__(self, *__: object) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def aircraft(self) -> list[int]:
        """System ids that send positions, the busiest first."""
        with self._lock:
            return [one.system for one in self._link.active_aircraft()]

    @property
    def silent_s(self) -> float:
        """Seconds since the last accepted packet; infinite before the first."""
        heard_ns = self.health.last_packet_ns
        return float("inf") if heard_ns is None else (time.monotonic_ns() - heard_ns) / 1e9

    def log(self, system: int | None = None, last_s: float = float("inf")) -> FlightLog | None:
        """Return the log of one aircraft (default: the busiest) over the last seconds.

        At most what is remembered; None: no position yet.
        """
        with self._lock:
            flying = [one for one in self._link.active_aircraft() if system in (None, one.system)]
            if not flying:
                return None
            aircraft = flying[0].copy_since(self._clock_s() - last_s)
        try:
            return aircraft.flight_log(self._name)
        except SourceUnreadable:
            # no position came, or all were replayed from a buffer
            return None

    def _listen(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopped.is_set():
            if self._socket is None:
                if self._stopped.wait(pause_s):
                    break
                pause_s = min(2.0 * pause_s, _MAX_PAUSE_S)
                self._reopen()
                continue
            if self._drain(self._socket):
                pause_s = _FIRST_PAUSE_S
        self._close()
        if self._record is not None:
            self._record.close()

    def _drain(self, link: socket.socket | SerialPort) -> bool:
        """Read all that comes over an open link; return True if anything came."""
        self.health.connections += 1
        parser, received = _parser(self._key), False
        while not self._stopped.is_set():
            try:
                data = link.recv(_DATAGRAM_BYTES)
            except TimeoutError as error:
                # without errno: nothing came for a while; ETIMEDOUT: the peer is gone
                if error.errno is None:
                    continue
                data = b""
            except OSError:
                data = b""
            if data:
                received = True
                self._take(parser, data)
            elif not isinstance(self._address, _Udp):
                break
        self._close()
        return received

    def _take(self, parser: mavlink.MAVLink, data: bytes) -> None:
        """Parse bytes and pass the messages to their aircraft."""
        arrival_s = self._clock_s()
        messages = parser.parse_buffer(bytearray(data)) or []
        believed = []
        with self._lock:
            for message in messages:
                if message.get_type() == "BAD_DATA":
                    self.health.refused[_reason(message)] += 1
                    continue
                self.health.messages += 1
                self.health.last_packet_ns = time.monotonic_ns()
                self._link.add(arrival_s, message)
                believed.append(message)
            if arrival_s - self._forgot_s > _FORGET_EVERY_S:
                self._forgot_s = arrival_s
                for one in self._link.aircraft.values():
                    one.forget_before(arrival_s - self._keep_s)

        # outside the lock: a slow disk must not block `log`
        if self._record is not None:
            for message in believed:
                self._record.write(arrival_s, bytes(message.get_msgbuf()))

    def _not_written(self, lost: int, reason: Message | None) -> None:
        self.health.unwritten = lost
        if reason is not None and reason not in self.health.remarks:
            self.health.remarks.append(reason)

    def _opened(self) -> socket.socket | SerialPort:
        address = self._address
        if isinstance(address, _Serial):
            return SerialPort(address.path, address.baud, _LOOK_S)
        if isinstance(address, _Udp):
            link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                link.bind((address.host, address.port))
            except OSError:
                link.close()
                raise
        else:
            link = socket.create_connection((address.host, address.port), timeout=_MAX_PAUSE_S)
            for level, option, value in _HEARTBEAT_PROBE:
                link.setsockopt(level, option, value)
        link.settimeout(_LOOK_S)
        return link

    def _reopen(self) -> None:
        try:
            self._socket = self._opened()
        except OSError:
            self._socket = None

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _SignedOnly(mavlink.MAVLink):  # type: ignore[misc]
    """Parser that verifies the signature first.

    pymavlink advances a stream's clock before it has verified the packet, so that one forged packet from the
    future would silence the aircraft.
    """

    def check_signature(self, msgbuf: bytearray, srcSystem: int, srcComponent: int) -> bool:
        """Return True for a packet of this key that is newer than its stream's last."""
        right = hashlib.sha256(bytes(self.signing.secret_key) + bytes(msgbuf[:-_SIGNATURE_BYTES])).digest()
        if right[:_SIGNATURE_BYTES] != bytes(msgbuf[-_SIGNATURE_BYTES:]):
            return False
        return bool(super().check_signature(msgbuf, srcSystem, srcComponent))


def parse_signing_key(text: str) -> bytes:
    """Parse a signing key: 64 hex digits, or a passphrase, whose SHA-256 it is.

    Ground stations derive it from a passphrase in the same way.
    """
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    return key if len(key) == _KEY_BYTES else hashlib.sha256(text.encode()).digest()


def _parser(key: bytes | None) -> mavlink.MAVLink:
    parser = _SignedOnly(None)
    parser.robust_parsing = True
    if key is not None:
        parser.signing.secret_key = key
    return parser


def _reason(message: Any) -> str:
    text = str(message.reason)
    if "signature" in text:
        return "bad_signature"
    return "noise" if "prefix" in text else "damaged"


def is_link(address: str) -> bool:
    """Return True if this is the address of a link, not a file."""
    return "://" in address or address.startswith(_SERIAL)


def _parsed(url: str) -> _Udp | _Tcp | _Serial:
    """Parse a link's address. Raises OptionUnusable."""
    if url.startswith(_SERIAL):
        return _serial(url)
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("udp", "tcp") or port is None or (parts.scheme == "tcp" and not parts.hostname):
        raise _no_link(url)
    return (_Udp if parts.scheme == "udp" else _Tcp)(parts.hostname or "", port)


def _serial(url: str) -> _Serial:
    path, colon, baud = url.removeprefix(_SERIAL).partition(":")
    path = "/" + path.lstrip("/") if path.startswith("/") else path
    if not path or (colon and not (baud.isdecimal() and is_supported_baud(int(baud)))):
        raise _no_link(url)
    return _Serial(Path(path), int(baud) if baud else DEFAULT_BAUD)


def _no_link(url: str) -> OptionUnusable:
    return OptionUnusable(
        _(
            "{url}: is not a MAVLink link: give udp://:14550, tcp://HOST:5760 or serial:/dev/ttyUSB0:57600",
            url=strip_url_credentials(url),
        )
    )
