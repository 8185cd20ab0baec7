"""Which files of a card or a folder are photos, and why the others are not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flycam.errors import SourceUnreadable
from flycam.frame.spelling import is_text, written
from flycam.ingest.photo.container import head_of, kind_of, opened

NOT_A_PHOTO = "not a photo"
NOT_OPENED = "cannot be opened"
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".mpo", ".tif", ".tiff", ".png"})
_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """Photos of some folders in order of their paths, and every other file with the reason."""

    photos: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """JPEG, PNG and TIFF photos at `paths` (files or folders, read through), sorted, each once.

    Raises SourceUnreadable if a path does not exist.
    """
    return list(search(paths).photos)


def search(paths: Iterable[Path]) -> Findings:
    """As `find_photos`, and says what was left out and why.

    A file whose name promises a photo is kept whatever its bytes are, so that reading it gives the
    reason why it cannot be used; a file without such a name is kept if its bytes are a photo's.
    Raises SourceUnreadable if a path does not exist.
    """
    photos: dict[Path, Path] = {}
    skipped: list[tuple[Path, str]] = []
    for path in map(Path, paths):
        if not path.exists():
            raise SourceUnreadable(
                f"{path}: no such file or folder; check the path or plug in the card",
                vi=f"{path}: không có tệp hoặc thư mục này; hãy kiểm tra đường dẫn hoặc cắm thẻ nhớ",
            )
        for file in _files_under(path, skipped):
            reason = _reason_to_skip(file)
            if reason is None:
                photos.setdefault(file.resolve(), file)
            else:
                skipped.append((file, reason))
    return Findings(photos=tuple(sorted(photos.values())), skipped=tuple(sorted(skipped)))


def require_names(photos: Iterable[Path]) -> None:
    """Raise SourceUnreadable for a file whose name is not UTF-8, as another system's disk may bring it: no
    record can hold it."""
    for path in photos:
        if not is_text(str(path)):
            shown = written(str(path))
            raise SourceUnreadable(
                f"{shown}: its name is not UTF-8; rename the file and run again",
                vi=f"{shown}: tên tệp không phải UTF-8; hãy đổi tên tệp rồi chạy lại",
            )


def _files_under(path: Path, skipped: list[tuple[Path, str]]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return

    def note(error: OSError) -> None:
        skipped.append((Path(str(error.filename)), f"{NOT_OPENED} ({error.strerror})"))

    for folder, folders, names in os.walk(path, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "@")))
        for name in sorted(names):
            yield Path(folder) / name


def _reason_to_skip(path: Path) -> str | None:
    if path.name.startswith("._"):
        return "macOS resource file"
    if path.name.startswith("."):
        return "hidden file"
    if path.exists() and not path.is_file():
        return "not a regular file"  # opening a pipe would wait for ever
    suffix = path.suffix.lower()
    if suffix in _RAW_SUFFIXES:
        return "raw picture: the JPEG beside it is used"
    if suffix in _TIFF_SUFFIXES and _is_map(path):
        return "georeferenced raster: register terrain with 'flycam dem add'"
    if suffix in PHOTO_SUFFIXES:
        return None
    try:
        with path.open("rb", buffering=0) as file:
            kind = kind_of(file.read(16))
    except OSError as error:
        return f"{NOT_OPENED} ({error.strerror})"
    return None if kind is not None else NOT_A_PHOTO


def _is_map(path: Path) -> bool:
    try:
        with opened(path) as file:
            return head_of(file, path).is_map
    except SourceUnreadable:
        return False  # kept, so that reading it gives the reason
