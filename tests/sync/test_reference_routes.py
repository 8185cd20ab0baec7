"""`/api/sync/common` over a real server: what a box's token may see comes, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flycam.http.client import ServerConnection
from flycam.model.access import Role
from flycam.model.flight import Classification
from flycam.originals import store_original
from flycam.storage import keys
from flycam.sync.client import Sender, TransferLimits
from flycam.sync.exchange_import import SyncApplyHooks
from flycam.sync.reference_client import FetchReport, ReferenceFetcher
from tests.geodata.hostile_rasters import counting_server, hostile_raster
from tests.serve.province import TOKENS, new_province, serving
from tests.sync.boxes import Box, new_box
from tests.sync.common_world import MASTS, furnish, standing
from tests.waiting import ENOUGH_S


@pytest.fixture
def province(tmp_path: Path) -> Box:
    province_box = new_province(tmp_path)
    furnish(province_box, tmp_path)
    return province_box


@pytest.fixture
def address(province: Box, tmp_path: Path) -> Iterator[str]:
    with serving(province, tmp_path) as url:
        yield url


def fetched(box: Box, url: str, folder: Path, role: Role = Role.BOX) -> FetchReport:
    line = ServerConnection(url, TOKENS[role], ENOUGH_S, "en", lambda _why: None, is_thin=True)
    back = ReferenceFetcher(box.workspace, line, SyncApplyHooks(box.workspace), folder, TransferLimits())
    Sender(box.workspace, line, TransferLimits(), back=back).run_round()
    return back.got


def test_a_box_gets_what_its_token_may_see(address: str, province: Box, tmp_path: Path) -> None:
    secret = replace(MASTS, layer_id="layer-2", name="Kho dự trữ")
    province.catalog.layers.put(secret, province.catalog.layers.features(MASTS.layer_id, None, 9)[0])
    province.catalog.restrictions.classify("layer-2", Classification.INTERNAL, 1)
    box, trusted = new_box(tmp_path, "field"), new_box(tmp_path, "trusted")
    assert fetched(box, address, tmp_path / "way").item_counts["layer"] == 1
    assert [one.name for one in box.catalog.layers.all()] == [MASTS.name]
    assert fetched(box, address, tmp_path / "way").item_counts == {}
    fetched(trusted, address, tmp_path / "other", Role.ADMIN)
    assert standing(trusted) == standing(province)
    assert trusted.catalog.restrictions.level("layer-2") is Classification.INTERNAL


def test_what_is_not_there_is_said(address: str) -> None:
    headers = {"Authorization": f"Bearer {TOKENS[Role.BOX]}"}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        for query, status in (("of=0123456789abcdef", 409), ("of=xyz", 422), ("of=00&at=-1", 422)):
            assert client.get(f"/api/sync/common/things?{query}").status_code == status
        as_viewer = {"Authorization": f"Bearer {TOKENS[Role.VIEWER]}"}
        assert client.get("/api/sync/common", headers=as_viewer).status_code == 403


@pytest.mark.parametrize("name", ["vrt.tif", "N21E104.hgt"])
def test_terrain_that_names_other_files_is_not_taken_in_and_asks_nobody(
    address: str, province: Box, tmp_path: Path, name: str
) -> None:
    with counting_server() as (afar, requests):
        path = hostile_raster(tmp_path / "given", name, afar)
        (dem,) = province.catalog.terrain.dems()
        key = keys.format_original_key(sha256 := store_original(province.workspace, path))
        hostile = replace(dem, dem_id="hostile", name=name, key=key, sha256=sha256)
        province.catalog.terrain.put_dem(hostile)
        box = new_box(tmp_path, "field")
        got = fetched(box, address, tmp_path / "way")
        assert requests == []
    assert [one.name for one in got.conflicts] == ["hostile"]
    assert [one.dem_id for one in box.catalog.terrain.dems()] == [dem.dem_id]
