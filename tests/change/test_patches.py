from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from shapely.geometry import Polygon

from flycam.change.detection import extract_patches, select_disjoint, trace_rings
from flycam.geodata.raster import trace_cell_rings


def drawn(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for row, col, rows, cols in boxes:
        mask[row : row + rows, col : col + cols] = True
    return mask


def test_an_outline_runs_along_the_cells_edges_with_its_holes() -> None:
    mask = drawn(30, 30, (5, 5, 20, 16))
    mask[10:16, 9:14] = False
    (patch,) = extract_patches(mask, 1)
    exterior, hole = trace_rings(patch, (1.0, 1.0), 4)
    shape = Polygon(exterior, [hole])
    assert shape.is_valid
    assert abs(shape.area - mask.sum()) < 0.02 * mask.sum()
    # cell (row 5, col 5) reaches from 4.5 to 5.5
    np.testing.assert_allclose(shape.bounds, (4.5, 4.5, 20.5, 24.5), atol=1e-6)
    assert len(trace_rings(patch, (1.0, 1.0), 40)) == 1


@pytest.mark.parametrize("turn", range(0, 90, 15))
def test_a_slope_of_any_bearing_keeps_its_area_in_a_smooth_outline(turn: int) -> None:
    box = cv2.boxPoints(((50.0, 50.0), (60.0, 24.0), float(turn)))
    mask = cv2.fillPoly(np.zeros((100, 100), np.uint8), [np.rint(box).astype(np.int32)], 1) > 0
    (patch,) = extract_patches(mask, 1)
    (ring,) = trace_rings(patch, (1.0, 1.0), 1)
    assert Polygon(ring).area == pytest.approx(patch.cells, rel=0.02)
    assert len(ring) <= max(0.75 * len(trace_cell_rings(patch.mask)[0]), 5)


def test_outlines_are_in_pixels_of_the_pair() -> None:
    (patch,) = extract_patches(drawn(30, 30, (10, 4, 10, 20)), 1)
    (ring,) = trace_rings(patch, (3.0, 2.0), 4)
    # cells 4 to 23 of three pixels each: pixels 12 to 71, edges 11.5 to 71.5
    np.testing.assert_allclose(ring.min(0), (11.5, 19.5), atol=1e-6)
    np.testing.assert_allclose(ring.max(0), (71.5, 39.5), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, (24, 31)))
def test_every_patch_has_an_outline_with_its_area_and_all_cells_are_kept(mask: np.ndarray) -> None:
    smooth = cv2.medianBlur(mask.astype(np.uint8), 5) > 0
    patches = extract_patches(smooth, 1)
    assert sum(p.cells for p in patches) == smooth.sum()
    for patch in patches:
        rings = trace_rings(patch, (1.0, 1.0), 1)
        area = Polygon(rings[0]).area - sum(Polygon(ring).area for ring in rings[1:])
        assert 0.98 * patch.cells <= area <= 1.02 * patch.cells


def test_of_patches_that_overlap_the_first_is_kept() -> None:
    whole, part, beside = (
        drawn(40, 60, (5, 5, 20, 20)),
        drawn(40, 60, (5, 5, 8, 8)),
        drawn(40, 60, (5, 23, 20, 20)),
    )
    patches = [extract_patches(mask, 1)[0] for mask in (whole, part, beside)]
    # the last shares 40 of its 400 cells with the first
    assert select_disjoint(patches, (40, 60), 0.25) == [0, 2]
    assert select_disjoint([patches[1], patches[0]], (40, 60), 0.25) == [0]
    assert select_disjoint(patches, (40, 60), 0.05) == [0]
    assert select_disjoint([], (40, 60), 0.25) == []
