"""What a drill brought is known as such, and it brings nothing where anything real is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from flycam.board.layers import register_communes
from flycam.cli import demo
from flycam.drill.photo_drill import DrillReport, write_drill
from flycam.drill.routes import is_exercise_dem, require_no_real_data
from flycam.errors import RealDataPresent
from flycam.model.flight import EXERCISE_COMMUNE_CODES
from flycam.mosaic.terrain import register_dem
from flycam.workspace import Workspace
from tests.geodata.dem_files import write_dem
from tests.serve.world import add_communes, make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "house")


def real_dem(folder: Path) -> Path:
    return write_dem(folder / "dem.tif", np.full((40, 40), 300.0, np.float32))


def test_the_ground_of_a_drill_is_known_by_what_its_files_say(
    workspace: Workspace, drill: DrillReport, tmp_path: Path
) -> None:
    made_up, _ = register_dem(workspace, drill.dem)
    register_communes(workspace, drill.communes)
    assert is_exercise_dem(workspace, made_up)
    assert workspace.catalog.boundaries.names().keys() <= EXERCISE_COMMUNE_CODES
    assert workspace.catalog.boundaries.extent() is not None
    assert workspace.catalog.boundaries.extent(exclude=EXERCISE_COMMUNE_CODES) is None
    require_no_real_data(workspace)
    real, _ = register_dem(workspace, real_dem(tmp_path), "EGM96")
    assert real.name == made_up.name and not is_exercise_dem(workspace, real)
    wide = replace(made_up, bounds_lonlat_deg=(104.0, 22.0, 105.0, 23.0))
    assert not is_exercise_dem(workspace, wide), "a province's terrain need not be fetched"


def add_dem(workspace: Workspace, folder: Path) -> None:
    register_dem(workspace, real_dem(folder), "EGM96")


@pytest.mark.parametrize("prepare", [add_dem, lambda workspace, _: add_communes(workspace)])
def test_a_demo_leaves_a_prepared_house_alone(
    workspace: Workspace, tmp_path: Path, prepare: Callable[[Workspace, Path], None]
) -> None:
    prepare(workspace, tmp_path)
    dems, names = workspace.catalog.terrain.dems(), workspace.catalog.boundaries.names()
    with pytest.raises(RealDataPresent, match="flycam demo --data"):
        demo.run_demo(workspace)
    assert workspace.catalog.terrain.dems() == dems and workspace.catalog.boundaries.names() == names


def test_what_is_registered_while_the_demo_is_rendered_is_seen(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rendered(*given: object, **options: object) -> DrillReport:
        add_communes(workspace)
        smaller = partial(write_drill, size_px=(160, 120), gsd_m=1.0)
        return smaller(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "write_drill", rendered)
    with pytest.raises(RealDataPresent):
        demo.run_demo(workspace)
    assert not workspace.catalog.terrain.dems() and not workspace.catalog.flights.flights()
    assert not EXERCISE_COMMUNE_CODES.intersection(workspace.catalog.boundaries.names())
