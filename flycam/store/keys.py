"""Keys are spelled here and nowhere else."""

from __future__ import annotations

import re

from flycam.geometry.grid import TileId

_KEY_BYTES = 1024
_SEGMENT_BYTES = 255
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")


def evidence(sha256: str) -> str:
    """Original bytes (photo, telemetry, DEM, boundary file) under their hex SHA-256."""
    return f"evidence/{sha256[:2]}/{sha256}"


def recording(sha256: str) -> str:
    """A piece of a live flight's video under its hex SHA-256.

    Evidence is never deleted, pieces are let go for room; the same bytes given as a file are evidence too.
    """
    return f"recordings/{sha256[:2]}/{sha256}"


def tile(mosaic_id: str, revision: int, tile_id: TileId, content_hash: str) -> str:
    """One immutable tile state."""
    return f"{mosaic_prefix(mosaic_id)}r{revision}/{tile_id.z}/{tile_id.x}/{tile_id.y}-{content_hash}.tile"


def terrain(dem_id: str) -> str:
    """The posts that frames were rectified on, under their content-derived id."""
    return f"terrain/{dem_id}.terrain"


def newest_picture(flight_id: str, taken_ns: int) -> str:
    """What a live flight saw last, small; no evidence, gone with the next one."""
    return f"{newest_picture_prefix(flight_id)}{taken_ns}.jpg"


def newest_picture_prefix(flight_id: str | None = None) -> str:
    """The newest pictures of a live flight; of all live flights."""
    return "newest/" if flight_id is None else f"newest/{flight_id}/"


def flight_of_newest_picture(key: str) -> str:
    """The flight whose newest picture lies under this key."""
    return key.split("/")[1]


def taken_of_newest_picture(key: str) -> int:
    """When the newest picture that lies under this key was taken, UTC ns."""
    return int(key.rpartition("/")[2].removesuffix(".jpg"))


def mosaic_prefix(mosaic_id: str) -> str:
    """Everything that belongs to a mosaic."""
    return f"mosaics/{mosaic_id}/"


def product(mosaic_id: str, revision: int, name: str, content_hash: str) -> str:
    """A derived file of a mosaic revision, such as a commune-clipped COG."""
    stem, dot, suffix = name.rpartition(".")
    return (
        f"{product_prefix(mosaic_id, revision)}{stem or suffix}-{content_hash}{dot}{suffix if stem else ''}"
    )


def product_prefix(mosaic_id: str, revision: int) -> str:
    """All derived files of a mosaic revision."""
    return f"products/{mosaic_id}/r{revision}/"


def probe(name: str) -> str:
    """A key that holds nothing of worth: written and removed to see whether the store works."""
    return f"probe/{name}"


def check_key(key: str) -> None:
    """Raise ValueError unless every store can hold `key`.

    Segments are parted by '/'; none is empty, begins with '.', or is longer than 255 bytes; the key is
    at most 1,024 bytes (S3's limit) and holds no control character or backslash.
    """
    segments = key.split("/")
    if any(not s or s.startswith(".") or len(s.encode()) > _SEGMENT_BYTES for s in segments):
        raise ValueError(f"{key!r} is no store key")
    check_prefix(key)


def check_prefix(prefix: str) -> None:
    """Raise ValueError unless some key could begin with `prefix`."""
    if (
        prefix.startswith("/")
        or len(prefix.encode()) > _KEY_BYTES
        or _FORBIDDEN.search(prefix)
        or any(s in ("", ".", "..") for s in prefix.split("/")[:-1])
    ):
        raise ValueError(f"{prefix!r} begins no store key")
