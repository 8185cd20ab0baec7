"""The decoder's own process: pictures of a video into shared memory, so that what hangs or dies is only it.

The parent and this process talk over one pipe. From here: ("opened", width, height, fps, seconds),
("picture", slot, pts_ns), ("ended", ""), ("failed", why). From the parent: the ring's name, then numbers of
slots that are free; None to stop. A picture is written only into a free slot, so a parent that does not take
is waited for.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory

import cv2
import numpy as np

OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 8_000, 6_000
_CAPTURE_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingOrder:
    """url: a path or an address; is_paced: no faster than the pictures' own times."""

    url: str
    is_paced: bool


def decode(order: DecodingOrder, parent: Connection) -> None:
    """Run the decoder until the video ends or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        _decode(order, parent)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return
    finally:
        parent.close()


def _decode(order: DecodingOrder, parent: Connection) -> None:
    is_address = "://" in order.url
    if is_address:  # of a file the pictures read to probe it would be lost
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _CAPTURE_OPTIONS)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    common = [cv2.CAP_PROP_N_THREADS, 1]  # threads would hold pictures back
    video = cv2.VideoCapture(order.url, cv2.CAP_FFMPEG, [*common, *(limits if is_address else [])])
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # rows stay as the sensor read them
    there, bgr = video.read() if video.isOpened() else (False, None)
    if not there or bgr is None:
        parent.send(("failed", "it holds no picture that can be decoded"))
        return
    height, width = bgr.shape[:2]
    fps, count = (float(video.get(what)) for what in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
    parent.send(("opened", width, height, fps, count / fps if count > 0 and fps > 0 else 0.0))
    ring = SharedMemory(name=parent.recv())
    try:
        _fill(order, parent, video, bgr, ring)
    finally:
        ring.close()


def _fill(
    order: DecodingOrder, parent: Connection, video: cv2.VideoCapture, bgr: np.ndarray, ring: SharedMemory
) -> None:
    shape, size = bgr.shape, bgr.nbytes
    began_s: float | None = None
    there = True
    while there:
        pts_ms = float(video.get(cv2.CAP_PROP_POS_MSEC))
        if order.is_paced:
            began_s = time.monotonic() - pts_ms / 1e3 if began_s is None else began_s
            time.sleep(max(0.0, began_s + pts_ms / 1e3 - time.monotonic()))
        slot = parent.recv()
        if slot is None:
            return
        if bgr.shape != shape:
            parent.send(("failed", "its pictures change their size on the way"))
            return
        rgb = np.ndarray(shape, np.uint8, ring.buf, offset=slot * size)
        cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=rgb)
        parent.send(("picture", slot, round(pts_ms * 1e6)))
        there, bgr = video.read()
    parent.send(("ended", ""))
