"""Records of a flight as a delta to earlier ones, such as its new frames.

    zstd(JSON)   base    SHA-256 of the earlier records
                 pieces  the new records in order: [first, count] of the base's pieces, or text

Pieces are what is between `,"` in the records' canonical JSON: one value each. The receiver compresses
the records as `encode_flight_records` does, and compares them with the SHA-256 that names them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import zstandard

from flycam.errors import SourceUnreadable
from flycam.frame.payload_decoding import parse_bounded_json
from flycam.messages import _
from flycam.sync.decompression import decompress_bounded
from flycam.sync.flight_records import MAX_RECORDS_BYTES, MAX_RECORDS_VALUES, compress_records
from flycam.sync.name_checks import require_hex_digits

_BETWEEN = ',"'


def compute_record_delta(records: bytes, base: bytes) -> bytes:
    """Return the delta from `base` to `records`, both from `encode_flight_records`."""
    old, new = _pieces(base), _pieces(records)
    said = {"base": hashlib.sha256(base).hexdigest(), "pieces": list(_runs(new, old))}
    return compress_records(
        json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


def apply_record_delta(change: bytes, base_of: Callable[[str], bytes], place: str) -> bytes:
    """Return the records that a delta expands to, compressed.

    base_of  returns the earlier ones by SHA-256; what it raises is raised
    place    the file named in errors

    Raises SourceUnreadable for what is not a delta, or expands to more than records may be.
    """
    try:
        said = parse_bounded_json(decompress_bounded(change, MAX_RECORDS_BYTES), MAX_RECORDS_VALUES)
        old = _pieces(base_of(require_hex_digits(said["base"], 64)))
        return compress_records(_join_pieces(said["pieces"], old).encode())
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, zstandard.ZstdError) as error:
        raise SourceUnreadable(
            _(
                "{place}: what it says is new of a flight does not read ({name}: {error}); "
                "bring both boxes to the same version",
                place=place,
                name=type(error).__name__,
                error=error,
            )
        ) from error


def _pieces(records: bytes) -> list[str]:
    return decompress_bounded(records, MAX_RECORDS_BYTES).decode().split(_BETWEEN)


def _runs(new: list[str], old: list[str]) -> Iterator[list[int] | str]:
    """Yield the new pieces as runs of old ones, from their first occurrence, or text."""
    at = {piece: number for number, piece in reversed(list(enumerate(old)))}
    first = count = 0
    for piece in new:
        if count and first + count < len(old) and old[first + count] == piece:
            count += 1
            continue
        if count:
            yield [first, count]
        first, count = at.get(piece, 0), int(piece in at)
        if not count:
            yield piece
    if count:
        yield [first, count]


def _join_pieces(pieces: Any, old: list[str]) -> str:
    """Join the pieces; ValueError if too large, TypeError for other pieces."""
    made: list[str] = []
    size = 0
    for piece in pieces:
        if isinstance(piece, str):
            some = [piece]
        else:
            first, count = piece
            if not 0 <= first < first + count <= len(old):
                raise ValueError(f"pieces {first} to {first + count} of {len(old)}")
            some = old[first : first + count]
        size += sum(map(len, some)) + len(_BETWEEN) * len(some)
        if size > MAX_RECORDS_BYTES:
            raise ValueError(f"{size} letters")
        made += some
    return _BETWEEN.join(made)
