"""Volumes of a house's landslides: told where both flights were finished with a surface, else why not."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flycam.catalog.changes import ChangeVersion
from flycam.change.export import build_impact_report, export_changes, serialize_impact
from flycam.change.volume import NoSurfaces, Volume, VolumeFailure, VolumeUnavailable, compute_volumes
from flycam.model.board import ChangeKind, ChangeStatus
from flycam.workspace import Workspace
from tests.change.impacted import SLIDE, changed, impacted_house, square
from tests.mosaic.surface.surfaced import DEPTH_M, SIGMA_M, finished, surface

SQUARE = square(0, 0, 100)
LOST_M3 = 100.0 * 100.0 * DEPTH_M


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A house whose confirmed slide lies between two finished flights."""
    one = impacted_house(tmp_path)
    before = finished(one, "m1", surface(one, SQUARE, fell=False))
    after = finished(one, "m2", surface(one, SQUARE, fell=True))
    line = one.catalog.changes.last([SLIDE])[0]
    one.catalog.changes.append(
        [replace(line, version=2, step_id="s2", before_shown=before, after_shown=after)]
    )
    return one


def slide_of(workspace: Workspace, **more: object) -> ChangeVersion:
    return replace(workspace.catalog.changes.last([SLIDE])[0], **more)  # type: ignore[arg-type]


def volume_of(workspace: Workspace, line: ChangeVersion) -> Volume | VolumeFailure:
    return compute_volumes(workspace, [line])[line.change_id]


def test_two_finished_flights_tell_what_came_down(workspace: Workspace) -> None:
    found = volume_of(workspace, slide_of(workspace))
    assert isinstance(found, Volume)
    assert found.lost_m3 == pytest.approx(LOST_M3, rel=0.03)
    assert found.measured_m2 == pytest.approx(10_000.0, rel=0.02)
    assert found.shift_m == pytest.approx((0.0, 0.0, 1.7), abs=0.1)
    own = SIGMA_M * np.sqrt(2.0) * np.sqrt(10_000.0) * 5.0
    assert found.net_sigma_m3 == pytest.approx(np.hypot(own, found.level_sigma_m * 10_000.0), rel=0.02)


def test_other_ground_that_changed_vouches_for_nothing(workspace: Workspace) -> None:
    """Were the whole neighbourhood one great slide, nothing would be left to lay one date on the other."""
    around = changed("change-0000000a", square(-150, -150, 400), status=ChangeStatus.PROPOSED)
    workspace.catalog.changes.append([around])
    assert volume_of(workspace, slide_of(workspace)) is VolumeUnavailable.LITTLE_STABLE
    workspace.catalog.changes.append([replace(around, version=2, step_id="s9", status=ChangeStatus.REJECTED)])
    assert isinstance(volume_of(workspace, slide_of(workspace)), Volume)


def test_why_no_volume_is_told(workspace: Workspace) -> None:
    bare = finished(workspace, "m3", None)
    part = finished(workspace, "m4", surface(workspace, SQUARE, fell=True, known="north"))
    for shown, why in (
        ("", NoSurfaces.DRAWN),
        ("chụp 2025.tif", NoSurfaces.PICTURE),
        ("m2@0", NoSurfaces.NOT_FINISHED),
        (bare, NoSurfaces.NO_SURFACE),
        ("m9@1", NoSurfaces.NO_SURFACE),
        (part, VolumeUnavailable.LITTLE_KNOWN),
    ):
        assert volume_of(workspace, slide_of(workspace, after_shown=shown)) is why
    assert compute_volumes(workspace, [slide_of(workspace, kind=ChangeKind.FLOOD)]) == {}


def test_the_answer_the_command_and_the_file_tell_it(workspace: Workspace, tmp_path: Path) -> None:
    report = build_impact_report(workspace, ["e1"])
    answer = serialize_impact(report.impact, report.communes, report.names, report.at_ns)
    by_id = {one["change_id"]: one for one in answer["changes"]}
    volume = by_id[SLIDE]["volume"]
    assert volume["lost_m3"] == pytest.approx(LOST_M3, rel=0.03)
    assert (by_id[SLIDE]["no_volume"], by_id["change-00000002"]["volume"]) == (None, None)

    out = tmp_path / "changes.csv"
    export_changes(workspace, out, "e1")
    (row,) = csv.DictReader(out.read_text(encoding="utf-8-sig").splitlines())
    assert float(row["lost_m3"]) == volume["lost_m3"]
    assert float(row["volume_of_m2"]) == pytest.approx(10_000.0, rel=0.02)
    assert row["no_volume"] == ""
    assert volume["nothing"] is False
    # no ground of it rose: "0 ± 0" would say more than anybody knows
    assert (volume["gained_m3"], volume["gained_sigma_m3"]) == (0, 0)
    assert (row["gained_m3"], row["gained_sigma_m3"]) == ("", "")
