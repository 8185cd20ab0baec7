"""Pieces of a recording, ended and understood: also those whose recorder died while it wrote them."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flycam.errors import SourceUnreadable
from flycam.frame.fragments import TICKS, Content, configuration_of, content_of, ended
from flycam.frame.nal import codec_name
from flycam.ingest.video.recording import FINISHED, UNFINISHED
from flycam.messages import _


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A whole file of a recording. began_ns: UTC of its first picture; codec: browsers' name."""

    path: Path
    began_ns: int
    seconds: float
    pictures: int
    codec: str


def finished_pieces(folder: Path) -> list[Path]:
    """Pieces that their recorder has closed, oldest first. Raises OSError."""
    return sorted(folder.glob(f"*{FINISHED}"), key=lambda path: int(path.stem))


def end_unfinished(folder: Path) -> None:
    """Close what a recorder that is gone has left open, up to its last whole fragment. Raises OSError."""
    for path in folder.glob(f"*{UNFINISHED}"):
        path.rename(path.with_suffix(FINISHED))


def understood(path: Path) -> Piece | None:
    """What a closed piece holds, after it was cut to what is whole and says how long it lasts; None: nothing.

    Done again, it changes nothing. Raises OSError; SourceUnreadable for one that is damaged, which is left as
    it is.
    """
    with path.open("r+b") as file:
        try:
            content = _content(file)
            file.seek(0)
            head = file.read(content.head_bytes)
            found = configuration_of(head)
            if not content.pictures or found is None:
                return None
            codec, head = codec_name(*found), ended(head, content.ticks)
        except (ValueError, IndexError, struct.error) as error:
            raise SourceUnreadable(
                _(
                    "{path}: this recorded video is damaged, as by a power cut ({error}): a "
                    "program that repairs MP4 may save pictures of it",
                    path=path,
                    error=error,
                )
            ) from error
        file.truncate(content.whole_bytes)
        file.seek(0)
        file.write(head)
    return Piece(
        path=path,
        began_ns=int(path.stem),
        seconds=content.ticks / TICKS,
        pictures=content.pictures,
        codec=codec,
    )


def _content(file: BinaryIO) -> Content:
    def read_at(at: int, count: int) -> bytes:
        file.seek(at)
        return file.read(count)

    return content_of(read_at, os.fstat(file.fileno()).st_size)
