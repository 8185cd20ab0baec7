"""Frames on the globe: what the map's grid cannot hold is refused, frame by frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.errors import PoseRejected
from flycam.geodata.crs import to_work
from flycam.geometry.terrain import make_flat_terrain
from flycam.model.flight import Layer
from flycam.model.frame import FrameHeader, Provenance
from flycam.mosaic.orthorectify.rectification import project_frame, project_frames
from tests.mosaic.finish.test_ground_control import GROUND, frames


def header(name: str, lon_deg: float, lat_deg: float, work_crs: str) -> FrameHeader:
    """A frame that looks straight down from 100 m at a place."""
    east, north = to_work(np.array([[lon_deg, lat_deg]]), work_crs)[0]
    frame = frames(1)[0]
    exterior = replace(
        frame.exterior, projection_centre_m=(float(east), float(north), GROUND + 100.0), work_crs=work_crs
    )
    return FrameHeader(
        frame_id=name,
        captured_ns=0,
        layer=Layer.COLOUR,
        interior=frame.interior,
        exterior_prior=exterior,
        provenance=Provenance(source_name=name, source_sha256="", camera=""),
    )


def test_ground_across_the_180th_meridian_is_refused_and_its_neighbours_are_not() -> None:
    crs = "EPSG:32660"
    headers = [header("A.JPG", 179.9999, 21.0, crs), header("B.JPG", 179.99, 21.0, crs)]
    (east, north, _) = headers[1].exterior_prior.projection_centre_m
    terrain = make_flat_terrain(GROUND, crs, "EGM96", (east - 5e3, north - 5e3, east + 5e3, north + 5e3))
    (beside,), ((refused, across),) = project_frames(headers, terrain)
    assert (beside.header, refused) == (headers[1], headers[0])
    assert isinstance(across, PoseRejected)
    assert "A.JPG" in str(across)
    with pytest.raises(PoseRejected, match="180th meridian"):
        project_frame(headers[0], terrain)
