"""Manifest of an exchange, and validation of what a peer announces.

The manifest states the objects of an exchange, and the log ranges that it covers.

As bytes it is canonical JSON (sorted keys, no spaces, UTF-8) without any time: the same state and the same
cursor give the same bytes, so its SHA-256 names the exchange. Format: docs/formats/bundle.md.

Versions, log digests, names and lists of missing objects from other nodes are parsed and checked here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flycam.errors import SourceUnreadable, StoreConflict
from flycam.geometry.grid import MAX_ZOOM, TileId
from flycam.messages import _
from flycam.model.frame import TileRecord
from flycam.mosaic.tiles.peers import PeerCursor
from flycam.storage.files import parse_bounded_json

# -- Version of what nodes say to each other, over a line and on a stick ---------------------------


EXCHANGE_FORMAT = 1


def require_exchange_format(version: Any, place: str) -> None:
    """Raise SourceUnreadable, naming `place`, unless this is the version read here."""
    if version != EXCHANGE_FORMAT:
        raise SourceUnreadable(
            _(
                "{place}: what comes is in format {version!r:.20}, and format "
                "{exchange_format} is read here; bring both nodes to the same version",
                place=place,
                version=version,
                exchange_format=EXCHANGE_FORMAT,
            )
        )


# -- Chained digest of a log -----------------------------------------------------------------------
#
# It detects differing logs of one name, which are compared at a line that both have.


EMPTY_DIGEST = "0" * 32
"""The digest of a log before its first line."""


DIGEST_PREFIX_DIGITS = 8
"""Digits sent of the digests of lines inside a log range: enough, for logs differ by accident."""


def iterate_digests(digest: str, lines: Iterable[TileRecord]) -> Iterator[str]:
    """Yield the digest after each of these further lines, 32 hex digits.

    Each covers the digest before it.
    """
    for line in lines:
        text = f"{digest} {line.seq} {line.revision} {line.tile_id} {line.epoch} {line.content_hash}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        yield digest


def require_same_log(box: str, mosaic_id: str, seq: int, own_digest: str, peer_digest: str) -> None:
    """Raise StoreConflict, with the remedy, unless both logs agree up to `seq`.

    peer_digest  the digest, or as many of its first digits as are sent
    """
    if not own_digest.startswith(peer_digest):
        raise _build_log_conflict(box, mosaic_id, seq)


def require_log_covers(box: str, mosaic_id: str, seq: int, until: int) -> None:
    """Raise StoreConflict, with the remedy, if a peer imported lines beyond the log."""
    if seq > until:
        raise _build_log_conflict(box, mosaic_id, seq)


def _build_log_conflict(box: str, mosaic_id: str, seq: int) -> StoreConflict:
    # a cloned node is detected by either check, whichever log grew longer: cause and remedy are the same
    return StoreConflict(
        _(
            "{box}: its log of {mosaic_id} up to line {seq} is not the one taken in "
            "before: two nodes carry this name (a copied disk), or this one went back to "
            "an older backup; give it a name of its own with FLYCAM_BOX and send again (a "
            "bundle: with --all)",
            box=box,
            mosaic_id=mosaic_id,
            seq=seq,
        )
    )


# -- Validation of another node's names and texts --------------------------------------------------
#
# They become parts of keys, paths and logs of this node.


_HEX = frozenset("0123456789abcdef")
# of the name of a node, a flight or a feed item
_MAX_LETTERS = 500
# a key segment holds 255 bytes, and some hold more than the name
_MAX_BYTES = 200


def require_text(value: Any, max_letters: int = _MAX_LETTERS) -> str:
    """Return the value; TypeError, ValueError unless it is text fit for databases.

    At most `max_letters` characters.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    if len(value) > max_letters or "\0" in value:
        raise ValueError(f"{value!r:.80} is no text of {max_letters} letters at most")
    # neither databases nor hashes take lone surrogates
    value.encode()
    return value


def require_key_segment(value: Any) -> str:
    """Return a name that is safe as one segment of a key; ValueError, TypeError.

    It cannot leave its folder.
    """
    name = require_text(value)
    if not name or name[0] == "." or not all(c.isalnum() or c in "-_." for c in name):
        raise ValueError(f"{name!r:.80} is no id")
    if len(name.encode()) > _MAX_BYTES:
        raise ValueError(f"{name!r:.80} is too long for an id")
    return name


def require_hex_digits(value: Any, digits: int | None = None) -> str:
    """Return a hash in hex; ValueError, TypeError.

    digits  its length; None: any that an id has
    """
    name = require_text(value, _MAX_BYTES if digits is None else digits)
    if not name or set(name) - _HEX or digits not in (None, len(name)):
        raise ValueError(f"{name!r:.80} is no hash")
    return name


