"""Terrain and maps that name other files and addresses, given to every command that takes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import MakeOperator, Operator
from tests.geodata.hostile_rasters import counting_server, hostile_raster


def _kept(box: Operator) -> tuple[list[str], int]:
    """Objects of the store, and registered terrain."""
    with open_catalog(f"sqlite:///{box.data / 'catalog.sqlite'}") as catalog:
        dems = len(catalog.terrain.dems())
    store = box.data / "store"
    return sorted(str(path) for path in store.rglob("[!.]*") if path.is_file()), dems


KINDS = ("wms.tif", "N21E104.hgt", "address.vrt", "above.vrt", "raw.tif")
"""A service, terrain that is a list of addresses, one's sources afar, outside its folder, and any file."""


@pytest.mark.parametrize("name", KINDS)
def test_no_command_follows_what_a_raster_names(
    make_operator: MakeOperator, drill: DrillReport, tmp_path: Path, name: str
) -> None:
    box = make_operator("box", FLYCAM_BOX="raster").with_flight(drill)
    flight = box.flights()[0]
    before = _kept(box)
    with counting_server() as (address, asked):
        path = hostile_raster(tmp_path / "given", name, address)
        for command in (
            ("dem", "add", path, "--datum", "EGM96"),
            ("ingest", drill.photos, "--dem", path),
            ("inspect", drill.photos, "--no-pixels", "--dem", path),
            ("compare", path, drill.dem, "--out", tmp_path / "out.gpkg"),
            ("compare", flight, path, "--out", tmp_path / "out.gpkg"),
            ("finish", flight, "--no-report", "--no-surface", "--reference", path),
        ):
            said = box(*command)
            assert said.exit_code == 3, command
            assert name in said.sentence
        assert asked == []
    assert _kept(box) == before
    assert not (tmp_path / "out.gpkg").exists()
