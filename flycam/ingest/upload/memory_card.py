"""Memory card on the sending side: file names, selection, headers in batches.

Names are validated and unsuitable files skipped before anything is sent.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any

from flycam.config import SYSTEM_TRUST, ServerTrust
from flycam.errors import InputUnusable, SourceUnreadable
from flycam.ingest.photos.photo_search import (
    NOT_A_PHOTO,
    NOT_OPENED,
    FileKind,
    detect_file_kind,
    is_outside,
    resolve_links,
    search_photos,
)
from flycam.media.photo import open_photo, read_head
from flycam.messages import Message, _
from flycam.model.text import is_printable, to_visible
from flycam.storage.files import make_file_changed

# -- Validation of file names in uploads -----------------------------------------------------------


MAX_NAME_BYTES = 200
MAX_DEPTH = 8
_MAX_PATH_BYTES = 800
_SHOWN_CHARS = 60


def validate_path(text: str) -> str:
    """Validate a file's path inside its upload.

    Returns it in NFC, parts joined by "/". Raises InputUnusable for anything that could mean a place outside
    the upload, a hidden file, or a name that a disk cannot hold. Names are rejected, not corrected: two
    corrected alike would become one file.
    """
    path = unicodedata.normalize("NFC", text)
    parts = path.split("/")
    if len(parts) > MAX_DEPTH or len(path.encode("utf-8", "replace")) > _MAX_PATH_BYTES:
        raise make_name_error(text, _("is too long or too deep"))
    for part in parts:
        if not part or part.startswith(".") or part != part.strip():
            raise make_name_error(text, _("holds an empty or hidden part"))
        if len(part.encode("utf-8", "replace")) > MAX_NAME_BYTES:
            raise make_name_error(text, _("is too long"))
        if any(_is_unsafe(letter) for letter in part):
            raise make_name_error(text, _("holds a sign no file name may hold"))
    return path


def validate_card_path(text: str) -> str:
    """Validate a path as `validate_path`, and its kind by name.

    Raises InputUnusable for a file that is neither photo, video nor flight log.
    """
    path = validate_path(text)
    if detect_file_kind(path) is None:
        raise make_name_error(
            text,
            _("is not a photo (JPEG, PNG, TIFF), video (MP4, MOV) or flight log (archives are not unpacked)"),
        )
    return path


def format_label(text: str) -> str:
    """Make a folder name from the flight's or a folder's name; may be empty."""
    letters = (" " if _is_unsafe(c) or c == "/" else c for c in unicodedata.normalize("NFC", text))
    joined = " ".join("".join(letters).split()).strip(". ")
    return joined.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(". ")


def make_name_error(text: str, why: Message) -> InputUnusable:
    """Make the error for an invalid name, in printable form, with reason and cure."""
    shown = to_visible(text[:_SHOWN_CHARS])
    return InputUnusable(_("{shown}: this name {why}; rename the file or leave it out", shown=shown, why=why))


def _is_unsafe(letter: str) -> bool:
    """Return True for characters that are invisible, or that Windows forbids."""
    return letter in '\\:*?"<>|' or not is_printable(letter)


# -- Selection of a card's files for an upload -----------------------------------------------------


MAX_FILES = 5_000
MAX_FILE_BYTES = 2 << 30
MAX_VIDEO_BYTES = 64 << 30
MAX_UPLOAD_BYTES = 500 << 30
MAX_REASONS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadFile:
    """An announced file. modified_ms tells two cards with the same names apart."""

    path: str
    size: int
    modified_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedFiles:
    """Files that an upload skips.

    said: for the first of them a sentence that names the file and the cure.
    """

    count: int = 0
    said: tuple[Message, ...] = ()

    @staticmethod
    def from_errors(errors: Sequence[InputUnusable]) -> SkippedFiles:
        """Make it from the errors of the skipped files."""
        return SkippedFiles(count=len(errors), said=tuple(one.message for one in errors[:MAX_REASONS]))

    def combine(self, others: SkippedFiles) -> SkippedFiles:
        """Append other skipped files to these."""
        return SkippedFiles(count=self.count + others.count, said=(*self.said, *others.said)[:MAX_REASONS])


NO_SKIPPED_FILES = SkippedFiles()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSelection:
    """Selected files, sorted by path. telemetry: the flight log among them."""

    files: tuple[UploadFile, ...]
    telemetry: str | None
    skipped: SkippedFiles


def select_files(files: Sequence[UploadFile], telemetry: str | None = None) -> FileSelection:
    """Select the files to take. telemetry: path of the flight log, as announced.

    Raises InputUnusable where that log cannot be taken, where no photo or video is left, and for more files
    or bytes than an upload may have.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise InputUnusable(
            _(
                "{count} files: an upload brings 1 to {max_files}; send the card in parts",
                count=len(files),
                max_files=MAX_FILES,
            )
        )
    log = None if telemetry is None else validate_path(telemetry)
    taken: dict[str, UploadFile] = {}
    folders: set[str] = set()
    passed_over = []
    # sorted, so that the same card gives the same numbers
    for one in sorted(files, key=lambda one: one.path):
        is_log = one.path == telemetry
        try:
            file = replace(one, path=validate_path(one.path) if is_log else validate_card_path(one.path))
            _check_fits(file, taken, folders)
            _check_size(file)
        except InputUnusable as error:
            if is_log:
                raise
            passed_over.append(error)
            continue
        taken[file.path] = file
        folders.update(str(parent) for parent in PurePosixPath(file.path).parents)
    if all(path == log or detect_file_kind(path) is FileKind.LOG for path in taken):
        raise passed_over[0] if passed_over else _make_only_logs_error()
    if log is not None and log not in taken:
        raise InputUnusable(_("the flight log is not among the files of the upload; announce it too"))
    if sum(one.size for one in taken.values()) > MAX_UPLOAD_BYTES:
        raise InputUnusable(
            _(
                "more than {max_upload_bytes} GiB in one upload; send the card in parts",
                max_upload_bytes=MAX_UPLOAD_BYTES >> 30,
            )
        )
    return FileSelection(
        files=tuple(taken.values()), telemetry=log, skipped=SkippedFiles.from_errors(passed_over)
    )


