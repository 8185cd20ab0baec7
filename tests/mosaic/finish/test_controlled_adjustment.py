"""`finish` tied to the ground: a reference map or control points move the block; bad ones are said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from flycam.cli.products import format_finish
from flycam.drill.photo_drill import DrillReport, read_truth
from flycam.errors import InputUnusable
from flycam.geometry.camera import is_in_image, project
from flycam.geometry.terrain import interpolate_heights
from flycam.model.revision_stats import put_in_words
from flycam.mosaic.export import export_flight
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.workspace import Workspace
from tests.finished_house import NAME, finish_quickly, ingested
from tests.finished_house import QUICK as WITH_REPORT

QUICK = replace(WITH_REPORT, report=False)
MOVED = (2.4, -1.6)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Workspace:
    return ingested(tmp_path_factory.mktemp("control") / "house", drill)


@pytest.fixture(scope="module")
def plain(workspace: Workspace) -> dict[str, np.ndarray]:
    """Centres after finishing without control."""
    return centres(workspace, QUICK)[0]


@pytest.fixture(scope="module")
def ours(workspace: Workspace, plain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map as finished without control."""
    path = tmp_path_factory.mktemp("map") / "ours.tif"
    export_flight(workspace, NAME, path, revision="final")
    return path


def centres(workspace: Workspace, request: FinishRequest) -> tuple[dict[str, np.ndarray], dict]:
    """Adjusted projection centres by photo, and what the revision says of its control."""
    report = finish_quickly(workspace, request=request)
    record = report.main
    assert record is not None
    control = format_finish(report)[0]["control"]
    assert control == put_in_words(record.stats["control"])
    assert record.stats["accepted"]
    names = {
        one.frame_id: one.header.provenance.source_name
        for one in workspace.catalog.frames.list_for_flight(workspace.catalog.flights.flight(NAME).flight_id)
    }
    frames = workspace.catalog.revisions.frames(record.mosaic_id, record.revision)
    found = {names[one.frame_id]: np.array(one.exterior.projection_centre_m) for one in frames}
    return found, control


def shift(after: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> np.ndarray:
    return np.mean([after[name] - before[name] for name in before], axis=0)


def moved_map(ours: Path, folder: Path, off: tuple[float, float]) -> Path:
    """The mosaic as finished without control, control to lie elsewhere."""
    path = folder / "map.tif"
    with rasterio.open(ours) as source:
        moved = Affine.translation(*off) * source.transform
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "crs": source.crs, "transform": moved}
        with rasterio.open(path, "w", width=source.width, height=source.height, **profile) as target:
            target.write(source.read([1, 2, 3]))
            target.write_mask(source.dataset_mask())
    return path


def test_a_reference_moves_the_block_onto_it(workspace, plain, ours, tmp_path) -> None:
    path = moved_map(ours, tmp_path, MOVED)
    found, control = centres(workspace, replace(QUICK, reference=path))
    assert control["reference"]["used"]
    assert control["reference"]["shift_m"] == pytest.approx(MOVED, abs=0.3)
    assert shift(found, plain)[:2] == pytest.approx(MOVED, abs=0.3)
    again = finish_quickly(workspace, request=replace(QUICK, reference=path))
    assert not again.layers[0].new, "the same reference"


def sigma_m(workspace: Workspace, request: FinishRequest) -> float:
    """What is unknown of the whole block's place, level (radial)."""
    record = finish_quickly(workspace, request=request).main
    assert record is not None
    return float(np.hypot(*record.stats["shift_sigma_m"][:2]))


def test_a_reference_elsewhere_is_refused_before_any_work(workspace, plain, ours, tmp_path) -> None:
    path = moved_map(ours, tmp_path, (40_000.0, 0.0))
    stages: list[str] = []
    with pytest.raises(InputUnusable, match=r"map\.tif"):
        finish_quickly(
            workspace, lambda stage, *_: stages.append(stage), request=replace(QUICK, reference=path)
        )
    assert not stages


