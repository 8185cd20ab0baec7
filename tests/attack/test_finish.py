"""Bad input for `finish`, with the real commands: each ends in a usable result or a sentence that says what
is missing, and never in a map that is worse than the live one.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from bench.truth_patches import PatchErrors, patch_errors
from flycam.drill.flight import make_drill_camera
from flycam.drill.ground_truth import read_truth
from flycam.drill.photo_drill import DrillReport, make_drill, write_drill
from tests.attack.commands import Operator, Said
from tests.attack.spoiled import gcp_list, ground_points, turned_to_water

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAME = "Bản Lầu"
QUICK = ("--no-report", "--no-surface")
FLOWN = {"photos": (3, 4), "size_px": (480, 360), "gsd_m": 0.5}
MakeOperator = Callable[..., Operator]


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> DrillReport:
    """Twelve photos with the truth as pictures."""
    return write_drill(tmp_path_factory.mktemp("flown") / "flight", **FLOWN)


@dataclass(frozen=True)
class Ingested:
    """A house with the flight of twelve photos, from which others are copied."""

    house: Operator
    flown: DrillReport
    live: PatchErrors

    def copy(self, to: Path) -> Operator:
        shutil.copytree(self.house.data, to)
        return Operator(to, {})


@pytest.fixture(scope="module")
def ingested(flown: DrillReport, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    house = Operator(tmp_path_factory.mktemp("ingested") / "dữ liệu", {}).with_ground(flown)
    assert house("ingest", flown.photos, "--name", NAME).exit_code == 0
    return Ingested(house, flown, errors(house, flown, "live"))


def errors(house: Operator, flown: DrillReport, revision: str) -> PatchErrors:
    out = house.data / f"{revision}.tif"
    assert house("export", NAME, out, "--revision", revision).exit_code == 0
    return patch_errors(out, read_truth(flown.photos.parent))


def median(found: PatchErrors, *, after_shift: bool = True) -> float:
    return float(np.median(found.errors_m(after_shift=after_shift)))


def finished(house: Operator, *options: object) -> Said:
    said = house("finish", NAME, *QUICK, *options)
    assert said.exit_code == 0, said.sentence
    return said


def only(flown: DrillReport, card: Path, *names: str) -> Path:
    card.mkdir()
    for name in names:
        shutil.copy(flown.photos / name, card)
    return card


def _one_strip(flown: DrillReport, card: Path) -> tuple[Path, ...]:
    return (only(flown, card, *(f"DJI_{number:04d}.JPG" for number in range(1, 5))),)


def _focal_length_wrong_by_a_twentieth(flown: DrillReport, card: Path) -> tuple[str | Path, ...]:
    camera = make_drill_camera((480, 360))
    k1, k2, p1, p2, k3 = camera.distortion
    focal = {name: 1.05 * f for name, f in zip(("fx", "fy"), camera.focal_length_px, strict=True)}
    point = dict(zip(("cx", "cy"), camera.principal_point_px, strict=True))
    lens = {"model": "brown", "k1": k1, "k2": k2, "k3": k3, "p1": p1, "p2": p2}
    card.mkdir()
    file = card / "camera.json"
    file.write_text(json.dumps({"width": 480, "height": 360, **lens, **focal, **point}))
    return (flown.photos, "--camera", file)


@pytest.mark.parametrize(
    ("case", "used"),
    [
        (_one_strip, 4),
        (_focal_length_wrong_by_a_twentieth, 12),
    ],
)
def test_no_worse_than_live(
    operator: Operator,
    flown: DrillReport,
    tmp_path: Path,
    case: Callable[[DrillReport, Path], tuple[object, ...]],
    used: int,
) -> None:
    operator.with_ground(flown)
    ingested = operator("ingest", *case(flown, tmp_path / "thẻ"), "--name", NAME)
    assert (ingested.exit_code, ingested.json["frames"]["used"]) == (0, used)
    said = finished(operator)
    assert said.json["accepted"] and said.json["frames"]["tied"] == used
    live, final = (errors(operator, flown, revision) for revision in ("live", "final"))
    assert median(final) <= median(live)
    assert final.covered >= live.covered - 0.01
    if "focal" in case.__name__:
        assert median(final) < 0.4 * median(live)


def test_water_keeps_the_priors_and_says_so(operator: Operator, flown: DrillReport, tmp_path: Path) -> None:
    operator.with_ground(flown)
    assert operator("ingest", turned_to_water(flown, tmp_path / "thẻ"), "--name", NAME).exit_code == 0
    said = finished(operator)
    assert not said.json["accepted"] and said.json["frames"]["prior"] == 12
    assert "water" in said.json["why"]


def _map(flown: DrillReport, to: Path, *, moved_m: float = 0.0, crs: bool = True, **changed: object) -> Path:
    """The truth as somebody's map: moved, recoloured, of other bands."""
    with rasterio.open(flown.truth / "ortho.tif") as source:
        rgb, transform, system = source.read(), source.transform, source.crs
    change = changed.get("change")
    pixels = change(rgb) if callable(change) else rgb
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    transform = Affine.translation(moved_m, 0.0) * transform
    with rasterio.open(
        to, "w", driver="GTiff", dtype="uint8", crs=system if crs else None, transform=transform, **profile
    ) as out:
        out.write(pixels)
    return to


