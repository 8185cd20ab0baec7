"""Bad input and bad luck for `finish`, with the real commands: each ends in a usable result or a sentence
that says what is missing, and never in a map that is worse than the live one.
"""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest
import rasterio
from affine import Affine

from bench.truth_patches import PatchErrors, patch_errors
from flycam.drill.flight import make_drill_camera
from flycam.drill.photo_drill import DrillReport, read_truth
from tests.attack.commands import Operator, Said
from tests.houses import drilled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUICK = ("--no-report", "--no-surface")


@pytest.fixture
def truth() -> DrillReport:
    """Twelve photos with the truth as pictures."""
    return drilled(photos=(3, 4), size_px=(480, 360), gsd_m=0.5)


def errors(house: Operator, truth: DrillReport, revision: str) -> PatchErrors:
    out = house.data / f"{revision}.tif"
    assert house("export", *house.flights(), out, "--revision", revision).exit_code == 0
    return patch_errors(out, read_truth(truth.photos.parent))


def finished(house: Operator, *options: object) -> Said:
    said = house("finish", *house.flights(), *QUICK, *options)
    assert said.exit_code == 0, said.sentence
    return said


def one_strip(truth: DrillReport, card: Path) -> tuple[object, ...]:
    card.mkdir()
    for number in range(1, 5):
        shutil.copy(truth.photos / f"DJI_{number:04d}.JPG", card)
    return (card,)


def focal_length_wrong_by_a_twentieth(truth: DrillReport, card: Path) -> tuple[object, ...]:
    camera = make_drill_camera((480, 360))
    k1, k2, p1, p2, k3 = camera.distortion
    focal = {name: 1.05 * f for name, f in zip(("fx", "fy"), camera.focal_length_px, strict=True)}
    point = dict(zip(("cx", "cy"), camera.principal_point_px, strict=True))
    lens = {"model": "brown", "k1": k1, "k2": k2, "k3": k3, "p1": p1, "p2": p2}
    file = card.with_suffix(".json")
    file.write_text(json.dumps({"width": 480, "height": 360, **lens, **focal, **point}))
    return (truth.photos, "--camera", file)


@pytest.mark.parametrize(
    ("case", "used", "most"), [(one_strip, 4, 1.0), (focal_length_wrong_by_a_twentieth, 12, 0.4)]
)
def test_no_worse_than_live(
    operator: Operator, truth: DrillReport, tmp_path: Path, case: object, used: int, most: float
) -> None:
    operator.with_ground(truth)
    assert callable(case)
    ingested = operator("ingest", *case(truth, tmp_path / "card"))
    assert (ingested.exit_code, ingested.json["frames"]["used"]) == (0, used)
    said = finished(operator)
    assert said.json["accepted"] and said.json["frames"]["tied"] == used
    live, final = (errors(operator, truth, revision) for revision in ("live", "final"))
    assert np.median(final.errors_m(after_shift=True)) <= most * np.median(live.errors_m(after_shift=True))
    assert final.covered >= live.covered - 0.01


def map_of(truth: DrillReport, to: Path, *, moved_m: float = 0.0, crs: bool = True) -> Path:
    """The truth as somebody's map."""
    with rasterio.open(truth.truth / "ortho.tif") as source:
        profile, pixels = source.profile, source.read()
    profile["transform"] = Affine.translation(moved_m, 0.0) @ profile["transform"]
    with rasterio.open(to, "w", **{**profile, "crs": profile["crs"] if crs else None}) as out:
        out.write(pixels)
    return to


def test_a_reference_that_cannot_be_one_is_refused_by_name(
    flown: Operator, truth: DrillReport, tmp_path: Path
) -> None:
    whole = map_of(truth, tmp_path / "whole.tif").read_bytes()
    map_of(truth, tmp_path / "elsewhere.tif", moved_m=5000.0)
    map_of(truth, tmp_path / "no-crs.tif", crs=False)
    (tmp_path / "text.tif").write_text("không phải ảnh")
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 3])
    for name, word in {
        "elsewhere.tif": "cover",
        "no-crs.tif": "coordinate reference",
        "text.tif": "read",
        "absent.tif": "path",
        "cut.tif": "cut off",
    }.items():
        said = flown("finish", *flown.flights(), *QUICK, "--reference", tmp_path / name)
        assert said.exit_code == 3, (name, said.sentence)
        assert name in said.sentence and word in said.sentence


def until(child: Popen[str], stage: str) -> None:
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith(stage):
            return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_or_killed_it_leaves_a_clean_state(flown: Operator, number: signal.Signals) -> None:
    child = flown.start("finish", *flown.flights(), *QUICK)
    until(child, "radiometry")
    child.send_signal(number)
    out, err = child.communicate(timeout=300)
    assert child.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL), err
    if number == signal.SIGTERM:
        assert "Traceback" not in err and json.loads(out.splitlines()[-1])["sentence"]
        assert not list((flown.data / "cache").rglob("*.part"))
    assert finished(flown).json["new"]
    assert flown("verify").exit_code == 0


def test_others_at_work_meanwhile(flown: Operator, drill: DrillReport) -> None:
    """A second finish is refused, an ingest of the same card is not, a withdrawal keeps the frame off."""
    child = flown.start("finish", *flown.flights(), *QUICK)
    until(child, "ties")
    child.send_signal(signal.SIGSTOP)
    try:
        second = flown("finish", *flown.flights(), *QUICK)
        assert (second.exit_code, second.json["error"]) == (4, "FlightBusy")
        assert flown("ingest", drill.photos).json["new"] == 0
        assert flown("withdraw", "DJI_0006.JPG", "--reason", "nhà dân", "--authority", "UBND").exit_code == 0
    finally:
        child.send_signal(signal.SIGCONT)
    out, err = child.communicate(timeout=300)
    assert "Traceback" not in err
    assert (child.returncode, json.loads(out.splitlines()[-1])["error"]) == (4, "StoreConflict")
    assert finished(flown).json["frames"]["used"] == 5


@pytest.mark.soak
def test_a_store_that_goes_away_meanwhile_is_waited_for(flown: Operator) -> None:
    """A disk that is pulled out, and plugged in again."""
    child = flown.start("finish", *flown.flights(), *QUICK)
    until(child, "overviews")
    (flown.data / "store").rename(flown.data / "pulled")
    until(child, "store or database unavailable since")
    assert child.poll() is None and not (flown.data / "store").exists(), "nothing is written in its place"
    (flown.data / "pulled").rename(flown.data / "store")
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0 and "Traceback" not in err, err
    assert json.loads(out.splitlines()[-1])["new"]
    assert flown("verify").exit_code == 0
