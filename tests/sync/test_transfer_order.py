from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.grid import TileId
from flycam.model.frame import TileRecord
from flycam.sync.manifest import EMPTY_DIGEST, ManifestItem, ObjectKind, TileLogEntry, iterate_digests
from flycam.sync.offer import select_last_lines, sort_items
from tests.sync.logs import logged

NEWEST = {"old": 1_000, "new": 2_000}


def tile(mosaic_id: str, z: int, seq: int, x: int = 0) -> ManifestItem:
    line = TileLogEntry(
        mosaic_id=mosaic_id, tile_id=TileId(z=z, x=x, y=0), seq=seq, content_hash=f"{seq:032x}"
    )
    return ManifestItem(kind=ObjectKind.TILE, sha256=f"{seq:064x}", size_bytes=seq, tile=line)


def other(kind: ObjectKind, number: int) -> ManifestItem:
    return ManifestItem(kind=kind, sha256=f"{number:064x}", size_bytes=1, name=f"{number:x}")


ITEMS = [
    *(
        other(kind, number)
        for kind in (ObjectKind.RECORDS, ObjectKind.TERRAIN, ObjectKind.ORIGINAL)
        for number in (1, 2)
    ),
    *(tile(mosaic, z, 10 * z + x + 1, x) for mosaic in NEWEST for z in (3, 4) for x in (0, 1)),
]


@given(st.lists(st.sampled_from(ITEMS)).flatmap(lambda more: st.permutations([*ITEMS, *more])))
def test_the_order_does_not_depend_on_how_items_come_or_how_often(items: list[ManifestItem]) -> None:
    assert sort_items(items, NEWEST) == sort_items(ITEMS, NEWEST)


def test_records_then_tiles_newest_and_coarsest_first_then_terrain_then_originals() -> None:
    ordered = sort_items(ITEMS, NEWEST)
    assert [item.kind for item in ordered] == sorted(
        (item.kind for item in ordered), key=list(ObjectKind).index
    )
    tiles = [(t.tile.mosaic_id, t.tile.tile_id.z, t.tile.seq) for t in ordered if t.tile is not None]
    assert tiles == [
        *(("new", z, seq) for z, seq in ((3, 32), (3, 31), (4, 42), (4, 41))),
        *(("old", z, seq) for z, seq in ((3, 32), (3, 31), (4, 42), (4, 41))),
    ]


@given(st.permutations([logged(seq, TileId(z=5, x=seq % 3, y=0)) for seq in range(1, 9)]))
def test_only_the_last_line_of_a_tile_is_due(lines: list[TileRecord]) -> None:
    assert {t.x: line.seq for t, line in select_last_lines([*lines, *lines]).items()} == {0: 6, 1: 7, 2: 8}


@given(st.integers(0, 8))
def test_a_log_has_the_same_digest_read_at_once_or_in_pieces(cut: int) -> None:
    lines = [logged(seq, TileId(z=5, x=seq, y=0)) for seq in range(1, 9)]
    at_once = [EMPTY_DIGEST, *iterate_digests(EMPTY_DIGEST, lines)]
    assert [*at_once[: cut + 1], *iterate_digests(at_once[cut], lines[cut:])] == at_once


@given(st.integers(0, 7))
def test_a_line_that_differs_changes_every_digest_after_it(at: int) -> None:
    lines = [logged(seq, TileId(z=5, x=seq, y=0)) for seq in range(1, 9)]
    forged = [*lines[:at], logged(at + 1, TileId(z=5, x=99, y=0)), *lines[at + 1 :]]
    ours, theirs = iterate_digests(EMPTY_DIGEST, lines), iterate_digests(EMPTY_DIGEST, forged)
    differ = [one != other for one, other in zip(ours, theirs, strict=True)]
    assert differ == [number >= at for number in range(8)]