def test_a_picture_that_is_not_of_this_ground_is_left_out_and_said(
    ingested: Ingested, tmp_path: Path
) -> None:
    house = ingested.copy(tmp_path / "nhà")
    mirrored = _map(ingested.flown, tmp_path / "soi gương.tif", change=lambda rgb: rgb[:, :, ::-1])
    control = finished(house, "--reference", mirrored).json["control"]
    assert not control["reference"]["used"]
    assert control["said"][0].startswith("soi gương.tif: ")
    assert median(errors(house, ingested.flown, "final")) <= median(ingested.live)


def test_a_reference_that_cannot_be_one_is_refused_by_name(ingested: Ingested, tmp_path: Path) -> None:
    whole = _map(ingested.flown, tmp_path / "trọn.tif").read_bytes()
    files = {
        "elsewhere.tif": (_map(ingested.flown, tmp_path / "elsewhere.tif", moved_m=5000.0), "does not cover"),
        "no-crs.tif": (_map(ingested.flown, tmp_path / "no-crs.tif", crs=False), "coordinate reference"),
        "text.tif": (tmp_path / "text.tif", "cannot be read"),
        "absent.tif": (tmp_path / "absent.tif", "check the path"),
        "cut.tif": (tmp_path / "cut.tif", "cut off"),
    }
    (tmp_path / "text.tif").write_text("không phải ảnh")
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 3])
    house = ingested.copy(tmp_path / "nhà")
    for name, (path, words) in files.items():
        said = house("finish", NAME, *QUICK, "--reference", path)
        assert said.exit_code == 3, (name, said.sentence)
        assert name in said.sentence and words in said.sentence


def test_control_points_that_cannot_be_used_are_refused_by_name(ingested: Ingested, tmp_path: Path) -> None:
    points = ground_points(make_drill(**FLOWN))
    everyone = {f"DJI_{number:04d}.JPG" for number in range(1, 13)}
    lists = [
        (gcp_list(points, tmp_path / "múi.txt", crs="EPSG:32649"), "coordinate system"),
        (gcp_list(points, tmp_path / "hệ.txt", crs="hệ toạ độ"), "first line"),
        (gcp_list(points, tmp_path / "ảnh.txt", absent=everyone), "none of its"),
        (gcp_list(points, tmp_path / "nhỏ.txt", size=0.5), "0.50 times"),
        (gcp_list(points, tmp_path / "vn.txt", header="VN-2000"), "without a zone"),
    ]
    for path, words in lists:
        said = ingested.house("finish", NAME, *QUICK, "--gcp", path)
        assert said.exit_code == 3 and path.name in said.sentence and words in said.sentence


def until(child: object, stage: str) -> None:
    for line in child.stderr:  # type: ignore[attr-defined]
        if line.startswith(stage):
            return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_or_killed_it_leaves_a_clean_state(
    ingested: Ingested, tmp_path: Path, number: signal.Signals
) -> None:
    house = ingested.copy(tmp_path / "nhà")
    child = house.start("finish", NAME, *QUICK)
    until(child, "seams")
    child.send_signal(number)
    out, err = child.communicate(timeout=300)
    if number == signal.SIGTERM:
        assert child.returncode == 130 and "Traceback" not in err and json.loads(out.splitlines()[-1])
        assert not list((house.data / "cache").rglob("*.part"))
    assert finished(house).json["new"]
    assert house("verify").exit_code == 0


def test_others_at_work_meanwhile(ingested: Ingested, tmp_path: Path) -> None:
    """A second finish is refused, an ingest of the same card is not, a withdrawal keeps the frame off."""
    house = ingested.copy(tmp_path / "nhà")
    child = house.start("finish", NAME, *QUICK)
    until(child, "ties")
    second = house("finish", NAME, *QUICK)
    assert (second.exit_code, second.json["error"]) == (4, "FlightBusy")
    assert house("ingest", ingested.flown.photos).json["new"] == 0
    assert house("withdraw", "DJI_0006.JPG", "--reason", "nhà dân", "--authority", "UBND").exit_code == 0
    out, err = child.communicate(timeout=300)
    assert "Traceback" not in err
    said = json.loads(out.splitlines()[-1])
    assert (child.returncode, said["error"]) == (4, "StoreConflict")
    assert finished(house).json["frames"]["used"] == 11


@pytest.mark.soak
def test_a_store_that_goes_away_meanwhile_is_waited_for(ingested: Ingested, tmp_path: Path) -> None:
    """A disk that is pulled out, and plugged in again."""
    house = ingested.copy(tmp_path / "nhà")
    child = house.start("finish", NAME, *QUICK)
    until(child, "overviews")
    (house.data / "store").rename(house.data / "đã rút")
    until(child, "store or database away since")
    assert child.poll() is None and not (house.data / "store").exists(), "nothing is written in its place"
    (house.data / "đã rút").rename(house.data / "store")
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0 and "Traceback" not in err, err
    assert json.loads(out.splitlines()[-1])["new"]
    assert house("verify").exit_code == 0