# -- Manifest: objects, and the log ranges that they cover -----------------------------------------


_MAX_SEQ = (1 << 63) - 1
_MAX_VALUES = 12_000_000  # some million tiles

LogCursor = Mapping[str, int]
"""Last imported line of each mosaic's log; mosaics without an entry: none."""


class ObjectKind(StrEnum):
    """Kind of an object, in the order in which kinds are sent."""

    RECORDS = "records"
    RECORD_DELTA = "change"
    VIEW = "view"
    TILE = "tile"
    TERRAIN = "terrain"
    ORIGINAL = "original"


@dataclass(frozen=True, kw_only=True, slots=True)
class TileLogEntry:
    """The log line whose state, or preview, an object is."""

    mosaic_id: str
    tile_id: TileId
    seq: int
    content_hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestItem:
    """One object.

    sha256      hex, of the bytes as they are sent; size_bytes: their number
    name        id of a terrain, SHA-256 of an original or of the records that a delta expands to
    tile        of a tile or preview
    """

    kind: ObjectKind
    sha256: str
    size_bytes: int
    name: str = ""
    tile: TileLogEntry | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRange:
    """Lines since+1..until of one mosaic's log, with the digest up to either end.

    marks  the first DIGEST_PREFIX_DIGITS digits of the digest after each of the lines, concatenated
    """

    since: int
    until: int
    since_digest: str
    until_digest: str
    marks: str

    def digest_at(self, seq: int) -> str | None:
        """Return the digest up to a line, or its digits sent; None outside the range."""
        if seq in (self.since, self.until):
            return self.since_digest if seq == self.since else self.until_digest
        if not self.since < seq < self.until:
            return None
        at = (seq - self.since - 1) * DIGEST_PREFIX_DIGITS
        return self.marks[at : at + DIGEST_PREFIX_DIGITS]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeManifest:
    """Contents of one exchange.

    box                 node that sends it
    log_ranges          by mosaic
    items               in the order they are sent
    known_records       SHA-256 of records that an earlier exchange brought and that hold for this one too
    unfinished_mosaics  mosaics whose logs go on beyond this exchange
    """

    box: str
    log_ranges: Mapping[str, LogRange] = field(default_factory=dict)
    items: tuple[ManifestItem, ...] = ()
    known_records: tuple[str, ...] = ()
    unfinished_mosaics: frozenset[str] = frozenset()

    @property
    def size_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(item.size_bytes for item in self.items)

    @property
    def until(self) -> dict[str, int]:
        """The cursor of a node that has imported this."""
        return {mosaic_id: stretch.until for mosaic_id, stretch in self.log_ranges.items()}


