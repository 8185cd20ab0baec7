from __future__ import annotations

import numpy as np
import pytest

from flycam.errors import InputUnusable
from flycam.geodata.crs import to_work
from flycam.ingest.poses.block_positions import with_gcp_positions
from flycam.ingest.poses.external_poses import has_ground_control
from flycam.ingest.preflight.flight_table import wrap_degrees
from tests.ingest.photos.made_flights import photo
from tests.ingest.preflight.painted_plain import FOCAL_PX, HEIGHT_M, LENS, SIZE, Flight, painted_plain

CRS = "EPSG:32648"
ORIGIN_M = np.array([479_000.0, 2_421_000.0])
MARKS = [(0, (40.0, 60.0)), (1, (250.0, 30.0)), (4, (60.0, 200.0)), (5, (280.0, 180.0))]


@pytest.fixture(scope="module")
def flight():
    return Flight(painted_plain())


@pytest.fixture(scope="module")
def photos():
    return [photo(f"{row}.png", image_size_px=SIZE) for row in range(6)]


def listed(tmp_path, flight, marks=MARKS, off_m=()):
    """A list of control points at marks (photo, pixel) of a flight."""
    lines = [CRS]
    for number, (row, uv) in enumerate(marks):
        x, y = (np.array(uv) - LENS.principal_point_px) / FOCAL_PX
        look = np.array([x, y, 1.0]) @ flight.true[row]
        place = ORIGIN_M + flight.true_xy[row] + HEIGHT_M * look[:2] / -look[2]
        place = place + (off_m[number] if number < len(off_m) else 0.0)
        lines.append(f"{place[0]:.3f} {place[1]:.3f} 100 {uv[0] + 0.5} {uv[1] + 0.5} {row}.png p{number}")
    path = tmp_path / "gcp_list.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_photos_without_a_position_are_placed_by_four_points_and_their_overlap(tmp_path, flight, photos):
    path = listed(tmp_path, flight)
    assert has_ground_control(path)
    placed, (finding,) = with_gcp_positions(photos, path, LENS, flight.grey)
    xy = to_work(np.array([(p.lon_deg, p.lat_deg) for p in placed]), CRS)
    np.testing.assert_allclose(xy, ORIGIN_M + flight.true_xy, atol=2.0)
    off = wrap_degrees(np.array([p.direction_deg for p in placed]) - 45.0)
    assert np.abs(off).max() < 3.0
    assert finding.code == "placed_by_control" and "6 of 6" in str(finding.sentence)


@pytest.mark.parametrize(
    ("marks", "off_m", "words"),
    [(MARKS[:2], (), "three are needed"), (MARKS, (0.0, 90.0, -90.0, 60.0), "check marks")],
)
def test_points_that_do_not_place_the_block_are_refused_with_the_cure(
    tmp_path, flight, photos, marks, off_m, words
):
    path = listed(tmp_path, flight, marks, off_m)
    with pytest.raises(InputUnusable, match=words) as caught:
        with_gcp_positions(photos, path, LENS, flight.grey)
    assert "gcp_list.txt" in str(caught.value)
