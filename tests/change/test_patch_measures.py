from __future__ import annotations

import cv2
import numpy as np
import pytest

from flycam.change.features import PIXEL_FEATURES, compute_coarse_size, compute_prior_water, compute_relief
from flycam.change.patches import MEASURES, CellPlanes, Patch, PatchMeasures, measure_patch

SIDE = 200


def grain(picture: np.ndarray) -> np.ndarray:
    south, east = np.gradient(picture)
    return np.stack([east**2 - south**2, 2 * east * south, east**2 + south**2]).astype(np.float32)


def of(
    mask: np.ndarray,
    after: np.ndarray | None = None,
    unknown: np.ndarray | None = None,
    water: np.ndarray | None = None,
    heights: np.ndarray | None = None,
) -> PatchMeasures:
    """The numbers of a mask on a slope of 0.5 that falls to the south (or on heights given), cells of 1 m;
    unknown: no height. Where water was and where the mask is, the after-date has one colour."""
    rows, _ = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    heights = 500.0 - 0.5 * rows if heights is None else heights.astype(np.float32)
    if unknown is not None:
        heights[unknown] = np.nan
    rough = np.random.default_rng(1).normal(0.0, 0.1, (SIDE, SIDE)).astype(np.float32)
    where = np.nonzero(mask)
    place = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in where)
    relief = compute_relief(heights, 1.0)
    cues = np.zeros((len(PIXEL_FEATURES), SIDE, SIDE), np.float32)
    river = np.zeros((SIDE, SIDE), bool) if water is None else water
    colours = np.where(river | mask, 0.4, -0.4).astype(np.float32)
    colours = np.repeat(cv2.resize(colours, compute_coarse_size(mask.shape, 1.0))[None], 3, axis=0)
    old = compute_prior_water(river, np.zeros_like(river), relief.heights_m, colours, 1.0)
    cues[PIXEL_FEATURES.index("unlike_water")] = old.unlike
    planes = CellPlanes(
        cues=cues,
        grain_before=grain(rough),
        grain_after=grain(rough if after is None else after),
        relief=relief,
        water=old,
        cell_m=1.0,
    )
    logits = np.where(mask, 3.0, -3.0).astype(np.float32)
    return measure_patch(Patch(rows=place[0], cols=place[1], mask=mask[place]), logits, planes)


def number(what: PatchMeasures, name: str) -> float:
    return float(what.values[MEASURES.index(name)])


def box(row: int, col: int, rows: int, cols: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[row : row + rows, col : col + cols] = True
    return mask


def test_size_length_and_slope_are_as_people_read_them() -> None:
    what = of(box(60, 80, 80, 20))
    assert what.area_m2 == 1600.0
    assert what.length_m == pytest.approx(80.0, abs=3.0)
    assert what.mean_slope_deg == pytest.approx(np.degrees(np.arctan(0.5)), abs=0.5)
    assert number(what, "edge") == pytest.approx(6.0, abs=0.1)


def test_a_patch_that_runs_down_the_slope_says_so() -> None:
    down, across = of(box(60, 80, 80, 20)), of(box(80, 60, 20, 80))
    assert number(down, "downhill") > 0.6 > 0.1 > number(across, "downhill")
    assert number(down, "fall") == pytest.approx(0.5, abs=0.06)
    assert number(across, "fall") < 0.2


def test_a_field_fills_its_box_with_straight_edges_and_a_ragged_patch_does_not() -> None:
    rows, cols = np.mgrid[:SIDE, :SIDE] - 100.0
    angle = np.arctan2(rows, cols)
    star = np.hypot(rows, cols) < 30.0 + 9.0 * np.sin(7 * angle)
    field, ragged = of(box(70, 70, 46, 27)), of(star)
    assert number(field, "box_fill") > 0.9 > number(ragged, "box_fill")
    assert number(field, "straight") > 0.9 > number(ragged, "straight")


def test_furrows_run_one_way_and_rubble_none() -> None:
    _, cols = np.mgrid[:SIDE, :SIDE]
    noise = np.random.default_rng(2).normal(0.0, 0.05, (SIDE, SIDE))
    furrows = (0.13 * np.sin(cols * 2 * np.pi / 3.0) + noise).astype(np.float32)
    mask = box(60, 60, 60, 40)
    assert number(of(mask, furrows), "furrowed") > 0.5
    assert number(of(mask, noise.astype(np.float32)), "furrowed") < 0.1
    assert number(of(mask, furrows), "furrowed_before") < 0.1


def test_what_lies_by_the_old_water_and_low_over_it_says_so() -> None:
    river = box(150, 0, 12, SIDE)
    by_it, far = of(box(140, 60, 10, 60), water=river), of(box(40, 60, 10, 60), water=river)
    assert number(by_it, "at_water") > 0.3 > number(far, "at_water")
    assert number(by_it, "from_water") < np.log1p(9.0) < number(far, "from_water")
    assert number(by_it, "over_water") == pytest.approx(0.5 * 5.0, abs=1.5)
    assert number(far, "over_water") > 10.0
    assert number(by_it, "unlike_water") < -1.5
    assert number(of(box(40, 60, 10, 60)), "unlike_water") == 0.0


def test_water_ends_on_a_contour_and_fills_what_is_lowest_and_a_slide_does_neither() -> None:
    rows, cols = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    hollow = 500.0 + 0.1 * np.abs(cols - 100.0) + 0.004 * rows
    wet = np.zeros((SIDE, SIDE), bool)
    wet[30:170] = (np.abs(cols - 100.0) < 30.0)[30:170]
    filled, slid = of(wet, heights=hollow), of(box(60, 80, 80, 20))
    assert number(filled, "level") < -0.5 < 1.0 < number(slid, "level")
    assert number(filled, "fills") > 0.7 > 0.6 > number(slid, "fills")


def test_a_slide_starts_narrow_and_steep_and_its_foot_is_wide_and_flatter() -> None:
    rows, cols = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    bent = 500.0 - 0.8 * rows + 0.002 * rows**2
    tongue = (np.abs(cols - 100.0) < 2.0 + 0.2 * (rows - 40.0)) & (rows > 40) & (rows < 160)
    what, field = (
        of(tongue, heights=bent),
        of(box(60, 80, 40, 40), heights=np.full((SIDE, SIDE), 7.0) + 0.1 * cols),
    )
    assert number(what, "foot") > 0.5 > 0.25 > number(what, "head")
    assert number(what, "runs_out") > 0.1 > abs(number(field, "runs_out"))
