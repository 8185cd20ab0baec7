"""What a house is said to hold while another box is still sending."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flycam.catalog.packs import Pack
from flycam.model.records import AuditEntry
from flycam.operations.inventory import Inventory, InventoryItem, InventoryKind, was_purged
from flycam.storage import keys
from flycam.sync.record_import import import_flight_records
from flycam.sync.records import read_flight_records
from tests.sync.boxes import Box, mosaic_of, new_box, record
from tests.sync.lines import Wire, sync


def named(box: Box) -> set[tuple[InventoryKind, str]]:
    holdings = Inventory(box.catalog, box.workspace.store, box.workspace.box)
    held = [one for part in holdings.list_parts() for one in holdings.list_items(part)]
    return {(one.kind, one.key) for one in held if one.kind in (InventoryKind.PHOTO, InventoryKind.TERRAIN)}


def test_a_flight_that_is_only_told_of_has_nothing_to_lose_yet(tmp_path: Path) -> None:
    """Its photos stay where they are unless they are asked for; a cut between its records, or the views
    of its coarse tiles, and its first tile is no loss of them."""
    field, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    field.lay({0, 1})
    import_flight_records(
        province.workspace, read_flight_records(field.catalog, field.catalog.flights.flight("f1")), "field"
    )
    assert named(province) == set()
    sync(field, Wire(province, tmp_path), metered=True)
    assert province.catalog.tiles.last_seq(mosaic_of("f1").mosaic_id) > 0
    assert named(province) == set(), "views of coarse tiles came ahead of the tiles"
    province.read(field.write(tmp_path))
    assert {kind for kind, _ in named(province)} == {InventoryKind.TERRAIN}


def test_a_flight_being_laid_here_is_held_to_all_of_its_photos(tmp_path: Path) -> None:
    field, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    field.lay({0, 1})
    import_flight_records(
        province.workspace, read_flight_records(field.catalog, field.catalog.flights.flight("f1")), "field"
    )
    one = keys.format_original_key(record(0).header.provenance.source_sha256)
    province.workspace.store.put(one, b"its bytes")
    assert (InventoryKind.PHOTO, one) in named(province)


def test_meeting_packs_are_held_while_they_have_a_file(tmp_path: Path) -> None:
    box = new_box(tmp_path, "province")
    asked = Pack(
        pack_id="0123456789abcdef", owner="Lan", flights=("f1",), language="vi", asked_ns=1, maker="p"
    )
    pack = box.catalog.packs.add(asked, TOLD)
    assert packs_held(box) == []
    box.catalog.packs.mark_made(replace(pack, sha256="ab" * 32), TOLD)
    (held,) = packs_held(box)
    assert (held.key, held.name) == (keys.format_pack_key(pack.pack_id, "ab" * 32), pack.pack_id)
    assert not was_purged(box.workspace, held), "it is lost"
    box.catalog.packs.mark_deleted(pack.pack_id, 3, TOLD)
    assert packs_held(box) == []
    assert was_purged(box.workspace, held)


TOLD = AuditEntry(who="Lan", what="pack", subject="f1", detail="", at_ns=1)


def packs_held(box: Box) -> list[InventoryItem]:
    holdings = Inventory(box.catalog, box.workspace.store, box.workspace.box)
    return [
        one
        for part in holdings.list_parts()
        for one in holdings.list_items(part)
        if one.kind is InventoryKind.PACK
    ]
