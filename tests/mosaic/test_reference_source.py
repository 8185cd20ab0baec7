"""`finish --reference` with a flight: its finished map is what the block is tied to."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from flycam.cli import flycam
from flycam.drill.photo_drill import DrillReport
from flycam.errors import NotFound, OptionUnusable
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.export import read_reference_sigma, resolve_reference_map
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.workspace import Workspace
from tests.finished_house import NAME, QUICK, ingested
from tests.finishing import finish_flight

LATER = "Bản Lầu sau bão"
REQUEST = replace(QUICK, report=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Workspace:
    """Two flights over the same ground: every other photo of a drill each."""
    folder = tmp_path_factory.mktemp("two")
    photos = sorted(drill.photos.iterdir())
    for name, taken in (("first", photos[::2]), ("then", photos[1::2])):
        (folder / name).mkdir()
        for photo in taken:
            shutil.copy(photo, folder / name)
    workspace = ingested(folder / "house", drill, folder / "first")
    ingest(workspace, PreflightRequest(paths=(folder / "then",)), FlightLabels(name=LATER))
    return workspace


def test_a_finished_flight_is_written_out_once(workspace: Workspace) -> None:
    finish_flight(workspace, NAME, REQUEST)
    path = resolve_reference_map(workspace, LATER, NAME)
    written = path.read_bytes()
    assert resolve_reference_map(workspace, LATER, NAME) == path and path.read_bytes() == written
    path.unlink()  # what is in the cache may go at any time
    assert resolve_reference_map(workspace, LATER, NAME).read_bytes() == written


def test_a_later_flight_is_adjusted_onto_it(workspace: Workspace) -> None:
    finish_flight(workspace, NAME, REQUEST)
    words = ["finish", LATER, "--reference", NAME, "--no-surface", "--no-report"]
    done = CliRunner().invoke(flycam, [*words, "--data", str(workspace.cache_dir.parent), "--json"])
    assert done.exit_code == 0
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["control"]["reference"]["used"]
    known_m = read_reference_sigma(workspace, NAME)
    assert known_m is not None and known_m > 0.3
    assert np.hypot(*answer["shift_sigma_m"][:2]) >= 0.9 * known_m, "no surer than what it hangs on"
    assert read_reference_sigma(workspace, "map.tif") is None


def test_what_is_no_reference_is_said(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(OptionUnusable, match="itself"):
        resolve_reference_map(workspace, NAME, NAME)
    with pytest.raises(NotFound, match="neither"):
        resolve_reference_map(workspace, LATER, "Bản Không Có")
    absent = tmp_path / "map.tif"
    assert (
        resolve_reference_map(workspace, LATER, str(absent)) == absent
    )  # the request says that it is not there
