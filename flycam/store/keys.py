"""Keys are spelled here and nowhere else."""

from __future__ import annotations

from flycam.geometry.grid import TileId


def evidence(sha256: str) -> str:
    """Original bytes (photo, telemetry, DEM, boundary file) under their hex SHA-256."""
    return f"evidence/{sha256[:2]}/{sha256}"


def tile(mosaic_id: str, revision: int, tile_id: TileId, content_hash: str) -> str:
    """One immutable tile state."""
    return f"{mosaic_prefix(mosaic_id)}r{revision}/{tile_id.z}/{tile_id.x}/{tile_id.y}/{content_hash}.tile"


def mosaic_prefix(mosaic_id: str) -> str:
    """Everything that belongs to a mosaic."""
    return f"mosaics/{mosaic_id}/"


def product(mosaic_id: str, revision: int, name: str, content_hash: str) -> str:
    """A derived file of a mosaic revision, such as a commune-clipped COG."""
    stem, dot, suffix = name.rpartition(".")
    return f"products/{mosaic_id}/r{revision}/{stem or suffix}-{content_hash}{dot}{suffix if stem else ''}"
