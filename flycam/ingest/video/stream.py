"""Video streams: coded frames, their times, and addresses.

OpenCV's FFmpeg (LGPL), as its wheels ship it, reads RTSP, MPEG-TS over UDP and TCP, HTTP and RTMP; not SRT,
whose library the wheels lack. Aircraft that send RTMP call a server: at an RTMP address without a host name
flycam listens as that server. MPEG-TS over UDP is pushed, so flycam listens for it too.

Frame times are kept on the receiver's clock (`ConnectionStart`, `StreamTime`).
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, replace

from flycam.errors import SourceUnreadable, StreamUnreadable
from flycam.media.mp4 import ParameterSets
from flycam.messages import Message, _
from flycam.model.text import strip_url_credentials


@dataclass(frozen=True, slots=True)
class VideoPacket:
    """One coded frame.

    number      counts the frames of this connection from 0
    pts_ns      the stream's own time of it
    arrived_ns  monotonic arrival time; arrived_utc_ns the same on the flight's clock
    data        its NAL units, each behind its length
    parameters  parameter sets that a decoder needs before it
    """

    number: int
    pts_ns: int
    arrived_ns: int
    arrived_utc_ns: int
    is_key: bool
    data: bytes
    parameters: ParameterSets


# -- Arrival times of the first frames of a connection ---------------------------------------------
#
# The first frames are delivered in a burst. To find how a stream is coded the library reads ahead before it
# delivers the first frame, and a server or a link may have held some back. Dated by its delivery, the first
# frame would be a quarter of a second late, 10 m at 40 m/s, and a mosaic lies where its first frames lie.
# They wait, therefore, until frames come at their own pace; then each is taken to have come, at the latest,
# as long after its exposure as the least late one did.


# After this long without a less late frame the burst is over.
_QUIET_NS = 60_000_000
_LESS_LATE_NS = 5_000_000
_MAX_WAIT_NS = 500_000_000
# A jump of the stream's own time, which `StreamTime` handles.
_LEAP_NS = 1_000_000_000
_MAX_PACKETS = 150


class ConnectionStart:
    """Filter for the frames of one connection as they are delivered."""

    def __init__(self) -> None:
        self._waiting: list[VideoPacket] = []
        self._least_late_ns: int | None = None
        self._lowered_ns = 0
        self._is_over = False

    def add(self, packet: VideoPacket) -> list[VideoPacket]:
        """Return the frames that can go on by now, with their arrival times.

        Waiting frames go on with the first frame after 60 ms in which none came less late, or after half a
        second.
        """
        if self._is_over:
            return [packet]
        if self._waiting and abs(packet.pts_ns - self._waiting[-1].pts_ns) > _LEAP_NS:
            return [*self.end(), packet]
        self._waiting.append(packet)
        late_ns = packet.arrived_ns - packet.pts_ns
        if self._least_late_ns is None or late_ns < self._least_late_ns - _LESS_LATE_NS:
            self._lowered_ns = packet.arrived_ns
        self._least_late_ns = min(late_ns, late_ns if self._least_late_ns is None else self._least_late_ns)
        is_quiet = packet.arrived_ns - self._lowered_ns >= _QUIET_NS
        waited_ns = packet.arrived_ns - self._waiting[0].arrived_ns
        return (
            self.end() if is_quiet or waited_ns >= _MAX_WAIT_NS or len(self._waiting) >= _MAX_PACKETS else []
        )

    def end(self) -> list[VideoPacket]:
        """Return the frames that still wait; later frames no longer wait."""
        self._is_over = True
        waiting, self._waiting = self._waiting, []
        return [self._arrival(one) for one in waiting]

    def _arrival(self, packet: VideoPacket) -> VideoPacket:
        assert self._least_late_ns is not None  # noqa: S101  it waited
        early_ns = max(0, packet.arrived_ns - packet.pts_ns - self._least_late_ns)
        return replace(
            packet,
            arrived_ns=packet.arrived_ns - early_ns,
            arrived_utc_ns=packet.arrived_utc_ns - early_ns,
        )


# -- Stream addresses for the video library --------------------------------------------------------


OPEN_TIMEOUT_MS = 8_000
LISTEN_TIMEOUT_S = 12 * 3600.0
"""How long to listen for an incoming stream: the command room starts first, the aircraft when it can."""

# Somebody types our address into a remote control.
_LISTEN_OPEN_TIMEOUT_MS = 60_000
_ANYBODY = ("", "0.0.0.0")  # noqa: S104  the operator asks for it
FORMATS = "mov,matroska,mpegts,mpeg,avi,flv,asf,h264,hevc"
"""Containers of video, by FFmpeg's names. Address lists (ffconcat, HLS …) are formats to it too: left out."""

