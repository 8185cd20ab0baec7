"""Stream addresses as the video library takes them, and messages about those that it cannot open.

OpenCV's FFmpeg (LGPL), as its wheels ship it, reads RTSP, MPEG-TS over UDP and TCP, HTTP and RTMP; not SRT,
whose library the wheels lack. Aircraft that send RTMP call a server: at an RTMP address without a host name
flycam listens as that server. MPEG-TS over UDP comes unasked, so flycam listens for it too.
"""

from __future__ import annotations

import errno
import os
import socket

from flycam.errors import SourceUnreadable, StreamUnreadable
from flycam.frame.safe_url import strip_url_credentials
from flycam.messages import Message, _

OPEN_TIMEOUT_MS = 8_000
LISTEN_TIMEOUT_S = 12 * 3600.0
"""How long to listen for an incoming stream: the command room starts first, the aircraft when it can."""

# Somebody types our address into a remote control.
_LISTEN_OPEN_TIMEOUT_MS = 60_000
_ANYBODY = ("", "0.0.0.0")  # noqa: S104  the operator asks for it
FORMATS = "mov,matroska,mpegts,mpeg,avi,flv,asf,h264,hevc"
"""Containers of video, by FFmpeg's names. Address lists (ffconcat, HLS …) are formats to it too: left out."""

# For a stream its transports too. An address list would let the sender choose which addresses we request.
_STREAM_FORMATS = f"{FORMATS},rtsp,rtp,sdp,live_flv,mpjpeg,mjpeg"
_OPTIONS = f"rtsp_transport;tcp|flags;low_delay|fpsprobesize;0|format_whitelist;{_STREAM_FORMATS}"
# The header promises audio that many senders never send, for which FFmpeg would wait five seconds.
_RTMP_OPTIONS = "|analyzeduration;500000"
_RTMP_PORT = "1935"
_GATEWAY = "srt-live-transmit"


def is_listen_address(url: str) -> bool:
    """Return True if the aircraft sends here unasked.

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
            "so it is not decoded; give the camera's own film",
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
                "{name}: nothing came, and the video library as it is delivered speaks no "
                "SRT: let {gateway} (Debian package srt-tools) hand it on: {gateway} "
                '"{name}" udp://127.0.0.1:5600, and give --video udp://127.0.0.1:5600',
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
