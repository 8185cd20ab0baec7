"""Object keys, names in the cache folder, and the contract of every object store.

No other module composes or parses object keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from flycam.geometry.grid import TileId

# -- Contract of every object store ----------------------------------------------------------------
#
# `tests/suites/store_suite.py` is its executable form.
#
# Keys are '/'-separated, made in `flycam.storage.keys` only; no key begins with '/' or holds '..'.
# Objects are immutable: a key is written once, or again with the very same bytes.


class ObjectStore(Protocol):
    """Bytes by key.

    Every implementation raises these errors and no others: StoreUnavailable (cannot be reached),
    StoreDenied (credentials), BucketMissing, DiskFull, ObjectMissing (get of an absent key).
    """

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """Write atomically: a reader sees all of it or nothing. Idempotent.

        durable=True returns only when the bytes survive a power cut (originals). Otherwise they may wait
        for `flush`.
        """

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """Write a file of any size as `put` does, in bounded memory.

        sha256  of the expected bytes: if the file no longer holds them, SourceUnreadable is raised and
                nothing is written
        """

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write only if the key is new; return True if this call wrote it.

        Atomic between processes, and durable: the loser may rely on the winner's bytes.
        """

    def ensure_durable(self, key: str, *, durable: bool = False) -> None:
        """Make an existing key as safe as if its bytes were put again.

        Another caller may have put it a moment ago and not flushed. `durable` means the same as in `put`.
        """

    def get(self, key: str) -> bytes:
        """Return all bytes of a key; raise ObjectMissing if there is none."""

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return bytes start..start+length (shorter at the end), or raise ObjectMissing."""

    def size(self, key: str) -> int:
        """Return the size of an object in bytes, or raise ObjectMissing."""

    def exists(self, key: str) -> bool:
        """Check whether the key is there."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, sorted.

        `prefix` is a plain string prefix. Half-written objects are not listed.
        """

    def delete(self, key: str) -> None:
        """Remove an object; do nothing if it is not there."""

    def free_bytes(self) -> int | None:
        """Return the bytes that can still be written, None if unknown."""

    def flush(self) -> None:
        """Return when everything put or deleted before survives a power cut."""

    def close(self) -> None:
        """Flush and release descriptors and connections, also if flushing fails."""


# -- Object keys, and names in the cache folder ----------------------------------------------------


# S3's limit
MAX_KEY_BYTES = 1024
# of a file name on common file systems
_SEGMENT_BYTES = 255
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")


def format_original_key(sha256: str) -> str:
    """Return the key of an original (photo, telemetry, DEM, boundary file).

    It is stored under its hex SHA-256.
    """
    return f"evidence/{sha256[:2]}/{sha256}"


def format_recording_key(sha256: str) -> str:
    """Return the key of a piece of a live flight's video, by hex SHA-256.

    Originals are deleted by retention alone, recorded pieces also to free space; the same bytes given as a
    file are an original.
    """
    return f"recordings/{sha256[:2]}/{sha256}"


def format_original_prefixes(two_digits: str) -> tuple[str, str]:
    """Return the prefixes of originals and recordings by two digits of SHA-256."""
    return f"evidence/{two_digits}/", f"recordings/{two_digits}/"


def list_original_prefixes() -> tuple[str, str]:
    """Return the prefixes of all originals and recordings."""
    return "evidence/", "recordings/"


def format_tile_key(mosaic_id: str, revision: int, tile_id: TileId, content_hash: str) -> str:
    """Return the key of one immutable tile version."""
    return (
        f"{format_mosaic_prefix(mosaic_id)}r{revision}/{tile_id.z}/{tile_id.x}/{tile_id.y}"
        f"-{content_hash}.tile"
    )


def format_terrain_key(dem_id: str) -> str:
    """Return the key of terrain that frames were orthorectified on.

    `dem_id` is derived from its content.
    """
    return f"{format_terrain_prefix()}{dem_id}.terrain"


def format_terrain_prefix() -> str:
    """Return the prefix of all recorded terrain."""
    return "terrain/"


def parse_terrain_key(key: str) -> str:
    """Return the terrain id in a key."""
    return key.removeprefix(format_terrain_prefix()).removesuffix(".terrain")


def is_permanent(key: str) -> bool:
    """Return True for originals and recorded terrain.

    All else can be made again or is deleted.
    """
    return key.startswith(list_permanent_prefixes())


def is_marker(key: str) -> bool:
    """Return True if an object is known by the existence of its key alone.

    Originals are found by hash, and what other nodes sent is found by listing it. All else is named by the
    catalogue or a log.
    """
    return is_permanent(key) or key.startswith(format_sync_prefix())


def list_permanent_prefixes() -> tuple[str, ...]:
    """Return the prefixes of all originals and all recorded terrain."""
    return "evidence/", format_terrain_prefix()


def parse_hash(key: str) -> str:
    """Return the hex SHA-256 in an original's key, its first digits in others."""
    name = key.rpartition("/")[2]
    return name if key.startswith(("evidence/", "recordings/")) else name.rpartition("-")[2].split(".")[0]


