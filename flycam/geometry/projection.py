"""Collinearity with derivatives by pose, lens and ground point.

The lens is a vector of nine numbers around a starting interior orientation, so that a self-calibration can
change it: (relative focal length, relative aspect, principal point u and v in pixels, five distortion
terms). Rotations change by a small rotation about the camera's axes: R' = exp([w]x) R.

Sources: Brown 1971; Kannala and Brandt 2006; Triggs et al., Bundle Adjustment - A Modern Synthesis, 2000.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation, LensModel

Floats = NDArray[np.float64]

LENS_UNKNOWNS = 9
# Radii are not smaller than this, so that the fisheye's ratios have no division by zero.
_SMALL_RADIUS = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectedPoints:
    """N image points and their derivatives.

    uv        N×2; NaN where the point is not in front of the camera
    by_camera N×2×3, by the point in camera axes
    by_lens   N×2×9, by the lens vector
    """

    uv: Floats
    by_camera: Floats
    by_lens: Floats


def to_lens_vector(interior: InteriorOrientation) -> Floats:
    """Return the lens vector of an interior orientation.

    Its focal length is the unit.
    """
    terms = (*interior.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    return np.array([0.0, 0.0, *interior.principal_point_px, *terms])


def apply_lens_vector(interior: InteriorOrientation, lens: Floats) -> InteriorOrientation:
    """Return `interior` with the lens vector applied.

    A PINHOLE with distortion becomes BROWN.
    """
    fx, fy = interior.focal_length_px
    model, terms = interior.model, tuple(float(x) for x in lens[4:])
    if model is LensModel.PINHOLE:
        model, terms = (LensModel.BROWN, terms) if any(terms) else (model, ())
    elif model is LensModel.FISHEYE:
        terms = terms[:4]
    stretch = 1.0 + float(lens[0])
    return replace(
        interior,
        model=model,
        focal_length_px=(fx * stretch, fy * stretch * (1.0 + float(lens[1]))),
        principal_point_px=(float(lens[2]), float(lens[3])),
        distortion=terms,
    )


def project_camera_points(interior: InteriorOrientation, lens: Floats, camera_m: Floats) -> Floats:
    """Project points N×3 in camera axes to image points N×2.

    NaN where they are not in front of the camera.
    """
    x, y = _normalised(camera_m)
    distort = _fisheye if interior.model is LensModel.FISHEYE else _brown
    xd, yd = distort(lens[4:], x, y)
    fx, fy = _focal(interior, lens)
    return np.stack([fx * xd + lens[2], fy * yd + lens[3]], axis=-1)


def project_with_derivatives(
    interior: InteriorOrientation, lens: Floats, camera_m: Floats
) -> ProjectedPoints:
    """Project points, with derivatives by camera coordinates and by the lens vector.

    As `project_camera_points`. Unlike `camera.project` no monotone radius is enforced: an adjustment passes
    through lenses that are not physical, and observations lie inside the image.
    """
    x, y = _normalised(camera_m)
    fisheye = interior.model is LensModel.FISHEYE
    xd, yd = (_fisheye if fisheye else _brown)(lens[4:], x, y)
    terms = (_fisheye_terms if fisheye else _brown_terms)(lens[4:], x, y)
    uv, by_camera = project_with_camera_derivatives(interior, lens, camera_m)
    focal = np.array(_focal(interior, lens))

    by_lens = np.zeros((len(x), 2, LENS_UNKNOWNS))
    by_lens[:, 0, 0] = xd * interior.focal_length_px[0]
    by_lens[:, 1, 0] = yd * interior.focal_length_px[1] * (1.0 + lens[1])
    by_lens[:, 1, 1] = yd * interior.focal_length_px[1] * (1.0 + lens[0])
    by_lens[:, 0, 2] = by_lens[:, 1, 3] = 1.0
    by_lens[:, :, 4:] = terms * focal[:, None]
    return ProjectedPoints(uv=uv, by_camera=by_camera, by_lens=by_lens)


def project_with_camera_derivatives(
    interior: InteriorOrientation, lens: Floats, camera_m: Floats
) -> tuple[Floats, Floats]:
    """Return image points N×2 and their derivatives by camera coordinates, N×2×3."""
    x, y = _normalised(camera_m)
    fisheye = interior.model is LensModel.FISHEYE
    xd, yd = (_fisheye if fisheye else _brown)(lens[4:], x, y)
    fx, fy = _focal(interior, lens)
    plane = (_fisheye_plane if fisheye else _brown_plane)(lens[4:], x, y) * np.array([fx, fy])[:, None]
    by_camera = np.empty((len(x), 2, 3))
    by_camera[:, :, :2] = plane
    by_camera[:, :, 2] = -(plane[:, :, 0] * x[:, None] + plane[:, :, 1] * y[:, None])
    by_camera /= camera_m[:, 2, None, None]
    return np.stack([fx * xd + lens[2], fy * yd + lens[3]], axis=-1), by_camera


def compute_rotation_derivative(camera_m: Floats) -> Floats:
    """Return the derivative N×3×3 of exp([w]x) p by w at w = 0: -[p]x.

    camera_m are points p, N×3, in camera axes.
    """
    x, y, z = np.moveaxis(camera_m, -1, 0)
    result = np.zeros((*x.shape, 3, 3))
    result[..., 0, 1], result[..., 0, 2] = z, -y
    result[..., 1, 0], result[..., 1, 2] = -z, x
    result[..., 2, 0], result[..., 2, 1] = y, -x
    return result


def _normalised(camera_m: Floats) -> tuple[Floats, Floats]:
    x, y, z = np.moveaxis(camera_m, -1, 0)
    depth = np.where(z > 0.0, z, np.nan)
    return x / depth, y / depth


def _focal(interior: InteriorOrientation, lens: Floats) -> tuple[float, float]:
    fx, fy = interior.focal_length_px
    return float(fx * (1.0 + lens[0])), float(fy * (1.0 + lens[0]) * (1.0 + lens[1]))


def _brown(terms: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    k1, k2, p1, p2, k3 = (float(t) for t in terms)
    r2, xy = x * x + y * y, x * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return (
        x * radial + 2.0 * p1 * xy + p2 * (r2 + 2.0 * x * x),
        y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * xy,
    )


def _brown_plane(terms: Floats, x: Floats, y: Floats) -> Floats:
    """Return derivatives of the distorted point by (x, y), N×2×2."""
    k1, k2, p1, p2, k3 = (float(t) for t in terms)
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 2.0 * (k1 + r2 * (2.0 * k2 + r2 * 3.0 * k3))
    plane = np.empty((len(x), 2, 2))
    plane[:, 0, 0] = radial + slope * x * x + 2.0 * p1 * y + 6.0 * p2 * x
    plane[:, 0, 1] = plane[:, 1, 0] = slope * x * y + 2.0 * p1 * x + 2.0 * p2 * y
    plane[:, 1, 1] = radial + slope * y * y + 6.0 * p1 * y + 2.0 * p2 * x
    return plane


def _brown_terms(_terms: Floats, x: Floats, y: Floats) -> Floats:
    """Return derivatives of the distorted point by k1 k2 p1 p2 k3, N×2×5."""
    r2 = x * x + y * y
    by_terms = np.empty((len(x), 2, 5))
    point = np.stack([x, y], axis=-1)
    for column, power in ((0, r2), (1, r2 * r2), (4, r2 * r2 * r2)):
        by_terms[:, :, column] = point * power[:, None]
    by_terms[:, 0, 2] = by_terms[:, 1, 3] = 2.0 * x * y
    by_terms[:, 1, 2], by_terms[:, 0, 3] = r2 + 2.0 * y * y, r2 + 2.0 * x * x
    return by_terms


def _fisheye(terms: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    ratio = _fisheye_ratio(terms, np.maximum(np.hypot(x, y), _SMALL_RADIUS))[0]
    return x * ratio, y * ratio


def _fisheye_ratio(terms: Floats, radius: Floats) -> tuple[Floats, Floats, Floats]:
    """Return distorted over undistorted radius, its derivative, and the angle.

    The derivative is by the radius.
    """
    k1, k2, k3, k4 = (float(t) for t in terms[:4])
    theta = np.arctan(radius)
    t2 = theta * theta
    bent = theta * (1.0 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    slope = 1.0 + t2 * (3.0 * k1 + t2 * (5.0 * k2 + t2 * (7.0 * k3 + t2 * 9.0 * k4)))
    ratio = bent / radius
    return ratio, (slope / (1.0 + radius * radius) - ratio) / radius, theta


def _fisheye_plane(terms: Floats, x: Floats, y: Floats) -> Floats:
    radius = np.maximum(np.hypot(x, y), _SMALL_RADIUS)
    ratio, change, _ = _fisheye_ratio(terms, radius)
    plane = np.empty((len(x), 2, 2))
    plane[:, 0, 0] = ratio + change * x * x / radius
    plane[:, 0, 1] = plane[:, 1, 0] = change * x * y / radius
    plane[:, 1, 1] = ratio + change * y * y / radius
    return plane


def _fisheye_terms(_terms: Floats, x: Floats, y: Floats) -> Floats:
    radius = np.maximum(np.hypot(x, y), _SMALL_RADIUS)
    theta = np.arctan(radius)
    by_terms = np.zeros((len(x), 2, 5))
    point = np.stack([x, y], axis=-1)
    t2 = theta * theta
    power = theta / radius
    for column in range(4):
        power = power * t2
        by_terms[:, :, column] = point * power[:, None]
    return by_terms
