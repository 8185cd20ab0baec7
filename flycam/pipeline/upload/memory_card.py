"""The files of a card on this side: what they are called there, and their first bytes packed together."""

from __future__ import annotations

import gzip
import json
import os
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from flycam.errors import InputUnusable, SourceUnreadable
from flycam.ingest.photo.container import open_photo, read_head
from flycam.ingest.photo.file_kinds import FileKind, detect_file_kind
from flycam.ingest.photo.photo_search import NOT_A_PHOTO, NOT_OPENED, is_outside, resolve_links, search_photos
from flycam.messages import _
from flycam.pipeline.server_trust import SYSTEM_TRUST, ServerTrust
from flycam.pipeline.upload.file_selection import make_empty_file_error
from flycam.store.regular_file import make_file_changed

HEAD_BYTES = 64 << 10
MAX_HEAD_BYTES = 256 << 10
_HEADS_AT_ONCE = 1 << 20
_RECORD = struct.Struct(">II")

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadRequest:
    """What is to be sent where.

    telemetry   a flight log to send along
    retry_timeout_s  how long a line may be dead
    language    in which the server says what is wrong
    trust       whom to believe that he is the server
    """

    url: str
    paths: tuple[Path, ...]
    token: str | None = None
    name: str | None = None
    event: str | None = None
    telemetry: Path | None = None
    retry_timeout_s: float = 3600.0
    language: str = "en"
    trust: ServerTrust = SYSTEM_TRUST


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFile:
    """A file here, and its number and how far it is there.

    roots  below which it lies; none: it was given by its own name, wherever that leads
    """

    number: int
    path: Path
    size: int
    offset: int
    kind: FileKind
    roots: tuple[Path, ...] = ()

    @contextmanager
    def open(self) -> Iterator[FileIO]:
        """The file open for reading. Raises SourceUnreadable, also where it was swapped since the card was
        looked through for a link that leads out: no other file of this machine goes to the server."""
        with open_photo(self.path) as file:
            # what is open, not what lies there a moment before or after
            is_there = os.path.samestat(os.fstat(file.fileno()), resolve_links(self.path).lstat())
            if self.roots and (is_outside(self.path, self.roots) or not is_there):
                raise make_file_changed(self.path.name)
            yield file


