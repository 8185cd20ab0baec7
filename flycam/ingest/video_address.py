"""How a stream's address is given to the video library, and what is said of one that it does not speak.

OpenCV's FFmpeg (LGPL) speaks RTSP, MPEG-TS over UDP and TCP, HTTP and RTMP, as its wheels come; not SRT,
whose library is no part of them. Aircraft that send RTMP call a server: an RTMP address without a machine's
name is waited at, as that server.
"""

from __future__ import annotations

from flycam.errors import SourceUnreadable
from flycam.frame.address import shown

OPEN_TIMEOUT_MS = 8_000
_CALLED_TIMEOUT_MS = 60_000  # somebody types our address into a remote control
_ANYBODY = ("", "0.0.0.0")  # noqa: S104  the operator asks for it
_OPTIONS = "rtsp_transport;tcp|flags;low_delay|fpsprobesize;0"
# its head promises sound that many senders never send, and would be waited for five seconds
_RTMP_OPTIONS = "|analyzeduration;500000"
_GATEWAY = "srt-live-transmit"


def is_waited_at(url: str) -> bool:
    """Whether the aircraft calls here: rtmp://:1935/live/KEY."""
    scheme, _, rest = url.partition("://")
    machine = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
    return scheme.lower() == "rtmp" and machine in _ANYBODY


def as_opened(url: str) -> tuple[str, str, int]:
    """The address for the video library, its options, and milliseconds that it may take to open it."""
    # what is read to tell how a stream is coded is kept (`fflags nobuffer` would lose the key frame that came
    # first, and all up to the next), and nothing is waited for to tell how many pictures come a second
    scheme, _, rest = url.partition("://")
    options = _OPTIONS + (_RTMP_OPTIONS if scheme.lower().startswith("rtmp") else "")
    if not is_waited_at(url):
        return url, options, OPEN_TIMEOUT_MS
    authority, slash, path = rest.partition("/")
    port = authority.partition(":")[2]
    here = f"{scheme}://0.0.0.0{':' + port if port else ''}{slash}{path}"
    return here, f"{options}|listen;1", _CALLED_TIMEOUT_MS


def unreadable(url: str, why: str) -> SourceUnreadable:
    """What is said of a video, file or address, that cannot be opened."""
    name = shown(url)
    if url.lower().startswith("srt://"):
        return SourceUnreadable(
            f"{name}: nothing came, and the video library as it is delivered speaks no SRT: let {_GATEWAY} "
            f'(Debian package srt-tools) hand it on: {_GATEWAY} "{name}" udp://127.0.0.1:5600, and give '
            "--video udp://127.0.0.1:5600",
            vi=f"{name}: không nhận được gì; thư viện video đi kèm không đọc SRT: hãy chuyển tiếp bằng "
            f'{_GATEWAY} (gói srt-tools của Debian): {_GATEWAY} "{name}" udp://127.0.0.1:5600, rồi dùng '
            "--video udp://127.0.0.1:5600",
        )
    if is_waited_at(url):
        return SourceUnreadable(
            f"{name}: nobody sent video here within a minute ({why}): start this first, then the aircraft's "
            "sending, to this machine's address",
            vi=f"{name}: trong một phút không có máy nào gửi video tới: hãy chạy lệnh này trước, rồi bật "
            "phát từ máy bay tới địa chỉ máy này",
        )
    return SourceUnreadable(
        f"{name}: cannot be read as video: {why}; check that it plays, and give the original",
        vi=f"{name}: không đọc được dạng video; hãy kiểm tra xem có phát được không và đưa tệp gốc",
    )
