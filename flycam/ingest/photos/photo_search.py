"""Search for photos on a card or in a folder, and kinds of files by name.

Each skipped file has its reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from flycam.errors import SourceUnreadable
from flycam.media.photo import detect_container, open_photo, read_head
from flycam.messages import _
from flycam.model.text import is_encodable, to_visible
from flycam.storage.files import make_not_regular, open_regular

NOT_A_PHOTO = "not a photo"
NOT_OPENED = "cannot be opened"
_MAX_DEPTH = 64
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".mpo", ".tif", ".tiff", ".png"})
_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoSearchResult:
    """Photos of some folders in order of path, and each other file with its reason.

    refused  files that are never opened: no record can hold the name, it is a link that leads outside, or a
             pipe, a socket or a device
    """

    photos: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]
    refused: tuple[tuple[Path, SourceUnreadable], ...] = ()


def search_photos(paths: Iterable[Path]) -> PhotoSearchResult:
    """Search files and folders, recursively, for JPEG, PNG and TIFF photos.

    A file with a photo's suffix is kept whatever its bytes are, so that reading it gives the reason why it
    cannot be used; a file without such a suffix is kept if its bytes are a photo's. Names that are not UTF-8
    and links out of `paths` are skipped unread.

    Raises SourceUnreadable if a path does not exist.
    """
    photos: dict[Path, Path] = {}
    skipped: list[tuple[Path, str]] = []
    refused: list[tuple[Path, SourceUnreadable]] = []
    sources = [Path(path) for path in paths]
    roots = [resolve_links(path) for path in sources]
    for path in sources:
        if not path.exists():
            raise SourceUnreadable(
                _("{path}: no such file or folder; check the path or plug in the card", path=path)
            )
        for file in walk_folder(path, lambda *found: skipped.append(found)):
            real = resolve_links(file)
            trouble = None if file.name.startswith(".") else _never_opened(file, real, roots)
            if trouble is not None:
                refused.append((file, trouble))
            elif (reason := _reason_to_skip(file)) is not None:
                skipped.append((file, reason))
            else:
                photos.setdefault(real, file)
    return PhotoSearchResult(
        photos=tuple(sorted(photos.values())), skipped=tuple(sorted(skipped)), refused=tuple(refused)
    )


def walk_folder(
    path: Path,
    note: Callable[[Path, str], None] = lambda _path, _why: None,
    *,
    skipped_prefixes: tuple[str, ...] = (".", "@"),
) -> Iterator[Path]:
    """Yield the file at `path`, or all files of the folder, recursively by name.

    Links to folders are yielded, not followed.

    note   called for each skipped folder with the reason: unreadable, or deeper than any memory card
    skipped_prefixes  name prefixes of folders to skip: systems make them, no camera does
    """
    if not path.is_dir():
        yield path
        return

    waiting = [(path, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            note(folder, f"{NOT_OPENED} (more than {_MAX_DEPTH} folders deep: move it up)")
            continue
        files, folders = list[str](), list[str]()
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    is_folder = _is_folder(entry)
                    if is_folder and skipped_prefixes and entry.name.startswith(skipped_prefixes):
                        continue
                    (folders if is_folder and not entry.is_symlink() else files).append(entry.name)
        except OSError as error:
            note(folder, f"{NOT_OPENED} ({error.strerror})")
            continue
        yield from (folder / name for name in sorted(files))
        waiting += [(folder / name, depth + 1) for name in sorted(folders, reverse=True)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle: opening it gives the reason
        return False


def _never_opened(file: Path, real: Path, roots: Iterable[Path]) -> SourceUnreadable | None:
    """Return the error of a file that must not be opened, whatever it holds; `real` is its place."""
    shown = to_visible(str(file))
    if not is_encodable(str(file)):
        return SourceUnreadable(
            _("{shown}: its name is not UTF-8; rename the file and run again", shown=shown)
        )
    if is_outside(real, roots):
        return SourceUnreadable(
            _(
                "{shown}: is a link to a place elsewhere; copy here what it leads to, or leave it out",
                shown=shown,
            )
        )
    # asked in this order, a photo costs one look at the disk
    is_other = not file.is_file() and not file.is_dir() and file.exists()
    return make_not_regular(file) if is_other else None


def is_outside(real: Path, roots: Iterable[Path]) -> bool:
    """Return True if a file lies outside `roots`; links are followed in all of these.

    What a dangling link leads to does not: opening it gives the reason.
    """
    return real.exists() and not any(real.is_relative_to(root) for root in roots)


def resolve_links(path: Path) -> Path:
    """Return the path with its links followed.

    `Path.resolve` raises RuntimeError for links in a circle.
    """
    return Path(os.path.realpath(path))


def _reason_to_skip(path: Path) -> str | None:
    if path.name.startswith("._"):
        return "macOS resource file"
    if path.name.startswith("."):
        return "hidden file"
    if path.exists() and not path.is_file():
        return "not a regular file"  # opening a pipe would block forever
    suffix = path.suffix.lower()
    if suffix in _RAW_SUFFIXES:
        return "raw picture: the JPEG beside it is used"
    if suffix in _TIFF_SUFFIXES and _is_map(path):
        return "georeferenced raster: register terrain with 'flycam dem add'"
    if suffix in PHOTO_SUFFIXES:
        return None
    try:
        with open_regular(path) as file:
            kind = detect_container(file.read(16))
    except OSError as error:
        return f"{NOT_OPENED} ({error.strerror})"
    return None if kind is not None else NOT_A_PHOTO


def _is_map(path: Path) -> bool:
    try:
        with open_photo(path) as file:
            return read_head(file, path).is_map
    except SourceUnreadable:
        return False  # kept, so that reading it gives the reason


# -- Kinds of files by name: photos, videos, flight logs -------------------------------------------


VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".ts"})
SUBTITLE_SUFFIX = ".srt"
LOG_SUFFIXES = frozenset({SUBTITLE_SUFFIX, ".tlog", ".bin", ".ulg", ".log", ".klv"})


class FileKind(StrEnum):
    """Kind of file.

    LOG: a flight log, or the subtitles that an aircraft writes beside its video.
    """

    PHOTO = "photo"
    FILM = "film"
    LOG = "log"


def detect_file_kind(path: str) -> FileKind | None:
    """Return the kind of a file by its name; None if it is not used."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        return FileKind.PHOTO
    if suffix in VIDEO_SUFFIXES:
        return FileKind.FILM
    return FileKind.LOG if suffix in LOG_SUFFIXES else None


def is_subtitles(path: str) -> bool:
    """Return True if a log, by its name, belongs to a single video."""
    return PurePosixPath(path).suffix.lower() == SUBTITLE_SUFFIX


def find_sidecar_logs(video: str, logs: Iterable[str]) -> list[str]:
    """Return the logs beside a video with its name ("DJI_0001.MP4": "DJI_0001.SRT")."""
    return [log for log in logs if _stem(log) == _stem(video)]


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix("")).lower()