class MemoryCard:
    """The files to send and what they are called there.

    skipped      what is no photo, film or log, with the reason
    passed_over  of each file that cannot even be announced (its name, another's name, the card cannot be
                 read there) the sentence that names it
    """

    def __init__(self, sending: UploadRequest) -> None:
        found = search_photos(sending.paths)
        self._sending = sending
        self._files: dict[str, Path] = {}
        self._roots = tuple(resolve_links(path) for path in sending.paths)
        roots = [resolve_links(path) for path in sending.paths if path.is_dir()]
        others = {
            path
            for path, why in found.skipped
            if why == NOT_A_PHOTO and detect_file_kind(path.name) is not None
        }
        unread = [one for one in found.skipped if one[1].startswith(NOT_OPENED) and _may_hold_some(one[0])]
        self.skipped = tuple(one for one in found.skipped if one[0] not in others and one not in unread)
        self.skipped += tuple((path, str(error)) for path, error in found.refused if not _may_hold_some(path))
        self.passed_over: tuple[InputUnusable, ...] = tuple(
            _make_unread_error(path, why) for path, why in unread
        )
        self.passed_over += tuple(error for path, error in found.refused if _may_hold_some(path))
        for path in (*found.photos, *sorted(others)):
            name = _name_below(path, roots)
            if not path.stat().st_size:
                self._leave_empty(name, path)
            elif not self._add(name, path):
                self.passed_over += (_make_duplicate_error(path),)
        if not self._files and self.passed_over:
            raise self.passed_over[0]
        if not self._files:
            names = ", ".join(map(str, sending.paths))
            raise SourceUnreadable(
                _(
                    "{names}: no photo (JPEG, PNG, TIFF), film (MP4, MOV) or flight log "
                    "inside; give the card's folder",
                    names=names,
                )
            )
        self._folder = roots[0].name if len(roots) == 1 else ""
        self._telemetry: str | None = None
        if sending.telemetry is not None:
            self._telemetry = unicodedata.normalize("NFC", f"flight-log/{sending.telemetry.name}")
            if not self._add(self._telemetry, sending.telemetry):
                raise _make_duplicate_error(sending.telemetry)

    def _leave_empty(self, name: str, path: Path) -> None:
        """A photo or film without bytes is lost for now, and named; a log without any held nothing."""
        if detect_file_kind(path.name) in (FileKind.PHOTO, FileKind.FILM):
            self.passed_over += (make_empty_file_error(name),)
        else:
            self.skipped += ((path, "empty (0 bytes)"),)

    @property
    def log(self) -> Path | None:
        """The flight's log on this side."""
        return self._sending.telemetry

    def build_announcement(self) -> bytes:
        """The body of `POST /api/uploads`."""
        files = []
        for name, path in self._files.items():
            found = path.stat()
            files.append(
                {"path": name, "size": found.st_size, "modified_ms": max(found.st_mtime_ns // 1_000_000, 0)}
            )
        return json.dumps(
            {
                "files": files,
                "folder": self._folder,
                "name": self._sending.name,
                "event": self._sending.event,
                "telemetry": self._telemetry,
            }
        ).encode()

    def list_files(self, answer: JsonObject) -> list[CardFile]:
        """The files as the server numbers them."""
        return [
            CardFile(
                number=one["number"],
                path=self._files[one["path"]],
                size=one["size"],
                offset=one["offset"],
                kind=self._kind(one["path"]),
                roots=() if one["path"] == self._telemetry else self._roots,
            )
            for one in answer["parts"]
        ]

    def _kind(self, name: str) -> FileKind:
        """What is found a photo by its bytes is one."""
        return FileKind.LOG if name == self._telemetry else detect_file_kind(name) or FileKind.PHOTO

    def _add(self, name: str, path: Path) -> bool:
        """Whether it goes under this name; another file may have it."""
        name = unicodedata.normalize("NFC", name)  # as the server calls it
        return self._files.setdefault(name, path) == path


def _make_duplicate_error(path: Path) -> InputUnusable:
    return InputUnusable(
        _(
            "{path}: another file has the same name; rename this one, or send the folders one by one",
            path=path,
        )
    )


def _may_hold_some(path: Path) -> bool:
    """Whether photos, films or logs may be lost with it."""
    return path.is_dir() or detect_file_kind(path.name) is not None


def _make_unread_error(path: Path, why: str) -> InputUnusable:
    return InputUnusable(_("{path}: {why}; check the card, then send it again", path=path, why=why))


def _name_below(path: Path, roots: list[Path]) -> str:
    """A photo's path in its folder; with the folder's name in front where there are several."""
    whole = resolve_links(path)
    for root in roots:
        if whole.is_relative_to(root):
            return (whole.relative_to(root.parent if len(roots) > 1 else root)).as_posix()
    return path.name


def pack_heads(parts: Iterable[CardFile]) -> Iterator[tuple[list[int], bytes]]:
    """(numbers, packed body of one `heads` request), as many as it takes. Raises SourceUnreadable.

    Makers pad their notes with zeros: packed, a head is a fifth.
    """
    numbers: list[int] = []
    body = bytearray()
    for part in parts:
        with part.open() as file:
            head = os.pread(file.fileno(), _head_length(file, part.path), 0)
        if numbers and len(body) + len(head) > _HEADS_AT_ONCE:
            yield numbers, gzip.compress(body, 6)
            numbers, body = [], bytearray()
        numbers.append(part.number)
        body += _RECORD.pack(part.number, len(head)) + head
    if numbers:
        yield numbers, gzip.compress(body, 6)


def _head_length(file: FileIO, path: Path) -> int:
    """Bytes of a photo up to its pixels, where that is known and not much."""
    try:
        begins = read_head(file, path).scan_offset
    except SourceUnreadable:
        begins = 0
    return min(begins, MAX_HEAD_BYTES) or HEAD_BYTES
