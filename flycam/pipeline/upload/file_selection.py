"""Selection of a card's files for an upload; unsuitable files are skipped and do not stop it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from flycam.errors import InputUnusable
from flycam.ingest.photo.file_kinds import FileKind, detect_file_kind
from flycam.messages import Message, _
from flycam.pipeline.upload.file_names import make_name_error, validate_card_path, validate_path

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
            "{name}: does not read to its end (cut off, damaged, or no photo or film); keep "
            "the card, open the file there and copy it again",
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
    return InputUnusable(_("only flight logs: choose the photos or films of that flight with them"))
