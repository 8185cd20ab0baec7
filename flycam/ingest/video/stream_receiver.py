"""Reception of a stream: one connection that feeds a decoder and a recorder.

A camera on an aircraft often serves one client only, hence one connection. OpenCV's FFmpeg (LGPL) reads it
without decoding (CAP_PROP_FORMAT -1 gives coded frames with start codes); the decoder is a second reader of
the same library, fed over a pipe with fragmented MP4 in which a frame's time is its number: jumping times
would confuse the decoder, and the true times are kept here.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from flycam.ingest.video.recorder import Recorder, RecordingOptions
from flycam.ingest.video.stream import (
    LISTEN_TIMEOUT_S,
    ConnectionStart,
    PacketQueue,
    VideoPacket,
    find_listen_error,
    is_listen_address,
    to_open_arguments,
)
from flycam.media.mp4 import (
    TICKS_PER_S,
    CodedSample,
    ParameterSets,
    VideoCodec,
    encode_fragment,
    encode_head,
    extract_parameter_sets,
    split_units,
    to_length_prefixed,
)
from flycam.messages import Message, _
from flycam.model.text import strip_url_credentials

READ_TIMEOUT_MS = 6_000
_PIPE_OPTIONS = "flags;low_delay|fpsprobesize;0"
_MAX_FPS = 240.0  # a larger value means unknown
OPTIONS_NAME = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_CODINGS = {
    **dict.fromkeys(("h264", "avc1", "x264"), VideoCodec.H264),
    **dict.fromkeys(("hevc", "h265", "hvc1", "hev1"), VideoCodec.H265),
}
# Streams with gradual intra refresh have no key frames.
_KEY_FRAME_TIMEOUT_S = 5.0
_PIPE_BYTES = 1 << 20
_WAITING_BYTES = 4 << 20
# Ticks of the decoder's clock between one frame number and the next.
_STEP = TICKS_PER_S // 30
_REMEMBERED = 512
_CLOSE_S = 3.0
_AGAIN_S = 0.5
_MAX_STEP_NS = 1_000_000_000

OnStreamEvent = Callable[[str, int, Message | None], None]
"""Reason, frames lost for it so far, and a sentence or None."""


@dataclass(frozen=True, slots=True)
class FrameTime:
    """Times of a frame.

    pts_ns      the stream's own time
    arrived_ns  monotonic arrival time
    """

    pts_ns: int
    arrived_ns: int


class StreamReceiver:
    """Receiver of one connection.

    `decoder_path` is what the decoder opens, `frame_time` gives the times of its frames.

    newest_ns  monotonic arrival time of the newest coded frame, whether it was decoded or not
    """

    def __init__(
        self,
        video: cv2.VideoCapture,
        coding: VideoCodec,
        recording: RecordingOptions | None,
        on_event: OnStreamEvent,
        zero_utc_ns: int,
    ) -> None:
        self._video, self._coding, self._on_event = video, coding, on_event
        self._zero_utc_ns = zero_utc_ns
        told_fps = float(video.get(cv2.CAP_PROP_FPS))
        self.fps = told_fps if told_fps <= _MAX_FPS else 0.0
        self._size_px = (
            round(video.get(cv2.CAP_PROP_FRAME_WIDTH)),
            round(video.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        self._parameters = self._announced()
        self._newest_pts_ns: int | None = None
        self.newest_ns = time.monotonic_ns()
        self._moments: OrderedDict[int, FrameTime] = OrderedDict()
        self._lock = threading.Lock()
        self._to_decode = PacketQueue(_WAITING_BYTES, keeps_newest=True)
        self._recorder: Recorder | None = None
        if recording is not None:
            self._recorder = Recorder(
                recording, self._size_px, lambda lost, message: on_event("unrecorded", lost, message)
            )
        self._read_fd, self._write_fd = os.pipe()
        fcntl.fcntl(self._write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.decoder_path = f"/dev/fd/{self._read_fd}"
        os.environ[OPTIONS_NAME] = _PIPE_OPTIONS
        for work in (self._receive, self._feed):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def frame_time(self, clock_ms: float) -> FrameTime:
        """Return the times of a frame at `clock_ms` of the decoder's clock."""
        number = round(clock_ms / 1e3 * TICKS_PER_S / _STEP)
        with self._lock:
            if number in self._moments:
                return self._moments[number]
            nearest = min(self._moments, key=lambda one: abs(one - number))
            return self._moments[nearest]

    def close(self) -> None:
        """Finish the recording at the end of the stream."""
        if self._recorder is not None:
            self._recorder.close(_CLOSE_S)

    def _announced(self) -> ParameterSets | None:
        """Return the parameter sets that the stream announces before its first frame."""
        there, data = self._video.retrieve(None, int(self._video.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX)))
        return (
            extract_parameter_sets(split_units(data.tobytes()), self._coding)
            if there and data is not None
            else None
        )

    def _receive(self) -> None:
        number, began_s, beginning = 0, time.monotonic(), ConnectionStart()
        try:
            asked_ns = time.monotonic_ns()
            there, coded = self._video.read()
            while there:
                packet = self._packet(number, coded, asked_ns)
                is_late = time.monotonic() - began_s > _KEY_FRAME_TIMEOUT_S
                if packet is not None and (number or packet.is_key or is_late):
                    number += 1
                    self._give(beginning.add(packet))
                asked_ns = time.monotonic_ns()
                there, coded = self._video.read()
            self._give(beginning.end())
        finally:
            self._to_decode.close()

    def _give(self, packets: list[VideoPacket]) -> None:
        dropped = self._to_decode.dropped
        for packet in packets:
            self._to_decode.put(packet)
            if self._recorder is not None:
                self._recorder.put(packet)
        if self._to_decode.dropped != dropped:
            self._on_event("undecoded", self._to_decode.dropped, None)

    def _packet(self, number: int, coded: np.ndarray, asked_ns: int) -> VideoPacket | None:
        """Return the coded frame; None before the stream's parameter sets are known."""
        pts_ns = round(float(self._video.get(cv2.CAP_PROP_POS_MSEC)) * 1e6)
        arrived_ns = self._came_ns(pts_ns, asked_ns)
        units = split_units(coded.tobytes())
        self._parameters = extract_parameter_sets(units, self._coding) or self._parameters
        if self._parameters is None or not units:
            return None
        return VideoPacket(
            number=number,
            pts_ns=pts_ns,
            arrived_ns=arrived_ns,
            arrived_utc_ns=self._zero_utc_ns + arrived_ns,
            is_key=self._video.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0,
            data=to_length_prefixed(units, self._coding),
            parameters=self._parameters,
        )

    def _came_ns(self, pts_ns: int, asked_ns: int) -> int:
        """Return the arrival time of the frame requested at `asked_ns`.

        MPEG-TS marks the end of a frame only by the beginning of the next: the last one before a silence is
        delivered once the read timeout has passed. Such a frame came as long after the one before as it was
        taken after it.
        """
        now_ns = time.monotonic_ns()
        before_pts_ns, self._newest_pts_ns = self._newest_pts_ns, pts_ns
        if before_pts_ns is not None and now_ns - asked_ns >= READ_TIMEOUT_MS * 1_000_000:
            now_ns = self.newest_ns + min(max(0, pts_ns - before_pts_ns), _MAX_STEP_NS)
        self.newest_ns = now_ns
        return now_ns

    def _feed(self) -> None:
        """Feed the decoder with received frames until the stream or the decoder ends."""
        first: VideoPacket | None = None
        try:
            while (packet := self._to_decode.get()) is not None:
                if first is None:
                    first = packet
                    self._write(encode_head(packet.parameters, self._size_px, 0))
                with self._lock:
                    number = packet.number - first.number
                    self._moments[number] = FrameTime(packet.pts_ns, packet.arrived_ns)
                    while len(self._moments) > _REMEMBERED:
                        self._moments.popitem(last=False)
                at = number * _STEP
                self._write(
                    encode_fragment(number + 1, [CodedSample(at, packet.is_key, packet.data)], at + _STEP)
                )
        except BrokenPipeError:
            return  # the decoder has ended
        finally:
            os.close(self._write_fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._write_fd, view) :]