# For a stream its transports too. An address list (SDP is one), or an answer that sends on to another,
# would let the sender choose which addresses we request. From RTSP to RTSP FFmpeg lets nobody forbid it.
_STREAM_FORMATS = f"{FORMATS},rtsp,live_flv,mpjpeg,mjpeg"
_OPTIONS = (
    f"rtsp_transport;tcp|flags;low_delay|fpsprobesize;0|max_redirects;0|format_whitelist;{_STREAM_FORMATS}"
)
# The header promises audio that many senders never send, for which FFmpeg would wait five seconds.
_RTMP_OPTIONS = "|analyzeduration;500000"
_RTMP_PORT = "1935"
_GATEWAY = "srt-live-transmit"


def is_listen_address(url: str) -> bool:
    """Return True if the aircraft pushes its stream to this address.

    For example udp://@:5600, rtmp://:1935/live/KEY.
    """
    return url.lower().startswith("udp://") or _is_rtmp_listen(url)


def _is_rtmp_listen(url: str) -> bool:
    return url.lower().startswith("rtmp://") and _machine(url)[0] in _ANYBODY


def _machine(url: str) -> tuple[str, str]:
    """Return (host, port) of an address, each "" where it names none."""
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
    name, __, port = authority.rpartition(":") if ":" in authority else (authority, "", "")
    return name, port


def to_open_arguments(url: str) -> tuple[str, str, int]:
    """Return the address for the video library, its options and open timeout in ms."""
    # Packets read to probe the stream are kept (`fflags nobuffer` would lose the first key frame, and all up
    # to the next), and FFmpeg does not wait to measure the frame rate.
    scheme, __, rest = url.partition("://")
    options = _OPTIONS + (_RTMP_OPTIONS if scheme.lower().startswith("rtmp") else "")
    if not _is_rtmp_listen(url):
        return url, options, OPEN_TIMEOUT_MS
    authority, slash, path = rest.partition("/")
    port = authority.partition(":")[2]
    here = f"{scheme}://0.0.0.0{':' + port if port else ''}{slash}{path}"
    return here, f"{options}|listen;1", _LISTEN_OPEN_TIMEOUT_MS


def find_listen_error(url: str) -> OSError | None:
    """Return the error that prevents listening at an address, or None.

    Its port is in use, or the address is not this machine's.
    """
    name, port = _machine(url)
    kind = socket.SOCK_STREAM if _is_rtmp_listen(url) else socket.SOCK_DGRAM
    try:
        number = int(port or (_RTMP_PORT if _is_rtmp_listen(url) else ""))
        if name:
            socket.getaddrinfo(name.strip("[]"), number, type=kind)
        with socket.socket(socket.AF_INET, kind) as probe:
            # as FFmpeg does when it listens: a connection that has just ended does not block the port
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", number))
    except (ValueError, OverflowError):
        return OSError(errno.EINVAL, "no port")
    except OSError as error:
        return error
    return None


def make_listen_error(url: str, number: int) -> StreamUnreadable:
    """Return the error for an address where `find_listen_error` found errno `number`."""
    name = strip_url_credentials(url)
    if number == errno.EADDRINUSE:
        return StreamUnreadable(
            _(
                "{name}: the port is in use: another program, or another flight, receives "
                "there: end it, or give another port here and to the sender",
                name=name,
            )
        )
    why = os.strerror(number) if number > 0 else "the name is not known"
    return StreamUnreadable(
        _(
            "{name}: cannot be listened at ({why}): give it as udp://@:5600 or "
            "rtmp://:1935/live/KEY, with a port from 1024 to 65535",
            name=name,
            why=why,
        )
    )


