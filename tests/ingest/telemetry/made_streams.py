"""MPEG transport streams made by hand: PES packets of metadata and beginnings of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

VIDEO, PRIVATE, METADATA = 0xE0, 0xBD, 0xFC
MISP = b"MISPmicrosectime"


def pes(stream_id: int, payload: bytes, pts: int | None = None) -> bytes:
    """A PES packet; a picture's says no length."""
    stamp = b""
    if pts is not None:
        pts %= 1 << 33
        stamp = bytes([0x21 | pts >> 29 & 0x0E]) + ((pts >> 14 & 0xFFFE) | 1).to_bytes(2, "big")
        stamp += ((pts << 1 & 0xFFFE) | 1).to_bytes(2, "big")
    head = bytes([0x80, 0x80 if pts is not None else 0, len(stamp)]) + stamp
    length = 0 if stream_id == VIDEO else len(head) + len(payload)
    return b"\0\0\1" + bytes([stream_id]) + length.to_bytes(2, "big") + head + payload


def packets(pid: int, pes_packet: bytes, counter: int = 0) -> list[bytes]:
    """It in transport packets of 188 bytes, the last one stuffed."""
    made = []
    for k, at in enumerate(range(0, len(pes_packet), 184)):
        data = pes_packet[at : at + 184]
        stuffing = 184 - len(data)
        fill = (
            b""
            if not stuffing
            else bytes([stuffing - 1]) + (b"\0" + b"\xff" * (stuffing - 2))[: stuffing - 1]
        )
        made.append(
            bytes([0x47, (0x40 if k == 0 else 0) | pid >> 8, pid & 0xFF])
            + bytes([(0x30 if stuffing else 0x10) | (counter + k) % 16])
            + fill
            + data
        )
    return made


def stream(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """A transport stream of (PID, PES packet), each PID's packets counted."""
    counters: dict[int, int] = {}
    made: list[bytes] = []
    for pid, one in parts:
        some = packets(pid, one, counters.get(pid, 0))
        counters[pid] = counters.get(pid, 0) + len(some)
        made += some
    return b"".join(made)


def picture(pts: int, stamp_us: int | None = None, mark: bytes = MISP) -> bytes:
    """The PES packet of a picture, with the stamp of ST 0604 in it if there is one."""
    said = b""
    if stamp_us is not None:
        raw = stamp_us.to_bytes(8, "big")
        said = mark + b"\x1f" + raw[:2] + b"\xff" + raw[2:4] + b"\xff" + raw[4:6] + b"\xff" + raw[6:]
    return pes(VIDEO, b"\0\0\0\1\x09\xf0\0\0\0\1\x06\x05\x1c" + said + b"\x80\0\0\0\1\x41" + bytes(900), pts)


def cells(parts: Sequence[bytes]) -> bytes:
    """Metadata AU cells, each with a part."""
    return b"".join(bytes([0, k, 0xDF]) + len(part).to_bytes(2, "big") + part for k, part in enumerate(parts))