def format_latest_image_key(flight_id: str, taken_ns: int) -> str:
    """Return the key of a live flight's latest image, reduced.

    It is not an original and is replaced by the next one. `taken_ns` is UTC.
    """
    return f"{format_latest_image_prefix(flight_id)}{taken_ns}.jpg"


def format_latest_image_prefix(flight_id: str | None = None) -> str:
    """Return the prefix of the latest images of a live flight, or of all."""
    return "newest/" if flight_id is None else f"newest/{flight_id}/"


def parse_latest_image_flight(key: str) -> str:
    """Return the flight id in the key of a latest image."""
    return key.split("/")[1]


def parse_latest_image_ns(key: str) -> int:
    """Return the time in the key of a latest image, UTC ns."""
    return int(key.rpartition("/")[2].removesuffix(".jpg"))


def format_mosaic_prefix(mosaic_id: str) -> str:
    """Return the prefix of everything that belongs to a mosaic."""
    return f"mosaics/{mosaic_id}/"


def format_product_key(mosaic_id: str, revision: int, name: str, content_hash: str) -> str:
    """Return the key of a file derived from a mosaic revision, such as a clip."""
    stem, dot, suffix = name.rpartition(".")
    return (
        f"{format_product_prefix(mosaic_id, revision)}{stem or suffix}-{content_hash}{dot}"
        f"{suffix if stem else ''}"
    )


def format_product_prefix(mosaic_id: str, revision: int) -> str:
    """Return the prefix of all files derived from a mosaic revision."""
    return f"products/{mosaic_id}/r{revision}/"


def format_pack_key(pack_id: str, sha256: str) -> str:
    """Return the key of a requested briefing pack, one ZIP, by hex SHA-256."""
    return f"{format_pack_prefix(pack_id)}{sha256}.zip"


def format_pack_prefix(pack_id: str | None = None) -> str:
    """Return the prefix of one briefing pack, or of all."""
    return "packs/" if pack_id is None else f"packs/{pack_id}-"


def parse_pack_key(key: str) -> str:
    """Return the pack id in a key."""
    return key.removeprefix(format_pack_prefix()).partition("-")[0]


def format_sync_prefix() -> str:
    """Return the prefix of what peers sent, with the cursors of each."""
    return "sync/"


def parse_peer_tile_id(key: str) -> TileId | None:
    """Return the tile in the key of a peer's tile, None for any other key."""
    parts = key.removeprefix(format_sync_prefix()).split("/")
    if parts[0] != "tiles":
        return None
    z, x, y = map(int, parts[2:5])
    return TileId(z=z, x=x, y=y)


def format_peer_tile_key(log: str, seq: int, mosaic_id: str, tile_id: TileId, digest: str) -> str:
    """Return the key of a base tile's version as a peer sent it.

    It is line `seq` of the peer's log `log` (a `derive_log_id`), merged into the live revision of a mosaic
    here (`docs/decisions/0021-sync.md`).
    """
    return f"{format_peer_tile_prefix(mosaic_id, tile_id)}{log}-{seq:020d}-{digest}.tile"


def format_peer_tile_prefix(mosaic_id: str, tile_id: TileId) -> str:
    """Return the prefix of the versions of one tile that peers sent."""
    return f"{format_peer_mosaic_prefix(mosaic_id)}{tile_id.z}/{tile_id.x}/{tile_id.y}/"


