"""Kinds of files on a memory card by their names: photos, videos, flight logs."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import PurePosixPath

from flycam.ingest.photo.photo_search import PHOTO_SUFFIXES

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
