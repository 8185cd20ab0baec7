"""A PMTiles archive is read back, by the letter of the specification, to the very tiles that went in."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flycam.geodata import pmtiles
from flycam.geodata.pmtiles import compute_archive_ids, sort_by_archive_id, write_pmtiles
from flycam.geometry.grid import TileId

BOUNDS = (104.79, 21.89, 104.81, 21.91)


def _tile(z: int, x: int, y: int) -> TileId:
    return TileId(z=z, x=x, y=y)


@pytest.mark.parametrize(
    ("tile", "number"),
    [
        (_tile(0, 0, 0), 0),
        (_tile(1, 0, 0), 1),
        (_tile(1, 0, 1), 2),
        (_tile(1, 1, 1), 3),
        (_tile(1, 1, 0), 4),
        (_tile(2, 0, 0), 5),
        (_tile(12, 3423, 1763), 19078479),
    ],
)
def test_numbers_are_those_of_the_specification(tile: TileId, number: int) -> None:
    assert compute_archive_ids([tile]).tolist() == [number]


def _numbers(packed: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in gzip.decompress(packed):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _entries(packed: bytes) -> list[tuple[int, int, int, int]]:
    """(first, run, length, offset)."""
    numbers = list(_numbers(packed))
    count, columns = numbers[0], np.array(numbers[1:]).reshape(4, -1)
    assert columns.shape[1] == count
    first = np.cumsum(columns[0])
    offsets: list[int] = []
    for place, value in enumerate(columns[3].tolist()):
        offsets.append(value - 1 if value else offsets[-1] + int(columns[2][place - 1]))
    return list(zip(first.tolist(), columns[1].tolist(), columns[2].tolist(), offsets, strict=True))


def _read(path: Path) -> tuple[dict[int, bytes], dict[str, object], tuple[int, ...]]:
    data = path.read_bytes()
    assert data[:8] == b"PMTiles\x03"
    places = struct.unpack_from("<11Q", data, 8)
    root, root_length, about, about_length, leaves, _, tiles = places[:7]
    assert root + root_length <= 16_384
    found: dict[int, bytes] = {}
    entries = _entries(data[root : root + root_length])
    for _, run, length, offset in list(entries):
        if run == 0:
            entries += _entries(data[leaves + offset : leaves + offset + length])
    for first, run, length, offset in entries:
        for step in range(run):
            found[first + step] = data[tiles + offset : tiles + offset + length]
    described = json.loads(gzip.decompress(data[about : about + about_length]))
    return found, described, (*places[8:], *data[96:102], *struct.unpack_from("<4iB2i", data, 102))


def test_what_went_in_is_read_back(tmp_path: Path) -> None:
    tiles = sort_by_archive_id([_tile(18, 207_000 + k % 40, 115_000 + k // 40) for k in range(800)])
    given_bytes = {tile: b"same" if tile.x % 3 else f"{tile}".encode() for tile in tiles}
    path = tmp_path / "map.pmtiles"
    written = write_pmtiles(path, given_bytes.items(), bounds_lonlat_deg=BOUNDS, metadata={"name": "Nậm Lúc"})
    found, described, header = _read(path)
    assert written == 800 == len(found)
    assert found == dict(zip(compute_archive_ids(tiles).tolist(), given_bytes.values(), strict=True))
    assert described == {"name": "Nậm Lúc"}
    addressed, entries, contents = header[:3]
    assert addressed == 800
    assert contents == len(set(given_bytes.values())) < entries < 800
    assert header[3:9] == (1, 2, 1, pmtiles.TILE_TYPE_WEBP, 18, 18)
    assert header[9:13] == (1047900000, 218900000, 1048100000, 219100000)


def test_a_large_archive_has_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pmtiles, "_LEAF_ENTRIES", 16)
    rng = np.random.default_rng(5)
    places = rng.choice(1 << 20, size=3_000, replace=False)
    tiles = sort_by_archive_id([_tile(20, int(p) & 1023, int(p) >> 10) for p in places])
    path = tmp_path / "map.pmtiles"
    pairs = [(tile, rng.bytes(1 + k % 50)) for k, tile in enumerate(tiles)]
    write_pmtiles(path, pairs, bounds_lonlat_deg=BOUNDS, metadata={})
    found, _, _ = _read(path)
    assert found == dict(zip(compute_archive_ids(tiles).tolist(), (data for _, data in pairs), strict=True))
