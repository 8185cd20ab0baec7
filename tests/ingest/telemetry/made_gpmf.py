"""Films with GPMF telemetry made by hand: an MP4 of one track, and payloads of nested triples."""

from __future__ import annotations

import struct
from collections.abc import Sequence

TYPES = {"L": "I", "l": "i", "S": "H", "s": "h", "f": "f", "J": "Q", "B": "B"}


def triple(key: str, kind: str, size: int, value: bytes) -> bytes:
    count = len(value) // size if size else 0
    return key.encode() + kind.encode() + struct.pack(">BH", size, count) + value + bytes(-len(value) % 4)


def nested(key: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return key.encode() + b"\0" + struct.pack(">BH", 4, len(body) // 4) + body


def numbers(key: str, kinds: str, rows: Sequence[Sequence[float]]) -> bytes:
    """Rows of one type ("l" * 5), or of several with their TYPE before them."""
    layout = ">" + "".join(TYPES[kind] for kind in kinds)
    value = b"".join(
        struct.pack(
            layout, *(one if kind == "f" else round(one) for kind, one in zip(kinds, row, strict=True))
        )
        for row in rows
    )
    size = struct.calcsize(layout)
    if len(set(kinds)) == 1:
        return triple(key, kinds[0], size, value)
    return triple("TYPE", "c", 1, kinds.encode()) + triple(key, "?", size, value)


def scale(*by: int) -> bytes:
    return numbers("SCAL", "l", [[one] for one in by])


def box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def table(kind: str, rows: Sequence[Sequence[int]], before: bytes = b"") -> bytes:
    body = b"".join(struct.pack(f">{len(row)}I", *row) for row in rows)
    return box(kind, bytes(4), before, struct.pack(">I", len(rows)), body)


def film(payloads: Sequence[bytes], created_1904_s: int = 0, per_chunk: int = 1) -> bytes:
    """An MP4 whose telemetry track has a payload each second."""
    start = box("ftyp", b"mp41", bytes(4))
    at, offsets = len(start) + 8, []
    for k, payload in enumerate(payloads):
        if k % per_chunk == 0:
            offsets.append([at])
        at += len(payload)
    tables = [
        box("stsd", bytes(4), struct.pack(">I", 1), struct.pack(">I4s", 16, b"gpmd"), bytes(8)),
        table("stts", [[len(payloads), 1000]]),
        table("stsc", [[1, per_chunk, 1]]),
        table("stsz", [[len(one)] for one in payloads], before=bytes(4)),
        table("stco", offsets),
    ]
    header = box("mdhd", bytes(4), bytes(8), struct.pack(">II", 1000, 1000 * len(payloads)), bytes(4))
    media = box("mdia", header, box("minf", box("stbl", *tables)))
    movie = box("mvhd", bytes(4), struct.pack(">II", created_1904_s, created_1904_s), bytes(88))
    other = box("trak", box("mdia", box("mdhd", bytes(24)), box("minf", box("stbl", box("stsd", bytes(24))))))
    return start + box("mdat", *payloads) + box("moov", movie, other, box("trak", media))
