"""Validation of the addresses of a video and its telemetry."""

from __future__ import annotations

import re
from pathlib import Path

from flycam.errors import OptionUnusable
from flycam.frame.safe_url import strip_url_credentials
from flycam.ingest.video.video_source import STREAM_SCHEMES
from flycam.messages import Message, _

_LINKS = ("udp://", "tcp://", "serial:")
_STREAMS = tuple(f"{scheme}://" for scheme in STREAM_SCHEMES)
_MACHINE = re.compile(r"(?:[a-z]+:)?(?:[^/\s]*@)?[\w.-]*:\d{1,5}(?:[/?].*)?", re.IGNORECASE)
_LINE = re.compile(r"/dev/(?:tty|serial/).*")


def check_addresses(video: str, telemetry: str) -> None:
    """Raise OptionUnusable unless each is a file or an address of a known scheme."""
    _check("--video", video, _STREAMS, "rtsp://" if "/" in video else "udp://")
    _check("--telemetry", telemetry, _LINKS, "udp://")


def _check(option: str, address: str, known: tuple[str, ...], likely: str) -> None:
    if address.lower().startswith(known):
        return
    if "://" in address:
        raise _make_address_error(option, strip_url_credentials(address), _("unknown scheme"), known)
    if Path(address).is_file() or not (_MACHINE.fullmatch(address) or _LINE.fullmatch(address)):
        return
    bare = re.sub(r"^[a-z]+:(?=[^/]*:)", "", address.rpartition("@")[2], flags=re.IGNORECASE).partition("?")[
        0
    ]
    meant = f"serial:{address}" if _LINE.fullmatch(address) else likely + bare
    raise _make_address_error(
        option,
        bare,
        _("no such file, and as an address its scheme is missing"),
        known,
        meant,
    )


def _make_address_error(
    option: str, address: str, why: Message, known: tuple[str, ...], meant: str | None = None
) -> OptionUnusable:
    return OptionUnusable(
        _(
            "{option} {given}: {why}: give a file, or an address that begins with one of {listed}{cure}",
            option=option,
            given=address,
            why=why,
            listed=", ".join(known),
            cure=_(", such as {address}", address=meant) if meant else "",
        )
    )