def make_resolution_error(url: str, width: int, height: int) -> SourceUnreadable:
    """Return the error for a video with more pixels than any camera films."""
    name = strip_url_credentials(url)
    kind = StreamUnreadable if "://" in url else SourceUnreadable
    return kind(
        _(
            "{name}: its pictures are of {width}×{height} pixels, more than 8K (7680×4320), "
            "so it is not decoded; give the camera's own video",
            name=name,
            width=width,
            height=height,
        )
    )


def make_waiting_remark(url: str) -> Message:
    """Return the remark while an incoming stream has not come."""
    return _(
        "{name}: waiting for video ({kind}) that is sent to this machine; for {hours} hours at the most, "
        "Ctrl-C ends it",
        name=strip_url_credentials(url),
        kind="RTMP" if _is_rtmp_listen(url) else "MPEG-TS",
        hours=round(LISTEN_TIMEOUT_S / 3600.0),
    )


def make_open_error(url: str, why: str) -> SourceUnreadable:
    """Return the error for a video, file or address, that cannot be opened."""
    name = strip_url_credentials(url)
    if url.lower().startswith("srt://"):
        return StreamUnreadable(
            _(
                "{name}: nothing arrived; the bundled video library has no SRT: let {gateway} (Debian "
                'package srt-tools) hand it on: {gateway} "{name}" udp://127.0.0.1:5600, and give '
                "--video udp://127.0.0.1:5600",
                name=name,
                gateway=_GATEWAY,
            )
        )
    if is_listen_address(url):
        return StreamUnreadable(
            _(
                "{name}: nobody sent video here that can be read ({why}): start this first, "
                "then the aircraft's sending, to this machine's address and port",
                name=name,
                why=why,
            )
        )
    if "://" in url:
        return StreamUnreadable(
            _(
                "{name}: {why}: check that it sends, the address, its port and path, user and password",
                name=name,
                why=why,
            )
        )
    return SourceUnreadable(
        _(
            "{name}: cannot be read as video: {why}; check that it plays, and give the original",
            name=name,
            why=why,
        )
    )


# -- Frame times of a stream on the receiver's clock -----------------------------------------------
#
# PTS begin anywhere, and jump where a camera's encoder restarts within one connection. The stream's own time
# is steadier than the arrival of its frames, so it is used as long as it is plausible. It is not where it
# goes back by more than frames are ever out of order, or where a frame would have been taken well after it
# came. From there on it counts anew, with frames as late as the one before.
#
# The base that is added to it is found in a connection's first three seconds, from the frame that came least
# late: the first ones were often held back on their way, and come in a burst. A frame that comes less late
# than all before it, by more than 10 ms, is dated by its arrival, and later ones by it; no time goes back for
# that, and none is moved later. After these seconds the base stays, because the clock offset is estimated
# from the motion in frames so dated.
#
# The stream's time is not plausible either where an encoder paused without counting the pause: all frames
# after it come later by as much, and stay so. Frames held up by a link come late too, but then ever less
# late, until the link has caught up.


_OUT_OF_ORDER_NS = 1_000_000_000
# A link's delay can shrink by as much if it held frames up before.
_AHEAD_NS = 2_000_000_000
# More than the least delay of a link changes for other reasons.
_LATER_NS = 1_000_000_000
# A pause is certain when the least lateness stays the same over twice this stream time.
_STAYS_NS = 3_000_000_000
_SAME_NS = 250_000_000
_NEVER_NS = 2**63
_BEGINNING_NS = 3_000_000_000
_JITTER_NS = 10_000_000  # less is no reason to move times
# A clock offset given by hand is no more precise than this.
_MOVED_NS = 50_000_000