def encode_manifest(manifest: ExchangeManifest) -> bytes:
    """Encode a manifest as canonical bytes."""
    values: dict[str, Any] = {
        "format": EXCHANGE_FORMAT,
        "box": manifest.box,
        "stretches": {
            mosaic_id: [one.since, one.until, one.since_digest, one.until_digest, one.marks]
            for mosaic_id, one in manifest.log_ranges.items()
        },
        "items": [_encode_item(item) for item in manifest.items],
        "known": list(manifest.known_records),
        "unfinished": sorted(manifest.unfinished_mosaics),
    }
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode_manifest(data: bytes, place: str) -> ExchangeManifest:
    """Decode a manifest.

    Raises SourceUnreadable, naming `place` (the file), for any bytes that are not a manifest of this
    format.
    """
    try:
        values = parse_bounded_json(data, _MAX_VALUES)
        require_exchange_format(values["format"], place)
        return ExchangeManifest(
            box=require_text(values["box"]),
            log_ranges={
                require_key_segment(mosaic_id): _parse_log_range(*one)
                for mosaic_id, one in values["stretches"].items()
            },
            items=tuple(_parse_item(one) for one in values["items"]),
            known_records=tuple(require_hex_digits(one, 64) for one in values["known"]),
            unfinished_mosaics=frozenset(require_key_segment(one) for one in values["unfinished"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceUnreadable(
            _(
                "{place}: its list of contents does not read ({error}); write it again on the "
                "node it comes from",
                place=place,
                error=error,
            )
        ) from error


def compute_manifest_id(data: bytes) -> str:
    """Return the hex SHA-256 of a manifest's bytes: the id of the exchange."""
    return hashlib.sha256(data).hexdigest()


def _encode_item(item: ManifestItem) -> dict[str, Any]:
    values: dict[str, Any] = {"kind": item.kind.value, "sha256": item.sha256, "size": item.size_bytes}
    if item.name:
        values["name"] = item.name
    if item.tile is not None:
        tile, line = item.tile.tile_id, item.tile
        values["tile"] = [line.mosaic_id, tile.z, tile.x, tile.y, line.seq, line.content_hash]
    return values


def _parse_item(values: Mapping[str, Any]) -> ManifestItem:
    kind = ObjectKind(values["kind"])
    tile = _parse_tile_entry(*values["tile"]) if kind in (ObjectKind.TILE, ObjectKind.VIEW) else None
    name = require_text(values.get("name", ""))
    if kind is ObjectKind.ORIGINAL:
        require_hex_digits(name)
    if kind is ObjectKind.RECORD_DELTA:
        require_hex_digits(name, 64)
    if kind is ObjectKind.TERRAIN:
        require_key_segment(name)
    return ManifestItem(
        kind=kind,
        sha256=require_hex_digits(values["sha256"], 64),
        size_bytes=_parse_count(values["size"]),
        name=name,
        tile=tile,
    )


def _parse_tile_entry(mosaic_id: Any, z: Any, x: Any, y: Any, seq: Any, content_hash: Any) -> TileLogEntry:
    tile_id = TileId(z=_parse_count(z), x=_parse_count(x), y=_parse_count(y))
    if tile_id.z > MAX_ZOOM or max(tile_id.x, tile_id.y) >> tile_id.z:
        raise ValueError(f"{tile_id} is no tile")
    return TileLogEntry(
        mosaic_id=require_key_segment(mosaic_id),
        tile_id=tile_id,
        seq=_parse_count(seq),
        content_hash=require_hex_digits(content_hash, 32),
    )


def _parse_log_range(since: Any, until: Any, since_digest: Any, until_digest: Any, marks: Any) -> LogRange:
    lines = _parse_count(until) - _parse_count(since)
    if lines < 0:
        raise ValueError(f"a log from {since} to {until}")
    return LogRange(
        since=since,
        until=until,
        since_digest=require_hex_digits(since_digest, 32),
        until_digest=require_hex_digits(until_digest, 32),
        marks=require_hex_digits(marks, lines * DIGEST_PREFIX_DIGITS) if lines else "",
    )


def _parse_count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_SEQ:
        raise ValueError(f"{value!r} is no count")
    return value


# -- Objects that a peer lacks, as it answers ------------------------------------------------------


INVENTORY_KEYS = {ObjectKind.TERRAIN: "terrain", ObjectKind.ORIGINAL: "originals"}
"""Kinds that are queried when due, and their JSON key in query and answer. A flight from a video has a
terrain for each frame.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingObjects:
    """Objects that the peer lacks, of those about which it was queried.

    box         the peer
    cursors     how far it imported each log
    views       first DIGEST_PREFIX_DIGITS digits of the content hashes of tiles whose previews it has
    heads       those of live mosaics that it lacks, for each mosaic about which it was queried
    feed_state  of the reference data that it has for this node
    """

    box: str = ""
    cursors: Mapping[str, PeerCursor]
    records: Collection[str] = ()
    terrain: Iterable[str] = ()
    originals: Iterable[str] = ()
    views: Collection[str] = ()
    heads: Mapping[str, Collection[str]] = field(default_factory=dict)
    feed_state: str = ""

    def list_names(self, kind: ObjectKind) -> Iterable[str]:
        """Return the names of a kind that is queried when due."""
        return self.terrain if kind is ObjectKind.TERRAIN else self.originals


def parse_missing_objects(answer: Mapping[str, Any], place: str) -> MissingObjects:
    """Parse a peer's answer; SourceUnreadable."""
    try:
        return MissingObjects(
            box=require_text(answer["box"]),
            cursors={
                require_key_segment(one): PeerCursor(seq=int(seq), digest=require_hex_digits(digest))
                for one, (seq, digest) in answer["taken"].items()
            },
            records=frozenset(map(require_text, answer["records"])),
            terrain=tuple(map(require_key_segment, answer["terrain"])),
            originals=tuple(map(require_hex_digits, answer["originals"])),
            views=frozenset(map(require_text, answer["views"])),
            heads={
                require_text(one): frozenset(map(require_text, some)) for one, some in answer["heads"].items()
            },
            feed_state=require_text(answer["common"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceUnreadable(
            _(
                "{place}: its answer does not read ({error}); bring both nodes to the same version",
                place=place,
                error=error,
            )
        ) from error