def test_a_reference_of_other_ground_is_a_warning_to_look_into(workspace, ours, tmp_path) -> None:
    """A map of another place that lies on the flight: the revision is made, not tied, and says so first."""
    path = tmp_path / "upside_down.tif"
    with rasterio.open(ours) as source, rasterio.open(path, "w", **source.profile) as target:
        target.write(source.read()[:, ::-1])
        target.write_mask(source.dataset_mask()[::-1])
    answer, lines = format_finish(finish_quickly(workspace, request=replace(QUICK, reference=path)))
    assert not answer["control"]["reference"]["used"]
    (said,) = [str(one) for one in lines if "upside_down.tif" in str(one)]
    assert said.startswith("  ! ") and said.removeprefix("  ! ") in answer["warnings"]


def marks(
    workspace: Workspace,
    drill: DrillReport,
    path: Path,
    *,
    swap: bool = False,
    off_m: float = 0.0,
    only: int | None = None,
) -> Path:
    """Control points as a surveyor would mark them: true places, where the true cameras show them; `off_m`
    too far east on paper, all of them or one."""
    truth = read_truth(drill.photos.parent)
    (flight,) = workspace.catalog.flights.flights()
    terrain = load_recorded_terrain(workspace, flight.dem_id)
    middle = np.mean([pose.projection_centre_m for pose in truth.exteriors.values()], axis=0)[:2]
    lines = ["EPSG:32648", "0 0 0 10 10 ABSENT.JPG lost"]
    for number, off in enumerate(((-60, -40), (60, -40), (-60, 40), (60, 40), (0, 0), (20, 60))):
        xy = middle + off
        place = np.array([*xy, interpolate_heights(terrain, xy[None])[0]])
        for name, pose in truth.exteriors.items():
            uv, depth = project(truth.camera, pose, place[None])
            if depth[0] > 0 and is_in_image(truth.camera, uv[:, 0], uv[:, 1])[0]:
                x, y = place[0] + off_m * (only in (None, number)), place[1]
                x, y = (y, x) if swap else (x, y)
                lines.append(f"{x} {y} {place[2]} {uv[0, 0] + 0.5} {uv[0, 1] + 0.5} {name} P{number}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_control_points_bring_the_block_to_the_truth(workspace, drill, plain, tmp_path) -> None:
    """Also when their axes are written the other way round."""
    path = marks(workspace, drill, tmp_path / "gcp.txt", swap=True)
    found, control = centres(workspace, replace(QUICK, gcp=path))
    true = {n: np.array(p.projection_centre_m) for n, p in read_truth(drill.photos.parent).exteriors.items()}
    off, before = (np.abs(shift(centre, true)[:2]).max() for centre in (found, plain))
    assert control["points"] >= 4
    assert any("ABSENT.JPG" in sentence for sentence in control["said"])
    assert any("other way round" in sentence for sentence in control["said"])
    assert off < 0.4
    assert off < before or before < 0.2


def test_control_points_where_no_receiver_errs_to_are_not_used(workspace, drill, plain, tmp_path) -> None:
    """A list in the wrong zone, or of another place nearby: the aircraft knows better than by 150 m."""
    path = marks(workspace, drill, tmp_path / "gcp.txt", off_m=150.0)
    found, control = centres(workspace, replace(QUICK, gcp=path))
    assert control["points"] == 0
    assert " 149.6 m" in control["doubts"][-1]
    assert shift(found, plain) == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_a_control_point_that_the_marks_contradict_is_named(workspace, drill, plain, tmp_path) -> None:
    path = marks(workspace, drill, tmp_path / "gcp.txt", off_m=40.0, only=2)
    found, control = centres(workspace, replace(QUICK, gcp=path))
    true = {n: np.array(p.projection_centre_m) for n, p in read_truth(drill.photos.parent).exteriors.items()}
    (doubt,) = [one for one in control["doubts"] if "P2: " in one]
    assert "P2: 4" in doubt or "P2: 3" in doubt
    assert np.abs(shift(found, true)[:2]).max() < 0.6
