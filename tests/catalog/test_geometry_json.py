from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flycam.catalog.tables import (
    exterior_from_json,
    exterior_to_json,
    interior_from_json,
    interior_to_json,
    provenance_from_json,
    provenance_to_json,
)
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource
from flycam.model.frame import Provenance

_FLOAT = st.floats(allow_nan=False)
_VECTOR = st.tuples(_FLOAT, _FLOAT, _FLOAT)
_EXTERIOR = st.builds(
    ExteriorOrientation,
    projection_centre_m=_VECTOR,
    rotation=st.tuples(_VECTOR, _VECTOR, _VECTOR),
    work_crs=st.text(),
    vertical_datum=st.text(),
    grid_scale=_FLOAT,
    sigma_position_m=_VECTOR,
    sigma_attitude_rad=_VECTOR,
    source=st.sampled_from(PoseSource),
    version=st.integers(0, 1000),
    height_on_terrain=st.booleans(),
    motion=st.none() | st.builds(CameraMotion, velocity_mps=_VECTOR, turn_radps=_VECTOR),
)
_INTERIOR = st.builds(
    InteriorOrientation,
    model=st.sampled_from(LensModel),
    image_size_px=st.tuples(st.integers(1, 1 << 20), st.integers(1, 1 << 20)),
    focal_length_px=st.tuples(_FLOAT, _FLOAT),
    principal_point_px=st.tuples(_FLOAT, _FLOAT),
    distortion=st.lists(_FLOAT, max_size=5).map(tuple),
    readout_s=st.none() | _FLOAT,
    calibration_id=st.text(),
    sigma_focal_rel=_FLOAT,
)
_PROVENANCE = st.builds(
    Provenance,
    source_name=st.text(),
    source_sha256=st.text(),
    camera=st.text(),
    settled=st.lists(st.text(), max_size=3).map(tuple),
)


@given(_EXTERIOR)
def test_a_pose_comes_back_bit_for_bit(exterior: ExteriorOrientation) -> None:
    back = exterior_from_json(exterior_to_json(exterior))
    assert back == exterior
    assert exterior_to_json(back) == exterior_to_json(exterior), "also the sign of zero"


def test_a_pose_without_motion_is_written_as_it_always_was() -> None:
    """Hashes of placements and finished revisions are of this text."""
    pose = ExteriorOrientation(
        projection_centre_m=(1.0, 2.0, 3.0),
        rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        sigma_position_m=(1.0, 1.0, 1.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.GNSS,
    )
    assert "motion" not in exterior_to_json(pose)
    assert exterior_to_json(pose).endswith('"source":"gnss","version":0}')


@given(_INTERIOR)
def test_a_camera_comes_back_bit_for_bit(interior: InteriorOrientation) -> None:
    back = interior_from_json(interior_to_json(interior))
    assert back == interior
    assert isinstance(back.image_size_px[0], int)


@given(_PROVENANCE)
def test_provenance_comes_back(provenance: Provenance) -> None:
    text = provenance_to_json(provenance)
    assert provenance_from_json(text) == provenance
    assert provenance_from_json(text.replace("{", '{"operator":null,', 1)) == provenance, "as of before"
