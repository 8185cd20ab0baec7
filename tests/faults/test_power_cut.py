"""The power goes at any moment: flycam finds its house whole, and what it acknowledged is there."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.faults import kernel
from tests.faults.cutting import cuts, watched
from tests.faults.every_work import WORKS

pytestmark = pytest.mark.skipif(kernel.why_not() is not None, reason=str(kernel.why_not()))

_IN_CI, _CUTS = {"ingest": 2, "backup": 1}, 100


@pytest.mark.parametrize("name", list(_IN_CI))
def test_a_few_power_cuts(drill: DrillReport, tmp_path: Path, name: str) -> None:
    run = watched(WORKS[name](drill, tmp_path), tmp_path)
    for trial in cuts(run, _IN_CI[name], seed=1, scratch=tmp_path):
        print(trial)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_hundred_power_cuts(drill: DrillReport, tmp_path: Path) -> None:
    """Run with `-s` to see each; CUT_WORK=upload for one work alone, CUT_SEED for other moments, CUTS for
    another number."""
    names = os.environ.get("CUT_WORK", ",".join(WORKS)).split(",")
    seed, acknowledged, each = (
        int(os.environ.get("CUT_SEED", "20261126")),
        Counter[bool](),
        -(-int(os.environ.get("CUTS", str(_CUTS))) // len(names)),
    )
    for name in names:
        scratch = tmp_path / name
        scratch.mkdir()
        run = watched(WORKS[name](drill, scratch), scratch)
        for trial in cuts(run, each, seed, scratch):
            acknowledged[trial.was_acknowledged] += 1
            print(trial, flush=True)
    print(f"{acknowledged.total()} power cuts, {acknowledged[True]} of them after the work was acknowledged")
    assert acknowledged[True] > 0
