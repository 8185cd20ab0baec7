"""Run by the peer's own Python, never imported: COLMAP's bundle adjustment with pose priors over given ties.

    python colmap_adjust.py BLOCK.npz RESULT.npz

BLOCK  size_px 2; lens (fx fy cx cy k1 k2 p1 p2 k3), pixel centres at integers; centre n×3 and rotation n×3×3
       (world to camera) as recorded, metres around the block; sigma_m 3; frame, track, uv of the observations
RESULT centre n×3, error_px (mean reprojection), points, of each variant: the camera free or held, heights
       trusted as recorded or as much as places in plan
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pycolmap

_GATES_PX = (40.0, 8.0, 2.0)  # residuals cut after each round
_LEAST_ANGLE_DEG = 1.0


def main() -> int:
    """Adjust the block and write what came out."""
    block = dict(np.load(sys.argv[1]))
    results = {}
    recorded = block["sigma_m"]
    for name, free, sigma in (
        ("free", True, recorded),
        ("held", False, recorded),
        ("free, heights as plan", True, recorded[[0, 1, 0]]),
        ("held, heights as plan", False, recorded[[0, 1, 0]]),
    ):
        for key, value in _adjusted({**block, "sigma_m": sigma}, free).items():
            results[f"{name}/{key}"] = value
    np.savez(sys.argv[2], **results)
    return 0


def _adjusted(block: dict[str, np.ndarray], free: bool) -> dict[str, np.ndarray]:
    model, numbers = _model(block)
    for gate in _GATES_PX:
        _bundle(model, block, numbers, free)
        pycolmap.ObservationManager(model).filter_all_points3D(gate, _LEAST_ANGLE_DEG)
    _bundle(model, block, numbers, free)
    centre = np.array([model.image(number).projection_center() for number in numbers])
    return {
        "centre": centre,
        "error_px": np.array(model.compute_mean_reprojection_error()),
        "points": np.array(model.num_points3D()),
    }


def _model(block: dict[str, np.ndarray]) -> tuple[pycolmap.Reconstruction, list[int]]:
    """The block before adjustment: recorded poses, points where recorded rays meet best."""
    model = pycolmap.Reconstruction()
    width, height = (int(n) for n in block["size_px"])
    fx, fy, cx, cy, k1, k2, p1, p2, k3 = block["lens"]
    # COLMAP counts pixels from their corners
    params = [fx, fy, cx + 0.5, cy + 0.5, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0]
    camera = pycolmap.Camera(camera_id=1, model="FULL_OPENCV", width=width, height=height, params=params)
    model.add_camera_with_trivial_rig(camera)
    frame, track = block["frame"], block["track"]
    uv = block["uv"] + 0.5
    place = np.empty(len(frame), dtype=np.int64)
    poses, numbers = [], []
    for index, (centre, rotation) in enumerate(zip(block["centre"], block["rotation"], strict=True)):
        here = np.flatnonzero(frame == index)
        place[here] = np.arange(here.size)
        image = pycolmap.Image(name=f"{index:05d}", keypoints=uv[here], camera_id=1, image_id=index + 1)
        pose = pycolmap.Rigid3d(np.column_stack([rotation, -rotation @ centre]))
        model.add_image_with_trivial_frame(image, pose)
        poses.append(pose.matrix())
        numbers.append(index + 1)
    rays = np.concatenate([camera.cam_from_img(uv), np.ones((len(uv), 1))], axis=1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    edges = np.flatnonzero(np.diff(track, prepend=-1, append=-1))
    for start, stop in pairwise(edges):
        seen = range(start, stop)
        point = pycolmap.triangulate_multi_view_point([poses[frame[k]] for k in seen], rays[start:stop])
        if point is None or not np.isfinite(point).all():
            continue
        elements = [pycolmap.TrackElement(int(frame[k]) + 1, int(place[k])) for k in seen]
        model.add_point3D(point, pycolmap.Track(elements=elements))
    return model, numbers


def _bundle(
    model: pycolmap.Reconstruction, block: dict[str, np.ndarray], numbers: list[int], free: bool
) -> None:
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = options.refine_principal_point = options.refine_extra_params = free
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = 1.0
    prior = pycolmap.PosePriorBundleAdjustmentOptions()
    prior.alignment_ransac.random_seed = 0
    config = pycolmap.BundleAdjustmentConfig()
    priors = []
    for number, centre in zip(numbers, block["centre"], strict=True):
        config.add_image(number)
        one = pycolmap.PosePrior()
        one.pose_prior_id = number
        one.corr_data_id = model.image(number).data_id
        one.position = centre
        one.position_covariance = np.diag(block["sigma_m"] ** 2)
        one.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
        priors.append(one)
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(options, prior, config, priors, model)
    adjuster.solve()


if __name__ == "__main__":
    sys.exit(main())
