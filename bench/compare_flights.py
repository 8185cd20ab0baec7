"""`flycam compare` on whole flights: what a square kilometre at 15 cm costs, and what is found of a storm.

Two drills of one place, before and after, each with its own wind, light and GNSS, season, confusers and a
terrain model that is 3 m off, go through `ingest` and `finish` into one house; the later is finished with the
earlier for its reference. The command is measured as an analyst gives it. What it names is held against the
drill's truth on the ground that it compared, counted as in `change_scoring`, but by outlines.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from bench.change_scoring import KINDS, LEAST_M2
from bench.compare_registration import drill_folder
from bench.flights import ROOT
from bench.processes import FLYCAM, Finished, run_process
from bench.table import Row
from flycam.drill.appearance import draw_date_changes
from flycam.drill.land import WORK_CRS
from flycam.geodata.crs import make_point_transform

SEEDS, RELIEFS_M = (96_001, 96_002), (180.0, 130.0)
GSD_M, PHOTOS, SIZE_PX, DEM_SHIFT_M = 0.15, (5, 9), (3000, 2250), 3.0
MOST_S, MOST_GB = 60.0, 2.0
_WANTED = {"landslide": (0.85, 0.75), "flood": (0.95, 0.85)}
_BEFORE, _AFTER = "before", "after"


@dataclass(kw_only=True, slots=True)
class Counted:
    """Of one kind over the places: true objects of 200 m² and more, those found; candidates, those right."""

    truths: int = 0
    found: int = 0
    candidates: int = 0
    right: int = 0


def measure() -> list[Row]:
    """Time, memory; recall and precision of each kind over the places, for the record: two places are few."""
    done: list[tuple[dict[str, Any], Finished]] = []
    counted = {kind: Counted() for kind in KINDS}
    for seed, relief_m in zip(SEEDS, RELIEFS_M, strict=True):
        with tempfile.TemporaryDirectory(dir=ROOT) as folder:
            answer, took, found = _compared(seed, relief_m, Path(folder))
        done.append((answer, took))
        _count(counted, found, _drill(seed, relief_m, after=True))
    return [*_cost(done), *_worth(counted)]


def _compared(seed: int, relief_m: float, data: Path) -> tuple[dict[str, Any], Finished, dict[str, Any]]:
    """The command's answer, what it took, and the GeoJSON that it wrote."""
    for name, after in ((_BEFORE, False), (_AFTER, True)):
        drill = _drill(seed, relief_m, after=after)
        run_process(
            [*FLYCAM, "ingest", drill / "photos", "--dem", drill / "dem.tif", "--name", name, "--data", data]
        )
        tied = ["--reference", _BEFORE] if after else []
        run_process([*FLYCAM, "finish", name, *tied, "--no-report", "--data", data])
    out = data / "changes.geojson"
    command = [*FLYCAM, "compare", _BEFORE, _AFTER, "--out", out, "--data", data, "--json"]
    took = run_process(command, watch_memory=True)
    return json.loads(took.stdout.splitlines()[-1]), took, json.loads(out.read_text(encoding="utf-8"))


def _drill(seed: int, relief_m: float, *, after: bool) -> Path:
    options = {"relief_m": relief_m, "gsd_m": GSD_M, "photos": PHOTOS, "size_px": SIZE_PX}
    between = draw_date_changes(seed) if after else None
    return drill_folder("whole-", seed, after, DEM_SHIFT_M, options, truth_rasters=after, between=between)


def _count(counted: dict[str, Counted], found: dict[str, Any], drill: Path) -> None:
    compared = _ground([found["compared"]])[0]
    truth = json.loads((drill / "truth" / "changes.geojson").read_text(encoding="utf-8"))
    for kind, count in counted.items():
        true = _of_kind(truth, kind)
        said = _of_kind(found, kind)
        all_true, all_said = shapely.union_all(true), shapely.union_all(said)
        objects = [one for one in shapely.intersection(true, compared) if one.area >= LEAST_M2]
        count.truths += len(objects)
        count.found += int(np.count_nonzero(_shares(objects, all_said) >= 0.5))
        count.candidates += len(said)
        count.right += int(np.count_nonzero(_shares(said, all_true) >= 0.5))


def _of_kind(document: dict[str, Any], kind: str) -> np.ndarray:
    shapes = [one["geometry"] for one in document["features"] if one["properties"]["kind"] == kind]
    return _ground(shapes)


def _ground(shapes: Sequence[dict[str, Any]]) -> np.ndarray:
    """GeoJSON geometries in the work CRS."""
    made = np.array([shapely.geometry.shape(one) for one in shapes], dtype=object)
    return shapely.make_valid(shapely.transform(made, make_point_transform("EPSG:4326", WORK_CRS)))


def _shares(shapes: Sequence[shapely.Geometry], of: shapely.Geometry) -> np.ndarray:
    """Which part of each lies in `of`."""
    ours = np.array(shapes, dtype=object)
    return shapely.area(shapely.intersection(ours, of)) / np.maximum(shapely.area(ours), 1e-9)


def _cost(done: Sequence[tuple[dict[str, Any], Finished]]) -> list[Row]:
    per_km2_s = [took.wall_s / answer["common_m2"] * 1e6 for answer, took in done]
    notes = tuple(
        f"{answer['common_m2'] / 1e6:.2f} km²: {took.wall_s:.1f} s, {took.cpu_s:.1f} s of processor, "
        f"{took.peak_bytes / 1e9:.2f} GB; stable ground ± {answer['registration']['rmse_m']} m, AFTER came "
        f"{np.hypot(*answer['registration']['shift_m']):.2f} m off; {answer['by_kind']}"
        for answer, took in done
    )
    return [
        Row(
            what="compare two finished flights at 15 cm, seconds a km² in common, whole command",
            measured=f"{max(per_km2_s):.1f} s",
            peer=f"{MOST_S:g} s",
            ratio=max(per_km2_s) / MOST_S,
            required=1.0,
            sense="at most",
            notes=notes,
        ),
        Row(
            what="compare two finished flights at 15 cm, memory at most",
            measured=f"{max(took.peak_bytes for _, took in done) / 1e9:.2f} GB",
            peer=f"{MOST_GB:g} GB",
            ratio=max(took.peak_bytes for _, took in done) / 1e9 / MOST_GB,
            required=1.0,
            sense="at most",
        ),
    ]


def _worth(counted: dict[str, Counted]) -> list[Row]:
    rows = []
    for kind, count in counted.items():
        for name, part, whole, least in (
            ("recall", count.found, count.truths, _WANTED[kind][0]),
            ("precision", count.right, count.candidates, _WANTED[kind][1]),
        ):
            rows.append(
                Row(
                    what=f"compare two finished flights, {kind}: {name}",
                    measured=f"{part} of {whole}",
                    peer="-",
                    ratio=part / whole if whole else float("nan"),
                    required=least,
                    sense="at least",
                    notes=("two places: few objects",),
                )
            )
    return rows
