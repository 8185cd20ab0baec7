"""Thread that stores a thumbnail of a live flight's newest frame, one a second.

It is no original: each replaces the one before. A store that is slow or full leaves an old image, whose age
is shown with it, and holds nothing up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import StorageFailed
from flycam.ingest.video.video_source import VideoFrame
from flycam.pipeline.workspace import Workspace
from flycam.store import keys

_EVERY_S = 1.0
_SIDE_PX = 640
_QUALITY = 72
# A reader that was just given an older key still finds it.
_MAX_KEPT = 4


class ThumbnailPublisher:
    """Publisher of thumbnails of the frame that `newest` returns, inside the context.

    key  store key of the current thumbnail; None: none yet
    """

    def __init__(self, workspace: Workspace, flight_id: str, newest: Callable[[], VideoFrame | None]) -> None:
        self._workspace, self._flight_id, self._newest = workspace, flight_id, newest
        self._shown: deque[str] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show_on, name="picture", daemon=True)
        self.key: str | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop; the last thumbnail stays, as what was seen last."""
        self._over.set()
        self._thread.join()

    def _show_on(self) -> None:
        self._forget_old()
        before: VideoFrame | None = None
        while not self._over.wait(_EVERY_S):
            picture = self._newest()
            if picture is not None and picture is not before:
                before = picture
                self._show(picture)

    def _show(self, picture: VideoFrame) -> None:
        key = keys.format_latest_image_key(self._flight_id, picture.t_utc_ns)
        try:
            self._workspace.store.put(key, encode_thumbnail(picture.pixels))
            self._shown.append(key)
            self.key = key
            while len(self._shown) > _MAX_KEPT:
                self._workspace.store.delete(self._shown.popleft())
        except StorageFailed:
            return

    def _forget_old(self) -> None:
        """Delete thumbnails of flights that are no longer reported."""
        try:
            told = {one.flight_id for one in self._workspace.catalog.airborne.list_since(0)}
            for key in list(self._workspace.store.list(keys.format_latest_image_prefix())):
                if keys.parse_latest_image_flight(key) not in {*told, self._flight_id}:
                    self._workspace.store.delete(key)
        except StorageFailed:
            return


def encode_thumbnail(rgb: NDArray[np.uint8]) -> bytes:
    """Encode H×W×3 RGB as a JPEG of at most 640 pixels on its long side."""
    scale = min(1.0, _SIDE_PX / max(rgb.shape[:2]))
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    if scale < 1.0:
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()
