"""H.264 encoding of the video, by GStreamer and OpenH264 in a subprocess.

GStreamer (LGPL-2.1) and Cisco's OpenH264 (BSD-2) are programs of the system, never imported: Debian's
`gstreamer1.0-tools`, `gstreamer1.0-plugins-good`, `gstreamer1.0-plugins-bad`. Frames go in as I420
(BT.601, video range, as an unmarked stream is read) and come out as MP4 with a key frame each second.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.flight import DRILL_NAMESPACE
from flycam.errors import InputUnusable
from flycam.media.mp4 import find_box, set_creation_s
from flycam.messages import _

PROGRAM = "gst-launch-1.0"
PACKAGES = "gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
# a drone has 0.3 to 0.9; these frames lack its noise
_BITS_PER_PIXEL = 0.25
_CLOSE_S = 120.0
_MAX_STDERR_BYTES = 400


class VideoEncoder:
    """Writer of frames of one size to an MP4 file.

    As a context manager it completes the file on a clean exit.

    created_s  UTC seconds that the file names as its time of creation: that of its first frame
    """

    def __init__(self, path: Path, size_px: tuple[int, int], fps: int, created_s: int) -> None:
        self._path, self._created_s = path, created_s
        width, height = size_px
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603  the program found on the path, no shell
            [
                *(find_encoder_program(), "-q", "fdsrc", "fd=0", "!", "rawvideoparse", "format=i420"),
                *(f"width={width}", f"height={height}", f"framerate={fps}/1"),
                *("!", "openh264enc", "complexity=low", "usage-type=camera", "rate-control=quality"),
                *(f"bitrate={round(_BITS_PER_PIXEL * width * height * fps)}", f"gop-size={fps}"),
                *("!", "h264parse", "!", "taginject", f'tags=comment="{DRILL_NAMESPACE}"'),
                *("!", "mp4mux", "!", "filesink", f"location={path}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )
        self._pictures = cast(IO[bytes], self._process.stdin)

    def write(self, rgb: NDArray[np.uint8]) -> None:
        """Write the next frame, H×W×3 RGB; height and width even.

        Raises InputUnusable if the encoder died.
        """
        try:
            self._pictures.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).tobytes())
        except BrokenPipeError as error:
            raise self._failed() from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._process.kill()
            self._process.wait()
            self._stderr.close()

    def _finish(self) -> None:
        try:
            self._pictures.close()
        except BrokenPipeError as error:
            raise self._failed() from error
        try:
            code = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired as error:
            raise self._failed() from error
        if code != 0 or not self._path.is_file():
            raise self._failed()
        # the time of creation in the movie header, for which the muxer writes the time it ran at
        path = self._path
        with path.open("r+b") as file:

            def read_at(at: int, count: int) -> bytes:
                file.seek(at)
                return file.read(count)

            box = find_box(read_at, 0, path.stat().st_size, b"moov")
            if box is None:
                raise ValueError(f"{path}: the muxer wrote no movie header")
            dated = set_creation_s(read_at(box[0], box[1] - box[0]), self._created_s)
            file.seek(box[0])
            file.write(dated)

    def _failed(self) -> InputUnusable:
        self._stderr.seek(0)
        stderr_text = " ".join(self._stderr.read(_MAX_STDERR_BYTES).decode(errors="replace").split())
        return InputUnusable(
            _(
                "{name}: the video encoder stopped ({reason}): install {packages}",
                name=self._path.name,
                reason=stderr_text or _("no message"),
                packages=PACKAGES,
            )
        )


def has_encoder() -> bool:
    """Check whether the program is installed (not its plug-ins)."""
    return shutil.which(PROGRAM) is not None


def find_encoder_program(option: str = "--video") -> str:
    """Return the program's path; InputUnusable, naming the option that needs it."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise InputUnusable(
            _(
                "{option}: needs the program {program}, which is not here: install {packages}",
                option=option,
                program=PROGRAM,
                packages=PACKAGES,
            )
        )
    return found