class StreamTime:
    """Clock of one connection, fed every frame as it comes or in order of time.

    not_before_ns  no frame is dated before it; None: no such bound
    base_ns        added to the stream's own time by now; None before the first frame
    jumps          number of jumps of the stream's own time
    breaks         number of times that intervals between frames ceased to follow the stream's own time: its
                   jumps, and each 50 ms by which later frames are dated earlier in the first seconds
    """

    def __init__(self, not_before_ns: int | None = None) -> None:
        self.base_ns: int | None = None
        self.jumps = self.breaks = 0
        self._began_ns = self._moved_ns = 0
        self._newest_ns = not_before_ns
        self._late_ns = self._least_late_ns = 0
        self._spell: _Spell | None = None

    def add(self, pts_ns: int, arrived_ns: int) -> int:
        """Return when a frame was taken, on the receiver's clock.

        Rising except where frames are out of order.

        arrived_ns  the frame's arrival on that clock
        """
        if self.base_ns is None:
            self._begin(pts_ns, arrived_ns, 0)
        elif self._jumped(pts_ns + self.base_ns, arrived_ns):
            self._count_jump()
            self._begin(pts_ns, arrived_ns, self._late_ns)
        elif paused_ns := self._paused_ns(pts_ns + self.base_ns, arrived_ns):
            self._count_jump()
            self.base_ns += paused_ns
            self._spell = None
        elif arrived_ns - self._began_ns <= _BEGINNING_NS:
            self._lower(pts_ns, arrived_ns)
        assert self.base_ns is not None  # noqa: S101  it has begun
        at_ns = pts_ns + self.base_ns
        self._late_ns = arrived_ns - at_ns
        self._least_late_ns = min(self._least_late_ns, self._late_ns)
        self._newest_ns = at_ns if self._newest_ns is None else max(self._newest_ns, at_ns)
        return at_ns

    def _count_jump(self) -> None:
        self.jumps += 1
        self.breaks += 1

    def _begin(self, pts_ns: int, arrived_ns: int, late_ns: int) -> None:
        self._began_ns = arrived_ns
        self.base_ns = self._after_newest_ns(arrived_ns - late_ns) - pts_ns
        self._least_late_ns = _NEVER_NS
        self._spell = None

    def _lower(self, pts_ns: int, arrived_ns: int) -> None:
        """Date from here on by this frame, if it came less late than all before."""
        assert self.base_ns is not None  # noqa: S101  it has begun
        lower_ns = self.base_ns - (self._after_newest_ns(arrived_ns) - pts_ns)
        if lower_ns <= _JITTER_NS:
            return
        self.base_ns -= lower_ns
        self._least_late_ns = _NEVER_NS
        self._moved_ns += lower_ns
        if self._moved_ns > _MOVED_NS:
            self._moved_ns = 0
            self.breaks += 1

    def _after_newest_ns(self, at_ns: int) -> int:
        return at_ns if self._newest_ns is None else max(at_ns, self._newest_ns + 1)

    def _jumped(self, at_ns: int, arrived_ns: int) -> bool:
        is_back = self._newest_ns is not None and at_ns < self._newest_ns - _OUT_OF_ORDER_NS
        return is_back or arrived_ns - at_ns < self._least_late_ns - _AHEAD_NS

    def _paused_ns(self, at_ns: int, arrived_ns: int) -> int:
        """Return by how much frames have come to stay later than before; 0 if not known."""
        late_ns = arrived_ns - at_ns
        if late_ns < self._least_late_ns + _LATER_NS:
            self._spell = None
            return 0
        self._spell = self._spell or _Spell(at_ns)
        stays_ns = self._spell.stays_ns(at_ns, late_ns)
        return 0 if stays_ns is None else stays_ns - self._least_late_ns


class _Spell:
    """Period in which all frames come late: the least lateness of its two halves."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._first_ns = self._second_ns = _NEVER_NS

    def stays_ns(self, at_ns: int, late_ns: int) -> int | None:
        """Add the next frame; return the lateness that frames have come to keep, or None."""
        if at_ns - self._began_ns >= 2 * _STAYS_NS:
            least_ns = min(self._second_ns, late_ns)
            if self._second_ns < _NEVER_NS and abs(least_ns - self._first_ns) <= _SAME_NS:
                return least_ns
            self._go_on(at_ns)
        if at_ns - self._began_ns < _STAYS_NS:
            self._first_ns = min(self._first_ns, late_ns)
        else:
            self._second_ns = min(self._second_ns, late_ns)
        return None

    def _go_on(self, at_ns: int) -> None:
        """Make the second half the first one, unless frames were missing."""
        self._began_ns, self._first_ns = self._began_ns + _STAYS_NS, self._second_ns
        self._second_ns = _NEVER_NS
        if self._first_ns == _NEVER_NS or at_ns - self._began_ns >= 2 * _STAYS_NS:
            self._began_ns, self._first_ns = at_ns, _NEVER_NS