def format_peer_mosaic_prefix(mosaic_id: str) -> str:
    """Return the prefix of all versions of a mosaic's tiles that peers sent."""
    return f"{format_sync_prefix()}tiles/{mosaic_id}/"


def parse_peer_tile_key(key: str) -> tuple[str, int, str]:
    """Return (`derive_log_id`, seq, content hash) from the key of a peer's tile."""
    log, seq, digest = key.rpartition("/")[2].removesuffix(".tile").split("-")
    return log, int(seq), digest


def format_peer_placements_key(log: str, until: int) -> str:
    """Return the key of the placements that came with a log up to line `until`."""
    return f"{format_peer_placements_prefix(log)}{until:020d}.json.zst"


def format_peer_placements_prefix(log: str | None = None) -> str:
    """Return the prefix of the placements sent with one log, or with all."""
    return f"{format_sync_prefix()}laid/" + (f"{log}/" if log else "")


def parse_peer_placements_seq(key: str) -> int:
    """Return the last line in a key of `format_peer_placements_key`."""
    return int(key.rpartition("/")[2].split(".")[0])


def format_preview_key(mosaic_id: str, log: str, tile_id: TileId, digest: str) -> str:
    """Return the key that marks a parent tile here as a preview from a log.

    digest  of the tile as the peer has it
    """
    return f"{format_preview_prefix(mosaic_id)}{log}/{tile_id.z}/{tile_id.x}/{tile_id.y}-{digest}"


def format_preview_prefix(mosaic_id: str | None = None) -> str:
    """Return the prefix of the preview marks of one mosaic, or of all."""
    return f"{format_sync_prefix()}early/" + (f"{mosaic_id}/" if mosaic_id else "")


def parse_preview_key(key: str) -> tuple[str, TileId, str]:
    """Return (`derive_log_id`, tile, peer's content hash) from a preview key."""
    *_, log, z, x, last = key.split("/")
    y, _, digest = last.partition("-")
    return log, TileId(z=int(z), x=int(x), y=int(y)), digest


def format_deferred_tile_key(mosaic_id: str, tile_id: TileId) -> str:
    """Return the key that marks a base tile as incomplete when it was to be sent."""
    return f"{format_deferred_tile_prefix()}{mosaic_id}/{tile_id.z}/{tile_id.x}/{tile_id.y}"


def format_deferred_tile_prefix() -> str:
    """Return the prefix of all deferred tiles, still to be sent to peers."""
    return f"{format_sync_prefix()}owed/"


def parse_deferred_tile_key(key: str) -> tuple[str, TileId]:
    """Return (mosaic id, tile) from a key of `format_deferred_tile_key`."""
    *_, mosaic_id, z, x, y = key.split("/")
    return mosaic_id, TileId(z=int(z), x=int(x), y=int(y))


def format_peer_records_key(origin: str, sha256: str) -> str:
    """Return the key of a node's records of one of its flights, by their SHA-256.

    While they stay the same they are not sent again.
    """
    return f"{format_peer_records_prefix(origin)}{sha256}"


def format_peer_records_prefix(origin: str | None = None) -> str:
    """Return the prefix of the flight records of one node, or of all."""
    return f"{format_sync_prefix()}records/" + (f"{derive_node_id(origin)}/" if origin is not None else "")


def format_cursor_key(origin: str, mosaic_id: str, seq: int, history: str) -> str:
    """Return the key of the cursor into a node's log of one of its mosaics.

    The log was imported up to `seq`, where its digest is `history`.
    """
    return f"{format_mosaic_cursor_prefix(origin, mosaic_id)}{seq:020d}-{history}"


def format_cursor_prefix(origin: str | None = None) -> str:
    """Return the prefix of the cursors of one node, or of all.

    A cursor is written after the data it refers to.
    """
    return f"{format_sync_prefix()}taken/" + (f"{derive_node_id(origin)}/" if origin is not None else "")


def format_mosaic_cursor_prefix(origin: str, mosaic_id: str) -> str:
    """Return the prefix of the cursors into one log."""
    return f"{format_cursor_prefix(origin)}{mosaic_id}/"


