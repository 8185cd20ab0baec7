"""Recorded segments: listed, closed and read, also those whose recorder died while writing."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flycam.errors import SourceUnreadable
from flycam.frame.fragmented_mp4 import (
    TICKS_PER_S,
    FragmentedContent,
    parse_codec_configuration,
    scan_content,
    set_duration,
)
from flycam.frame.nal import format_codec_name
from flycam.ingest.video.recorder import FINISHED, UNFINISHED
from flycam.messages import _


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentFile:
    """Complete segment of a recording.

    began_ns  UTC of its first frame
    codec     name as browsers use it
    """

    path: Path
    began_ns: int
    seconds: float
    pictures: int
    codec: str


def list_finished_segments(folder: Path) -> list[Path]:
    """List the segments that their recorder has closed, oldest first. Raises OSError."""
    return sorted(folder.glob(f"*{FINISHED}"), key=lambda path: int(path.stem))


def close_unfinished_segments(folder: Path) -> None:
    """Close segments left open by a recorder that is gone. Raises OSError.

    They are complete up to their last whole fragment.
    """
    for path in folder.glob(f"*{UNFINISHED}"):
        path.rename(path.with_suffix(FINISHED))


def read_segment(path: Path) -> SegmentFile | None:
    """Cut a closed segment to its complete part, set its duration and describe it.

    None if it holds no frame. Idempotent. Raises OSError; SourceUnreadable for a damaged segment, which is
    left as it is.
    """
    with path.open("r+b") as file:
        try:
            content = _content(file)
            file.seek(0)
            head = file.read(content.head_bytes)
            found = parse_codec_configuration(head)
            if not content.pictures or found is None:
                return None
            codec, head = format_codec_name(*found), set_duration(head, content.ticks)
        except (ValueError, IndexError, struct.error) as error:
            raise SourceUnreadable(
                _(
                    "{path}: this recorded video is damaged, as by a power cut ({error}): a "
                    "program that repairs MP4 may save pictures of it",
                    path=path,
                    error=error,
                )
            ) from error
        file.truncate(content.complete_bytes)
        file.seek(0)
        file.write(head)
    return SegmentFile(
        path=path,
        began_ns=int(path.stem),
        seconds=content.ticks / TICKS_PER_S,
        pictures=content.pictures,
        codec=codec,
    )


def _content(file: BinaryIO) -> FragmentedContent:
    def read_at(at: int, count: int) -> bytes:
        file.seek(at)
        return file.read(count)

    return scan_content(read_at, os.fstat(file.fileno()).st_size)
