"""Keys are spelled here and nowhere else."""

from __future__ import annotations

import hashlib
import re

from flycam.geometry.grid import TileId

MAX_KEY_BYTES = 1024
_SEGMENT_BYTES = 255
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")


def format_original_key(sha256: str) -> str:
    """Original bytes (photo, telemetry, DEM, boundary file) under their hex SHA-256."""
    return f"evidence/{sha256[:2]}/{sha256}"


def format_recording_key(sha256: str) -> str:
    """A piece of a live flight's video under its hex SHA-256.

    Evidence is let go under a retention term alone, pieces for room too; the same bytes given as a file are
    evidence.
    """
    return f"recordings/{sha256[:2]}/{sha256}"


def format_original_prefixes(two_digits: str) -> tuple[str, str]:
    """Evidence and recordings whose SHA-256 begins with these two hex digits."""
    return f"evidence/{two_digits}/", f"recordings/{two_digits}/"


def list_original_prefixes() -> tuple[str, str]:
    """All evidence and recordings."""
    return "evidence/", "recordings/"


def format_tile_key(mosaic_id: str, revision: int, tile_id: TileId, content_hash: str) -> str:
    """One immutable tile state."""
    return (
        f"{format_mosaic_prefix(mosaic_id)}r{revision}/{tile_id.z}/{tile_id.x}/{tile_id.y}"
        f"-{content_hash}.tile"
    )


def format_terrain_key(dem_id: str) -> str:
    """The posts that frames were rectified on, under their content-derived id."""
    return f"{format_terrain_prefix()}{dem_id}.terrain"


def format_terrain_prefix() -> str:
    """All recorded terrain."""
    return "terrain/"


def parse_terrain_key(key: str) -> str:
    """The id of the terrain that lies under this key."""
    return key.removeprefix(format_terrain_prefix()).removesuffix(".terrain")


def is_permanent(key: str) -> bool:
    """Whether this is evidence or recorded terrain; all else is made again, or let go."""
    return key.startswith(list_permanent_prefixes())


def is_marker(key: str) -> bool:
    """Whether that it is there is all that is known of it: evidence is found under its hash, and what other
    boxes gave by listing it. All else is named by the catalogue or a log."""
    return is_permanent(key) or key.startswith(format_sync_prefix())


def list_permanent_prefixes() -> tuple[str, ...]:
    """All evidence, all recorded terrain."""
    return "evidence/", format_terrain_prefix()


def parse_hash(key: str) -> str:
    """The hex SHA-256 that the key of an original ends in, or the first digits of it in that of a product."""
    name = key.rpartition("/")[2]
    return name if key.startswith(("evidence/", "recordings/")) else name.rpartition("-")[2].split(".")[0]


def format_latest_image_key(flight_id: str, taken_ns: int) -> str:
    """What a live flight saw last, small; no evidence, gone with the next one."""
    return f"{format_latest_image_prefix(flight_id)}{taken_ns}.jpg"


def format_latest_image_prefix(flight_id: str | None = None) -> str:
    """The newest pictures of a live flight; of all live flights."""
    return "newest/" if flight_id is None else f"newest/{flight_id}/"


def parse_latest_image_flight(key: str) -> str:
    """The flight whose newest picture lies under this key."""
    return key.split("/")[1]


def parse_latest_image_ns(key: str) -> int:
    """When the newest picture that lies under this key was taken, UTC ns."""
    return int(key.rpartition("/")[2].removesuffix(".jpg"))


def format_mosaic_prefix(mosaic_id: str) -> str:
    """Everything that belongs to a mosaic."""
    return f"mosaics/{mosaic_id}/"


def format_product_key(mosaic_id: str, revision: int, name: str, content_hash: str) -> str:
    """A derived file of a mosaic revision, such as a commune-clipped COG."""
    stem, dot, suffix = name.rpartition(".")
    return (
        f"{format_product_prefix(mosaic_id, revision)}{stem or suffix}-{content_hash}{dot}"
        f"{suffix if stem else ''}"
    )


def format_product_prefix(mosaic_id: str, revision: int) -> str:
    """All derived files of a mosaic revision."""
    return f"products/{mosaic_id}/r{revision}/"


def format_pack_key(pack_id: str, sha256: str) -> str:
    """A meeting pack that the page asked for, one ZIP under its hex SHA-256."""
    return f"{format_pack_prefix(pack_id)}{sha256}.zip"


