"""Metadata streams out of a transport stream: whole, bounded, whatever the bytes are."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from flycam.ingest.telemetry.klv_video import PesPacket, is_transport_stream, read_pes_packets
from tests.ingest.telemetry.made_streams import METADATA, PRIVATE, cells, packets, pes, picture, stream


def demuxed(data: bytes, folder: Path) -> list[PesPacket]:
    path = folder / "film.ts"
    path.write_bytes(data)
    return list(read_pes_packets(path))


def metadata(data: bytes, folder: Path) -> list[tuple[int, int | None, bytes]]:
    return [(one.pid, one.pts, one.payload) for one in demuxed(data, folder) if not one.is_picture]


def film(count: int = 12, size: int = 700) -> bytes:
    parts = []
    for k in range(count):
        parts += [(256, picture(3000 * k)), (257, pes(PRIVATE, bytes([k]) * size, 3000 * k + 7))]
    return stream(parts)


def test_metadata_come_whole_with_their_time_and_the_pictures_beside_them(tmp_path: Path) -> None:
    found = demuxed(film(), tmp_path)
    metadata_ = [one for one in found if not one.is_picture]
    assert [(one.pid, one.pts, one.payload) for one in metadata_] == [
        (257, 3000 * k + 7, bytes([k]) * 700) for k in range(12)
    ]
    assert [one.near_pts for one in metadata_] == [3000 * k for k in range(12)]
    assert [one.pts for one in found if one.is_picture] == [3000 * k for k in range(12)]


@pytest.mark.parametrize(("before", "after"), [(4, 0), (0, 16)])
def test_packets_with_a_time_before_or_parity_behind_are_read_alike(
    tmp_path: Path, before: int, after: int
) -> None:
    plain = film()
    spaced = b"".join(
        bytes(before) + plain[at : at + 188] + b"\x47" * after for at in range(0, len(plain), 188)
    )
    assert is_transport_stream(plain[:4096]) and is_transport_stream(spaced[:4096])
    assert metadata(spaced, tmp_path) == metadata(plain, tmp_path)


def test_what_lost_a_packet_is_left_out_and_what_came_twice_is_once(tmp_path: Path) -> None:
    whole = [packets(257, pes(PRIVATE, bytes([k]) * 700), 5 * k) for k in range(4)]
    del whole[1][2]
    whole[2].insert(1, whole[2][1])
    data = b"".join(b"".join(some) for some in whole) + b"".join(packets(256, picture(0)))
    assert [one[2][0] for one in metadata(data, tmp_path)] == [0, 2, 3]


def test_access_units_are_unwrapped(tmp_path: Path) -> None:
    key = b"\x06\x0e\x2b\x34"
    data = stream(
        [
            (300, pes(METADATA, cells([key + b"one", b"two"]), 90)),
            (300, pes(METADATA, key + b"bare", 180)),  # as some write it
            (256, picture(0)),
        ]
    )
    assert metadata(data, tmp_path) == [(300, 90, key + b"onetwo"), (300, 180, key + b"bare")]


def test_foreign_bytes_in_between_cost_no_more_than_they_hit(tmp_path: Path) -> None:
    plain = film(40)
    middle = len(plain) // 188 // 2 * 188
    damaged = b"\x47junk" * 9 + plain[:middle] + random.Random(1).randbytes(1000) + plain[middle:]
    assert len(metadata(damaged, tmp_path)) >= 38
