"""Which of a card's files an upload takes, and why it passes the others over: an odd one holds up no card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from flycam.errors import InputUnusable
from flycam.ingest.photo.card_files import FileKind, kind_of
from flycam.messages import _
from flycam.pipeline.upload.names import checked_card_path, checked_path, refused

MAX_FILES = 5_000
MAX_FILE_BYTES = 2 << 30
MAX_FILM_BYTES = 64 << 30
MAX_UPLOAD_BYTES = 500 << 30
MOST_SAID = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadFile:
    """A file as it was announced. modified_ms tells two cards with the same names apart."""

    path: str
    size: int
    modified_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PassedOver:
    """Files that an upload does not take. said: of the first of them the sentence (English, Vietnamese) that
    names the file and the cure."""

    count: int = 0
    said: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(errors: Sequence[InputUnusable]) -> PassedOver:
        """As the files were refused, one by one."""
        said = tuple((str(one), one.vi or str(one)) for one in errors[:MOST_SAID])
        return PassedOver(count=len(errors), said=said)

    def and_also(self, others: PassedOver) -> PassedOver:
        """These, then others."""
        return PassedOver(count=self.count + others.count, said=(*self.said, *others.said)[:MOST_SAID])


NOTHING = PassedOver()


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What is taken, in order of the paths. telemetry: the flight's log among it."""

    files: tuple[UploadFile, ...]
    telemetry: str | None
    passed_over: PassedOver


def chosen_of(files: Sequence[UploadFile], telemetry: str | None = None) -> Choice:
    """Which of `files` are taken. telemetry: which of them is the flight's log, as it was announced.

    Raises InputUnusable where that log cannot be taken, where nothing that can be laid is left, and for more
    files or bytes than an upload brings.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise InputUnusable(
            _(
                "{count} files: an upload brings 1 to {max_files}; send the card in parts",
                count=len(files),
                max_files=MAX_FILES,
            )
        )
    log = None if telemetry is None else checked_path(telemetry)
    taken: dict[str, UploadFile] = {}
    folders: set[str] = set()
    passed_over = []
    for one in sorted(files, key=lambda one: one.path):
        is_log = one.path == telemetry
        try:
            file = replace(one, path=checked_path(one.path) if is_log else checked_card_path(one.path))
            _check_fits(file, taken, folders)
            _check_size(file)
        except InputUnusable as error:
            if is_log:
                raise
            passed_over.append(error)
            continue
        taken[file.path] = file
        folders.update(str(parent) for parent in PurePosixPath(file.path).parents)
    if all(path == log or kind_of(path) is FileKind.LOG for path in taken):
        raise passed_over[0] if passed_over else _only_logs()
    if log is not None and log not in taken:
        raise InputUnusable(_("the flight log is not among the files of the upload; announce it too"))
    if sum(one.size for one in taken.values()) > MAX_UPLOAD_BYTES:
        raise InputUnusable(
            _(
                "more than {max_upload_bytes} GiB in one upload; send the card in parts",
                max_upload_bytes=MAX_UPLOAD_BYTES >> 30,
            )
        )
    return Choice(files=tuple(taken.values()), telemetry=log, passed_over=PassedOver.of(passed_over))


def _check_fits(file: UploadFile, taken: dict[str, UploadFile], folders: set[str]) -> None:
    """Raise InputUnusable where two files would be one, or a file would be another's folder."""
    if file.path in taken:
        raise refused(file.path, "is named twice", "bị ghi hai lần")
    if file.path in folders or any(str(parent) in taken for parent in PurePosixPath(file.path).parents):
        raise refused(file.path, "is a file and a folder", "vừa là tệp vừa là thư mục")


def empty(name: str) -> InputUnusable:
    """Of a file without bytes: what is meant to be in it may still be on the card."""
    return InputUnusable(
        _(
            "{name}: is empty (0 bytes), though it may still be got back from the card; keep the card",
            name=name,
        )
    )


def damaged(name: str) -> InputUnusable:
    """Of a file that came as it was announced and does not read to its end: on the card it may be whole."""
    return InputUnusable(
        _(
            "{name}: does not read to its end (cut off, damaged, or no photo or film); keep "
            "the card, open the file there and copy it again",
            name=name,
        )
    )


def _check_size(file: UploadFile) -> None:
    if file.size == 0:
        raise empty(file.path)
    most = MAX_FILM_BYTES if kind_of(file.path) is FileKind.FILM else MAX_FILE_BYTES
    if not 1 <= file.size <= most:
        raise InputUnusable(
            _(
                "{path}: has {size} bytes; such a file may have 1 to {most}: leave it out",
                path=file.path,
                size=file.size,
                most=most,
            )
        )


def _only_logs() -> InputUnusable:
    return InputUnusable(_("only flight logs: choose the photos or films of that flight with them"))