def format_pack_prefix(pack_id: str | None = None) -> str:
    """What lies of one meeting pack; of all of them."""
    return "packs/" if pack_id is None else f"packs/{pack_id}-"


def parse_pack_key(key: str) -> str:
    """The id of the pack that lies under this key."""
    return key.removeprefix(format_pack_prefix()).partition("-")[0]


def format_sync_prefix() -> str:
    """All that other boxes gave, and how far each was taken in."""
    return "sync/"


def parse_peer_tile_id(key: str) -> TileId | None:
    """Whose state another box gave, from its key; None for what is no tile's state."""
    parts = key.removeprefix(format_sync_prefix()).split("/")
    if parts[0] != "tiles":
        return None
    z, x, y = map(int, parts[2:5])
    return TileId(z=z, x=x, y=y)


def format_peer_tile_key(log: str, seq: int, mosaic_id: str, tile_id: TileId, digest: str) -> str:
    """A base tile's state as another box gave it: line `seq` of its log `log` (a `derive_log_id`), joined
    into the live revision of a mosaic here (`docs/decisions/0021-sync.md`)."""
    return f"{format_peer_tile_prefix(mosaic_id, tile_id)}{log}-{seq:020d}-{digest}.tile"


def format_peer_tile_prefix(mosaic_id: str, tile_id: TileId) -> str:
    """States of one tile that other boxes gave."""
    return f"{format_peer_mosaic_prefix(mosaic_id)}{tile_id.z}/{tile_id.x}/{tile_id.y}/"


def format_peer_mosaic_prefix(mosaic_id: str) -> str:
    """All states that other boxes gave of a mosaic's tiles."""
    return f"{format_sync_prefix()}tiles/{mosaic_id}/"


def parse_peer_tile_key(key: str) -> tuple[str, int, str]:
    """(`derive_log_id`, seq, content hash) of a state that another box gave, from its key."""
    log, seq, digest = key.rpartition("/")[2].removesuffix(".tile").split("-")
    return log, int(seq), digest


def format_peer_placements_key(log: str, until: int) -> str:
    """How frames were laid in the states that came of a log with its lines up to `until`."""
    return f"{format_peer_placements_prefix(log)}{until:020d}.json.zst"


def format_peer_placements_prefix(log: str | None = None) -> str:
    """All that one log's givers said of how frames were laid, or all logs'."""
    return f"{format_sync_prefix()}laid/" + (f"{log}/" if log else "")


def parse_peer_placements_seq(key: str) -> int:
    """The last line that a key of `format_peer_placements_key` speaks of."""
    return int(key.rpartition("/")[2].split(".")[0])


def format_preview_key(mosaic_id: str, log: str, tile_id: TileId, digest: str) -> str:
    """That a log gave an early view of a parent of a mosaic here; digest: of the tile as the giver has it."""
    return f"{format_preview_prefix(mosaic_id)}{log}/{tile_id.z}/{tile_id.x}/{tile_id.y}-{digest}"


def format_preview_prefix(mosaic_id: str | None = None) -> str:
    """All marks of early views, or those of a mosaic here."""
    return f"{format_sync_prefix()}early/" + (f"{mosaic_id}/" if mosaic_id else "")


def parse_preview_key(key: str) -> tuple[str, TileId, str]:
    """(`derive_log_id`, tile, content hash at the giver) from a key of `format_preview_key`."""
    *_, log, z, x, last = key.split("/")
    y, _, digest = last.partition("-")
    return log, TileId(z=int(z), x=int(x), y=int(y)), digest


def format_deferred_tile_key(mosaic_id: str, tile_id: TileId) -> str:
    """That a base tile of a mosaic here was not whole when it was to be handed on."""
    return f"{format_deferred_tile_prefix()}{mosaic_id}/{tile_id.z}/{tile_id.x}/{tile_id.y}"


def format_deferred_tile_prefix() -> str:
    """All that is owed to other boxes."""
    return f"{format_sync_prefix()}owed/"


def parse_deferred_tile_key(key: str) -> tuple[str, TileId]:
    """(mosaic, tile) from a key of `owed`."""
    *_, mosaic_id, z, x, y = key.split("/")
    return mosaic_id, TileId(z=int(z), x=int(x), y=int(y))