def parse_cursor_log_id(key: str) -> str:
    """Return the `derive_log_id` in a key of `format_cursor_key`."""
    _, _, box, mosaic_id, _ = key.split("/")
    return _short_id(f"{box}/{mosaic_id}")


def parse_cursor_key(key: str) -> tuple[str, int, str]:
    """Return (mosaic_id, seq, digest of the log up to it) from a cursor key."""
    _, mosaic_id, last = key.rsplit("/", 2)
    seq, _, history = last.partition("-")
    return mosaic_id, int(seq), history


def format_node_account_key(origin: str) -> str:
    """Return the key that names the account by which a node synchronises."""
    return f"{format_node_account_prefix()}boxes/{derive_node_id(origin)}"


def format_account_node_key(account: str) -> str:
    """Return the key that names the node for which an account synchronises."""
    return f"{format_node_account_prefix()}accounts/{_short_id(account)}"


def format_node_key(origin: str) -> str:
    """Return the key of the object that holds a node's public key, and its name."""
    return f"{format_node_key_prefix()}{derive_node_id(origin)}"


def format_node_key_prefix() -> str:
    """Return the prefix of the public keys of nodes."""
    return f"{format_node_account_prefix()}keys/"


def format_node_account_prefix() -> str:
    """Return the prefix of what nodes' names belong to: accounts and public keys.

    Each object holds a name.
    """
    return f"{format_sync_prefix()}speakers/"


def derive_node_id(origin: str) -> str:
    """Return a node's name as a part of keys, 16 hex digits.

    Names may hold characters that keys cannot.
    """
    return _short_id(origin)


def derive_log_id(origin: str, mosaic_id: str) -> str:
    """Return the id of a node's log of one of its mosaics, 16 hex digits.

    Two logs of a node may go into one mosaic here.
    """
    return _short_id(f"{derive_node_id(origin)}/{mosaic_id}")


def format_probe_key(name: str) -> str:
    """Return the key of an object written and removed to test the store."""
    return f"probe/{name}"


def format_cluster_run_key(flight_id: str, run: str, name: str = "") -> str:
    """Return the key of data exchanged with the workers of one cluster run.

    Without a name it is the prefix of them all. They can be deleted whenever the run is not in progress.
    """
    return f"{format_cluster_run_prefix(flight_id)}{run}/{name}"


def format_cluster_run_prefix(flight_id: str) -> str:
    """Return the prefix of what cluster runs left of a flight."""
    return f"cluster/{flight_id}/"


def check_key(key: str) -> None:
    """Raise ValueError unless every store can hold `key`.

    Segments are separated by '/'; none is empty, begins with '.', or is longer than 255 bytes; the key is
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
        or len(prefix.encode()) > MAX_KEY_BYTES
        or _FORBIDDEN.search(prefix)
        or any(s in ("", ".", "..") for s in prefix.split("/")[:-1])
    ):
        raise ValueError(f"{prefix!r} begins no store key")


def _short_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


# -- Names in a node's cache folder ----------------------------------------------------------------
#
# Shared by code that writes there and code that clears it.


ORIGINALS_DIR = "evidence"
"""Originals fetched from the object store to be read, a folder each."""

STAGES_DIR = "finish"
"""Stage files of runs of `finish`."""

LIVE_DIR_PREFIX = "live-"
"""Prefix of the folders of live flights; what is in them may not be stored yet."""

RECORDINGS_DIR = "recording"
"""Streams as they came, not yet stored."""

DAMAGED_RECORDINGS_DIR = "recording-damaged"
"""Pieces that a power cut damaged, `<flight>-<UTC ns>.mp4`."""

VERIFY_LEDGER_FILE = "verified.txt"
"""Parts of the node with the time that each was last read back whole."""

SETUP_CODE_FILE = "setup.code"
"""Code that makes the first administrator."""

PERMANENT_ENTRIES = frozenset(
    {ORIGINALS_DIR, STAGES_DIR, RECORDINGS_DIR, DAMAGED_RECORDINGS_DIR, VERIFY_LEDGER_FILE, SETUP_CODE_FILE}
)
"""Entries that are never deleted as a whole because of their age."""
