"""What an exchange brings: what is refused of it, what is left out, what it leaves room for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flycam.errors import DiskFull
from flycam.geometry.terrain import TerrainGrid, make_flat_terrain
from flycam.mosaic.terrain_codec import assign_content_id, encode_terrain
from flycam.storage import keys
from flycam.storage.files import RESERVED_BYTES
from flycam.storage.stores import MemoryStore
from flycam.sync.bundle import write_parts
from flycam.sync.exchange import ExchangeManifest, ExchangeOffer
from flycam.sync.records import read_flight_records
from flycam.sync.server import import_step
from flycam.sync.step_planner import build_terrain_item, iterate_original_items
from tests.suites.catalog_suite import photo_of
from tests.sync.boxes import Box, new_box
from tests.sync.seals import sealed


def test_a_step_with_a_photo_that_no_flight_names_is_taken_in(tmp_path: Path) -> None:
    """As a box of before sends those of a flight that stays apart."""
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    name = hashlib.sha256(photo_of(0)).hexdigest()
    box.workspace.store.put(keys.format_original_key(name), photo_of(0))
    (items,) = [
        list(iterate_original_items(box.workspace, read_flight_records(box.catalog, flight)))
        for flight in box.catalog.flights.flights()
    ]
    manifest = ExchangeManifest(box="field", items=tuple(items))
    step = ExchangeOffer(manifest, {}, box.workspace.store)
    (tmp_path / "step").write_bytes(b"".join(step.blocks(0)))
    assert import_step(province.workspace, tmp_path / "step", province).unreferenced == (name,)
    assert not province.workspace.store.exists(keys.format_original_key(name))


def bring(terrain: TerrainGrid, folder: Path, account: str, to: Box) -> None:
    """One terrain and no flight, by a stick, or over a line where an account brings it."""
    data = encode_terrain(terrain)
    item = build_terrain_item(terrain.dem_id, data)
    evil = ExchangeOffer(ExchangeManifest(box="evil", items=(item,)), {item.sha256: data}, MemoryStore())
    path = folder / "brought"
    if account:
        path.write_bytes(b"".join(evil.blocks()))
        import_step(to.workspace, path, to, account)
        return
    write_parts(path, sealed(next(evil.blocks())), evil.blocks, [evil.size_bytes])
    to.read(path)


@pytest.mark.parametrize("account", ["", "evil-box"])
def test_terrain_that_is_recorded_here_stays_and_others_posts_are_audited(
    tmp_path: Path, account: str
) -> None:
    province = new_box(tmp_path, "province")
    ours = assign_content_id(make_flat_terrain(100.0, "EPSG:32648", "LOCAL", (0.0, 0.0, 90.0, 90.0)))
    other = replace(ours, heights_m=ours.heights_m + np.float32(500.0))
    key, store = keys.format_terrain_key(ours.dem_id), province.workspace.store
    packed = encode_terrain(ours)
    store.put(key, packed)
    bring(ours, tmp_path, account, province)
    before = len(province.catalog.audit.lines())
    assert before == (0 if account else 1), "the key of the stick's box"
    bring(other, tmp_path, account, province)
    assert store.get(key) == packed
    (line,) = province.catalog.audit.lines(since=before)
    assert (line.who, line.subject) == (account or "evil", ours.dem_id)


@pytest.mark.parametrize("harmed", [b"FCTG1", None])
def test_terrain_that_is_lost_or_damaged_here_is_made_whole(tmp_path: Path, harmed: bytes | None) -> None:
    province = new_box(tmp_path, "province")
    ground = assign_content_id(make_flat_terrain(100.0, "EPSG:32648", "LOCAL", (0.0, 0.0, 90.0, 90.0)))
    if harmed is not None:
        province.workspace.store.put(keys.format_terrain_key(ground.dem_id), harmed)
    bring(ground, tmp_path, "", province)
    assert province.workspace.store.get(keys.format_terrain_key(ground.dem_id)) == encode_terrain(ground)
    assert [line.what for line in province.catalog.audit.lines()] == ["box key"]


def test_what_comes_leaves_to_the_catalogue_what_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    path = box.write(tmp_path)
    monkeypatch.setattr(type(province.workspace.store), "free_bytes", lambda _store: RESERVED_BYTES)
    with pytest.raises(DiskFull, match="catalogue"):
        province.read(path)
    assert province.tiles() == {}
    monkeypatch.setattr(type(province.workspace.store), "free_bytes", lambda _store: None)
    province.read(path)
    assert province.tiles() == box.tiles()