def format_peer_records_key(origin: str, sha256: str) -> str:
    """What a box said of one of its flights, by the SHA-256 of it: it is not sent again while it holds."""
    return f"{format_peer_records_prefix(origin)}{sha256}"


def format_peer_records_prefix(origin: str | None = None) -> str:
    """All that a box said of its flights; that all boxes said."""
    return f"{format_sync_prefix()}records/" + (f"{derive_node_id(origin)}/" if origin is not None else "")


def format_cursor_key(origin: str, mosaic_id: str, seq: int, history: str) -> str:
    """That a box's log of one of its mosaics was taken in up to `seq`, where its digest is `history`."""
    return f"{format_cursor_prefix(origin)}{mosaic_id}/{seq:020d}-{history}"


def format_cursor_prefix(origin: str | None = None) -> str:
    """All that was taken in of a box; of all boxes."""
    return f"{format_sync_prefix()}taken/" + (f"{derive_node_id(origin)}/" if origin is not None else "")


def parse_cursor_log_id(key: str) -> str:
    """The `derive_log_id` of the log that a key of `taken` speaks of."""
    _, _, box, mosaic_id, _ = key.split("/")
    return _short_id(f"{box}/{mosaic_id}")


def parse_cursor_key(key: str) -> tuple[str, int, str]:
    """(mosaic_id, seq, digest of the log up to it) from a key of `taken`."""
    _, mosaic_id, last = key.rsplit("/", 2)
    seq, _, history = last.partition("-")
    return mosaic_id, int(seq), history


def format_node_account_key(origin: str) -> str:
    """Which account speaks for a box over a line."""
    return f"{format_node_account_prefix()}boxes/{derive_node_id(origin)}"


def format_account_node_key(account: str) -> str:
    """Which box an account speaks for over a line."""
    return f"{format_node_account_prefix()}accounts/{_short_id(account)}"


def format_node_account_prefix() -> str:
    """All that says who speaks for which box; each holds a name."""
    return f"{format_sync_prefix()}speakers/"


def format_reference_key(peer: str, kind: str, name: str, number: int, sha256: str) -> str:
    """That a thing which a server holds in common was taken in here; `number` grows with each time."""
    return f"{format_reference_prefix(peer)}{kind}/{derive_reference_id(name)}/{number:020d}-{sha256}"


def format_reference_prefix(peer: str | None = None) -> str:
    """All that was taken in of what a server holds in common; of what all servers do."""
    return f"{format_sync_prefix()}had/" + (f"{derive_node_id(peer)}/" if peer is not None else "")


def list_cursor_prefixes() -> tuple[str, str]:
    """All that says how far something is on record here: written after what it speaks of."""
    return format_cursor_prefix(), format_reference_prefix()


def derive_reference_id(name: str) -> str:
    """A thing's name as a part of keys, 16 hex digits."""
    return _short_id(name)


def parse_reference_key(key: str) -> tuple[str, str, int, str]:
    """(kind, `derive_reference_id`, number, SHA-256) from a key of `had`."""
    _, kind, name, last = key.rsplit("/", 3)
    number, _, sha256 = last.partition("-")
    return kind, name, int(number), sha256


def derive_node_id(origin: str) -> str:
    """A box's name as a part of keys, 16 hex digits: names may hold what no key can."""
    return _short_id(origin)


def derive_log_id(origin: str, mosaic_id: str) -> str:
    """The log of one of a box's mosaics, 16 hex digits: two of them may go into one mosaic here."""
    return _short_id(f"{derive_node_id(origin)}/{mosaic_id}")


def format_probe_key(name: str) -> str:
    """A key that holds nothing of worth: written and removed to see whether the store works."""
    return f"probe/{name}"


def format_cluster_run_key(flight_id: str, run: str, name: str = "") -> str:
    """What one run over a cluster hands its workers, and they hand back; without a name the prefix of all of
    it. It can be thrown away whenever the run is not under way."""
    return f"{format_cluster_run_prefix(flight_id)}{run}/{name}"


def format_cluster_run_prefix(flight_id: str) -> str:
    """All that runs over a cluster left of a flight."""
    return f"cluster/{flight_id}/"


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
        or len(prefix.encode()) > MAX_KEY_BYTES
        or _FORBIDDEN.search(prefix)
        or any(s in ("", ".", "..") for s in prefix.split("/")[:-1])
    ):
        raise ValueError(f"{prefix!r} begins no store key")


def _short_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
