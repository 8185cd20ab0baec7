"""The province: objects on S3, the catalogue in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.storage.keys import ObjectStore
from flycam.storage.s3 import S3Store
from tests.sync.boxes import Box, alone, new_box
from tests.sync.common_world import exchange, furnish, standing
from tests.sync.lines import Wire

pytestmark = [pytest.mark.s3, pytest.mark.postgres]


def test_boxes_converge_at_a_province_on_s3_and_postgresql(
    tmp_path: Path, s3_url: str, postgres_url: str
) -> None:
    store: ObjectStore = S3Store.from_url(s3_url)
    with open_catalog(postgres_url, tmp_path / "province.key") as catalog:
        province = Box(
            replace(new_box(tmp_path, "province").workspace, store=store, catalog=catalog, box="province")
        )
        one, two = new_box(tmp_path, "one"), new_box(tmp_path, "two")
        one.lay({0, 1, 2})
        two.lay({0, 1, 2, 3, 4}, "f2")
        for box in (one, two):
            province.read(box.write(tmp_path))
        two.withdraw(1, "f2")
        province.read(two.write(tmp_path))
        assert province.tiles() == alone(tmp_path, {0, 1, 2, 3, 4}, {1})
        one.read(province.write(tmp_path))
        assert one.tiles() == province.tiles()


def test_what_it_holds_in_common_comes_back(tmp_path: Path, s3_url: str, postgres_url: str) -> None:
    store: ObjectStore = S3Store.from_url(s3_url)
    with open_catalog(postgres_url, tmp_path / "province.key") as catalog:
        province = Box(
            replace(new_box(tmp_path, "province").workspace, store=store, catalog=catalog, box="province")
        )
        furnish(province, tmp_path)
        box = new_box(tmp_path, "field")
        exchange(box, Wire(province, tmp_path, [700, 4_000]), tmp_path)
        assert standing(box) == standing(province)