def open_receiver(
    url: str, recording: RecordingOptions | None, on_event: OnStreamEvent, zero_utc_ns: int
) -> StreamReceiver | None:
    """Open a stream; return None for a codec that only the decoder knows.

    zero_utc_ns  UTC at which the monotonic clock was 0, by which recordings are dated

    Raises ConnectionRefusedError where nothing readable comes, another OSError where it cannot be listened
    at.
    """
    video = _opened(url)
    code = int(video.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1").lower()
    coding = _CODINGS.get(code)
    if coding is None:
        video.release()
        if recording is not None:
            on_event(
                "unrecorded",
                0,
                _(
                    "the video is not recorded: its pictures are coded as {code}, not H.264 or H.265",
                    code=code,
                ),
            )
        return None
    return StreamReceiver(video, coding, recording, on_event, zero_utc_ns)


def _opened(url: str) -> cv2.VideoCapture:
    """Open the capture of a stream.

    At a listen address a new attempt follows each one that times out: packets that come once a sender
    connects are then separate from older ones, which are seconds old at most.
    """
    address, options, open_ms = to_open_arguments(url)
    os.environ.setdefault(OPTIONS_NAME, options)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    until_s = time.monotonic() + (LISTEN_TIMEOUT_S if is_listen_address(url) else 0.0)
    while True:
        asked_s = time.monotonic()
        video = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1, *limits])
        if video.isOpened():
            return video
        if is_listen_address(url) and (why := find_listen_error(url)) is not None:
            raise why
        now_s = time.monotonic()
        if now_s >= until_s:
            raise ConnectionRefusedError(strip_url_credentials(url))
        if now_s - asked_s < _AGAIN_S:  # something came that is not video
            time.sleep(_AGAIN_S)