def _check_fits(file: UploadFile, taken: dict[str, UploadFile], folders: set[str]) -> None:
    """Raise InputUnusable if a file would replace another or be its folder."""
    if file.path in taken:
        raise make_name_error(file.path, _("is named twice"))
    if file.path in folders or any(str(parent) in taken for parent in PurePosixPath(file.path).parents):
        raise make_name_error(file.path, _("is a file and a folder"))


def make_empty_file_error(name: str) -> InputUnusable:
    """Make the error for an empty file, whose content may still be on the card."""
    return InputUnusable(
        _(
            "{name}: is empty (0 bytes), though it may still be got back from the card; keep the card",
            name=name,
        )
    )


def make_damaged_file_error(name: str) -> InputUnusable:
    """Make the error for a file that was received complete but is damaged.

    The card's may be intact.
    """
    return InputUnusable(
        _(
            "{name}: cannot be read to its end (cut off, damaged, or no photo or video); "
            "keep the card, open the file there and copy it again",
            name=name,
        )
    )


def _check_size(file: UploadFile) -> None:
    if file.size == 0:
        raise make_empty_file_error(file.path)
    most = MAX_VIDEO_BYTES if detect_file_kind(file.path) is FileKind.FILM else MAX_FILE_BYTES
    if not 1 <= file.size <= most:
        raise InputUnusable(
            _(
                "{path}: has {size} bytes; such a file may have 1 to {most}: leave it out",
                path=file.path,
                size=file.size,
                most=most,
            )
        )


def _make_only_logs_error() -> InputUnusable:
    return InputUnusable(_("only flight logs: choose the photos or videos of that flight with them"))


# -- Memory card: announcement, and headers in batches ---------------------------------------------


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
            real = resolve_links(self.path)
            is_there = os.path.samestat(os.fstat(file.fileno()), real.lstat())
            if self.roots and (is_outside(real, self.roots) or not is_there):
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
                    "{names}: no photo (JPEG, PNG, TIFF), video (MP4, MOV) or flight log "
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
    resolved = resolve_links(path)
    for root in roots:
        if resolved.is_relative_to(root):
            return (resolved.relative_to(root.parent if len(roots) > 1 else root)).as_posix()
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
