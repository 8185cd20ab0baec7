"""Manifest of an exchange: its objects, and the log ranges that it covers.

As bytes it is canonical JSON (sorted keys, no spaces, UTF-8) without any time: the same state and the
same cursor give the same bytes, so its SHA-256 names the exchange. Format: docs/formats/bundle.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flycam.errors import SourceUnreadable
from flycam.frame.payload_decoding import parse_bounded_json
from flycam.geometry.grid import MAX_ZOOM, TileId
from flycam.messages import _
from flycam.sync.log_digest import DIGEST_PREFIX_DIGITS
from flycam.sync.name_checks import require_hex_digits, require_key_segment, require_text

FORMAT, FORMAT_WITH_MASKS = 1, 2
"""The second is of manifests that only nodes that apply redactions may read: older ones refuse it."""
_MAX_SEQ = (1 << 63) - 1
_MAX_VALUES = 12_000_000  # some million tiles

LogCursor = Mapping[str, int]
"""Last imported line of each mosaic's log; mosaics without an entry: none."""


class ObjectKind(StrEnum):
    """Kind of an object, in the order in which kinds are sent."""

    RECORDS = "records"
    CHANGE = "change"
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

    box                  node that sends it
    log_ranges           by mosaic
    items                in the order they are sent
    known_records        SHA-256 of records that an earlier exchange brought and that hold for this one too
    unfinished_mosaics   mosaics whose logs go on beyond this exchange
    honours_redactions   whether the sender has redactions, which the reader must apply
    """

    box: str
    log_ranges: Mapping[str, LogRange] = field(default_factory=dict)
    items: tuple[ManifestItem, ...] = ()
    known_records: tuple[str, ...] = ()
    unfinished_mosaics: frozenset[str] = frozenset()
    honours_redactions: bool = False

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
        "format": FORMAT_WITH_MASKS if manifest.honours_redactions else FORMAT,
        "box": manifest.box,
        "stretches": {
            mosaic_id: [one.since, one.until, one.since_digest, one.until_digest, one.marks]
            for mosaic_id, one in manifest.log_ranges.items()
        },
        "items": [_encode_item(item) for item in manifest.items],
    }
    if manifest.known_records:
        values["known"] = list(manifest.known_records)
    if manifest.unfinished_mosaics:
        values["unfinished"] = sorted(manifest.unfinished_mosaics)
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode_manifest(data: bytes, place: str) -> ExchangeManifest:
    """Decode a manifest.

    Raises SourceUnreadable, naming `place` (the file), for any bytes that are not a manifest of this
    format.
    """
    try:
        values = parse_bounded_json(data, _MAX_VALUES)
        version = values["format"]
        if version not in (FORMAT, FORMAT_WITH_MASKS):
            raise SourceUnreadable(
                _(
                    "{place}: made by another version of flycam (format {version!r}, this one "
                    "reads up to {format_with_masks}); bring both boxes to the same version",
                    place=place,
                    version=version,
                    format_with_masks=FORMAT_WITH_MASKS,
                )
            )
        return ExchangeManifest(
            box=require_text(values["box"]),
            log_ranges={
                require_key_segment(mosaic_id): _parse_log_range(*one)
                for mosaic_id, one in values["stretches"].items()
            },
            items=tuple(_parse_item(one) for one in values["items"]),
            known_records=tuple(require_hex_digits(one, 64) for one in values.get("known", ())),
            unfinished_mosaics=frozenset(require_key_segment(one) for one in values.get("unfinished", ())),
            honours_redactions=version == FORMAT_WITH_MASKS,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceUnreadable(
            _(
                "{place}: its list of contents does not read ({error}); write it again on the "
                "box it comes from",
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
    if kind is ObjectKind.CHANGE:
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
