"""Memory card on the sending side: the names of its files, and their headers in batches."""

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
    """Request to send a memory card to a server.

    telemetry        a flight log to send along
    retry_timeout_s  how long the server may be unreachable
    language         of the server's error messages
    trust            accepted server certificates
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
    """A local file, with its number and offset on the server.

    roots  folders that must hold it; none: it was given by its own name, wherever that leads
    """

    number: int
    path: Path
    size: int
    offset: int
    kind: FileKind
    roots: tuple[Path, ...] = ()

    @contextmanager
    def open(self) -> Iterator[FileIO]:
        """Open the file for reading. Raises SourceUnreadable.

        Also where it was replaced, since the search, by a link that leads out of the card: no other file of
        this machine may go to the server.
        """
        with open_photo(self.path) as file:
            # compares the open file, as the path may change before or after
            is_there = os.path.samestat(os.fstat(file.fileno()), resolve_links(self.path).lstat())
            if self.roots and (is_outside(self.path, self.roots) or not is_there):
                raise make_file_changed(self.path.name)
            yield file


class MemoryCard:
    """The files to send, and their names on the server.

    skipped      files that are no photo, video or log, with the reason
    passed_over  the error of each file that cannot even be announced (its name, a duplicate name, the card is
                 unreadable there)
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
        """Record an empty file.

        A photo or video is reported as lost, a log is only skipped.
        """
        if detect_file_kind(path.name) in (FileKind.PHOTO, FileKind.FILM):
            self.passed_over += (make_empty_file_error(name),)
        else:
            self.skipped += ((path, "empty (0 bytes)"),)

    @property
    def log(self) -> Path | None:
        """Local path of the flight log."""
        return self._sending.telemetry

    def build_announcement(self) -> bytes:
        """Build the body of `POST /api/uploads`."""
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
        """List the files as the server numbers them."""
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
        """Return the kind of a file; what was found as a photo by its content is one."""
        return FileKind.LOG if name == self._telemetry else detect_file_kind(name) or FileKind.PHOTO

    def _add(self, name: str, path: Path) -> bool:
        """Add a file; return False if another has its name."""
        name = unicodedata.normalize("NFC", name)  # as the server normalises it
        return self._files.setdefault(name, path) == path


def _make_duplicate_error(path: Path) -> InputUnusable:
    return InputUnusable(
        _(
            "{path}: another file has the same name; rename this one, or send the folders one by one",
            path=path,
        )
    )


def _may_hold_some(path: Path) -> bool:
    """Return True if photos, videos or logs may be lost with it."""
    return path.is_dir() or detect_file_kind(path.name) is not None


def _make_unread_error(path: Path, why: str) -> InputUnusable:
    return InputUnusable(_("{path}: {why}; check the card, then send it again", path=path, why=why))


def _name_below(path: Path, roots: list[Path]) -> str:
    """Return a photo's path in its folder.

    The folder's name is prepended if there are several.
    """
    whole = resolve_links(path)
    for root in roots:
        if whole.is_relative_to(root):
            return (whole.relative_to(root.parent if len(roots) > 1 else root)).as_posix()
    return path.name


def pack_heads(parts: Iterable[CardFile]) -> Iterator[tuple[list[int], bytes]]:
    """Yield (numbers, compressed body) of as many `heads` requests as needed.

    Makers pad their notes with zeros: compressed, a header is a fifth. Raises SourceUnreadable.
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
    """Return the bytes of a photo before its pixels, if known and small."""
    try:
        begins = read_head(file, path).scan_offset
    except SourceUnreadable:
        begins = 0
    return min(begins, MAX_HEAD_BYTES) or HEAD_BYTES
