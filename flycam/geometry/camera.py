"""Camera model: collinearity with pinhole, Brown-Conrady and fisheye lenses.

Normalised coordinates are (x, y) = (X, Y) / Z in camera axes; image coordinates are (u, v) pixels with
pixel centres at integers. A distortion polynomial is used only where it is monotone: beyond that radius
one image point would belong to two directions.

Sources: Brown, Close-Range Camera Calibration, 1971 (radial and decentring distortion); Kannala and
Brandt, PAMI 28(8), 2006 (fisheye); OpenCV calib3d for the order of the coefficients.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.rolling_shutter import compute_point_velocities, compute_row_times, is_rolling

Floats = NDArray[np.float64]
Scalars = float | Floats
"""A number, or one for each of many frames, in a shape that broadcasts against the points."""

_NEWTON_STEPS = 20
_NEWTON_TOLERANCE = 1e-12
_UNBOUNDED = float("inf")
# Row times are extrapolated at most this many image heights outside the image: farther out the
# correction of far ground would diverge.
_ROWS_BESIDE = 1.0
# Where the row time changes by more than this share of the time step, it is not extrapolated.
_STEADY_ROW = 0.5


class PoseLike(Protocol):
    """Pose as far as it projects points.

    An `ExteriorOrientation`, or many frames' in arrays.
    """

    @property
    def projection_centre_m(self) -> tuple[Scalars, Scalars, Scalars]: ...

    @property
    def rotation(self) -> tuple[tuple[Scalars, Scalars, Scalars], ...]: ...

    @property
    def grid_scale(self) -> Scalars: ...


def project(
    interior: InteriorOrientation, exterior: ExteriorOrientation, world_m: Floats
) -> tuple[Floats, Floats]:
    """Project world points N×3 (work CRS metres) into the image.

    Returns image points N×2 (u, v) and depths N along the viewing axis, in the metres of `grid_scale` (true
    metres). uv is NaN where the depth is not positive, where the point is NaN, or beyond the lens's monotone
    radius; it is not limited to the image: points outside have coordinates too. Where the pose has a motion,
    every row is projected at its own read-out time (`correct_rolling_shutter`).
    """
    place = transform_to_camera(exterior, *np.moveaxis(np.asarray(world_m, dtype=np.float64), -1, 0))
    x, y, depth = correct_rolling_shutter(interior, exterior, *place)
    with np.errstate(divide="ignore", invalid="ignore"):
        xn, yn = x / depth, y / depth
        inside = (depth > 0.0) & (xn * xn + yn * yn <= compute_valid_radius(interior) ** 2)
    u, v = distort(interior, np.where(inside, xn, np.nan), np.where(inside, yn, np.nan))
    return np.stack([u, v], axis=-1), depth


def transform_to_camera(
    exterior: PoseLike, east: Floats, north: Floats, height: Floats
) -> tuple[Floats, Floats, Floats]:
    """Transform world coordinates to camera axes (x right, y down, z forward).

    World coordinates are of any equal shape, work CRS metres. Written out element by element: a matrix
    product may round differently with the number of points, and the same ground must give the same pixel
    in every call.
    """
    ce, cn, ch = exterior.projection_centre_m
    de, dn, dh = east - ce, north - cn, (height - ch) * exterior.grid_scale
    x, y, z = (r[0] * de + r[1] * dn + r[2] * dh for r in exterior.rotation)
    return x, y, z


def correct_rolling_shutter(
    interior: InteriorOrientation, exterior: ExteriorOrientation, x: Floats, y: Floats, depth: Floats
) -> tuple[Floats, Floats, Floats]:
    """Move points in camera axes (any equal shape) to the read-out time of their row.

    Returns the same arrays where the shutter is not rolling or the pose has no motion. The row depends on the
    time: two evaluations and the line through them, element by element; the remaining error is below 1e-3 px
    for a drone (see the tests). Points that are not in front of the camera, or beyond the lens's monotone
    radius, are not moved. Model: `geometry.rolling_shutter`.
    """
    if not is_rolling(interior, exterior):
        return x, y, depth
    dx, dy, dz = compute_point_velocities(exterior, x, y, depth)
    limit = compute_valid_radius(interior) ** 2
    latest = (0.5 + _ROWS_BESIDE) * abs(interior.readout_s or 0.0)

    def moment(t: Floats | float) -> Floats:
        """Return the read-out time of the points' row at t; t where they are on no row."""
        with np.errstate(divide="ignore", invalid="ignore"):
            z = depth + t * dz
            xn, yn = (x + t * dx) / z, (y + t * dy) / z
            good = (z > 0.0) & (xn * xn + yn * yn <= limit)
            _, v = distort(interior, np.where(good, xn, np.nan), np.where(good, yn, np.nan))
            return np.where(good, np.clip(compute_row_times(interior, v), -latest, latest), t)

    first = moment(0.0)
    second = moment(first)
    # slope of the line through both times
    row = (second - first) / np.where(first == 0.0, 1.0, first)
    t = np.clip(first / np.where(np.abs(row) < _STEADY_ROW, 1.0 - row, 1.0), -latest, latest)
    return x + t * dx, y + t * dy, depth + t * dz


def compute_image_rays(interior: InteriorOrientation, exterior: ExteriorOrientation, uv: Floats) -> Floats:
    """Return unit directions N×3 in world axes and grid units of image points N×2.

    They hold for the read-out time of the middle row. `projection_centre + t * direction` is a straight line
    in the work CRS (the vertical is already divided by grid_scale). NaN where the image point lies outside
    what the lens model can produce.
    """
    uv = np.asarray(uv, dtype=np.float64)
    x, y, z = compute_ray_directions(interior, uv[..., 0], uv[..., 1])
    r = np.asarray(exterior.rotation)
    rays = np.stack([r[0, k] * x + r[1, k] * y + r[2, k] * z for k in range(3)], axis=-1)
    rays[..., 2] /= exterior.grid_scale
    unit: Floats = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return unit


def compute_viewing_rays(
    interior: InteriorOrientation, exterior: ExteriorOrientation, uv: Floats
) -> tuple[Floats, Floats]:
    """Return camera positions and viewing rays at the read-out times of image points.

    Image points N×2; positions and unit directions, both N×3. The inverse of `project`: a point on the ray
    projects to the image point. Otherwise as `compute_image_rays`; without a motion the position is the
    projection centre everywhere. From p + t (w × p - R V) = s d the ray of p is that of
    (1 + t [w]x)⁻¹ d from (1 + t [w]x)⁻¹ t R V.
    """
    uv = np.asarray(uv, dtype=np.float64)
    centre = np.asarray(exterior.projection_centre_m)
    if not is_rolling(interior, exterior) or exterior.motion is None:
        rays = compute_image_rays(interior, exterior, uv)
        return np.broadcast_to(centre, rays.shape), rays
    t = compute_row_times(interior, uv[..., 1])[..., None, None]
    w, rotation = exterior.motion.turn_radps, np.asarray(exterior.rotation)
    stretch = np.array([1.0, 1.0, exterior.grid_scale])
    direction = np.stack(compute_ray_directions(interior, uv[..., 0], uv[..., 1]), axis=-1)
    cross = np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])
    back = np.linalg.inv(np.eye(3) + t * cross)
    travel = t[..., 0] * (rotation @ (np.asarray(exterior.motion.velocity_mps) * stretch))
    place, rays = ((back @ part[..., None])[..., 0] @ rotation / stretch for part in (travel, direction))
    return centre + place, rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def distort(interior: InteriorOrientation, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Convert normalised coordinates (equal shapes) to image points (u, v)."""
    (fx, fy), (cx, cy) = interior.focal_length_px, interior.principal_point_px
    xd, yd = _lens(interior)(x, y)
    return fx * xd + cx, fy * yd + cy


def undistort(interior: InteriorOrientation, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Convert image points (equal shapes) to normalised coordinates.

    NaN where the lens cannot produce them. Newton's method on the full model (radial and decentring
    together), so that `distort` of the result gives the image point back to 1e-9 px.
    """
    (fx, fy), (cx, cy) = interior.focal_length_px, interior.principal_point_px
    xd = (np.asarray(u, dtype=np.float64) - cx) / fx
    yd = (np.asarray(v, dtype=np.float64) - cy) / fy
    if interior.model is LensModel.PINHOLE:
        return xd, yd
    if interior.model is LensModel.FISHEYE:
        theta = _fisheye_angle(interior, np.hypot(xd, yd))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(theta < np.pi / 2, np.tan(theta), np.nan) / np.hypot(xd, yd)
        ratio = np.where(np.hypot(xd, yd) < 1e-12, 1.0, ratio)
        return xd * ratio, yd * ratio
    return _brown_inverse(interior, xd, yd)


def compute_ray_directions(
    interior: InteriorOrientation, u: Floats, v: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return directions (not normalised) in camera axes of image points.

    A fisheye may look beyond 90°.
    """
    if interior.model is not LensModel.FISHEYE:
        x, y = undistort(interior, u, v)
        return x, y, np.ones_like(x)
    (fx, fy), (cx, cy) = interior.focal_length_px, interior.principal_point_px
    xd, yd = (u - cx) / fx, (v - cy) / fy
    radius = np.hypot(xd, yd)
    theta = _fisheye_angle(interior, radius)
    ratio = np.where(radius < 1e-12, 1.0, np.sin(theta) / np.maximum(radius, 1e-12))
    return xd * ratio, yd * ratio, np.cos(theta)


@lru_cache(maxsize=256)
def compute_valid_radius(interior: InteriorOrientation) -> float:
    """Return the largest normalised radius up to which the radial polynomial rises.

    The radius is hypot(X, Y)/Z, infinite if the polynomial always rises. It is the smallest positive root of
    d(r * radial(r))/dr: 1 + 3 k1 s + 5 k2 s² + 7 k3 s³ (+ 9 k4 s⁴) = 0
    with s = r² (Brown) or s = theta² (fisheye).
    """
    if interior.model is LensModel.PINHOLE:
        return _UNBOUNDED
    angle_or_radius = _monotone_limit(_radial_coefficients(interior))
    if interior.model is LensModel.BROWN:
        return angle_or_radius
    return float(np.tan(angle_or_radius)) if angle_or_radius < np.pi / 2 else _UNBOUNDED


def scale_interior(interior: InteriorOrientation, new_size_px: tuple[int, int]) -> InteriorOrientation:
    """Return the interior orientation for an image resized to (width, height).

    Pixel corners, not centres, keep their place.
    """
    sx = new_size_px[0] / interior.image_size_px[0]
    sy = new_size_px[1] / interior.image_size_px[1]
    (fx, fy), (cx, cy) = interior.focal_length_px, interior.principal_point_px
    return replace(
        interior,
        image_size_px=new_size_px,
        focal_length_px=(fx * sx, fy * sy),
        principal_point_px=((cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5),
    )


def is_in_image(interior: InteriorOrientation, u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Return True where points lie between the outermost pixel centres (NaN: False)."""
    width, height = interior.image_size_px
    inside: NDArray[np.bool_] = (u >= 0.0) & (u <= width - 1.0) & (v >= 0.0) & (v <= height - 1.0)
    return inside


def _radial_coefficients(interior: InteriorOrientation) -> tuple[float, ...]:
    d = interior.distortion
    if interior.model is LensModel.BROWN:
        k1, k2, _, _, k3 = (*d, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        return k1, k2, k3
    return tuple((*d, 0.0, 0.0, 0.0, 0.0)[:4])


def _monotone_limit(radial: tuple[float, ...]) -> float:
    derivative = [1.0] + [(2 * i + 3) * k for i, k in enumerate(radial)]
    # a coefficient this small bends the polynomial back far beyond any lens, but overflows the root finder
    while len(derivative) > 1 and abs(derivative[-1]) < 1e-12:
        derivative.pop()
    if len(derivative) == 1:
        return _UNBOUNDED
    roots = np.polynomial.polynomial.polyroots(derivative)
    positive = roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0.0)]
    return float(np.sqrt(positive.min())) if positive.size else _UNBOUNDED


class _BrownLens:
    """Brown-Conrady distortion in normalised coordinates."""

    def __init__(self, interior: InteriorOrientation) -> None:
        self.k1, self.k2, self.p1, self.p2, self.k3 = (*interior.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        xx, yy, xy = x * x, y * y, x * y
        r2 = xx + yy
        radial = 1.0 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        xd = x * radial + (2.0 * self.p1) * xy + self.p2 * (r2 + 2.0 * xx)
        yd = y * radial + self.p1 * (r2 + 2.0 * yy) + (2.0 * self.p2) * xy
        return xd, yd

    def jacobian(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Return (dxd/dx, dxd/dy = dyd/dx, dyd/dy)."""
        r2 = x * x + y * y
        radial = 1.0 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        slope = 2.0 * (self.k1 + r2 * (2.0 * self.k2 + r2 * 3.0 * self.k3))
        jxx = radial + slope * x * x + 2.0 * self.p1 * y + 6.0 * self.p2 * x
        jxy = slope * x * y + 2.0 * self.p1 * x + 2.0 * self.p2 * y
        jyy = radial + slope * y * y + 6.0 * self.p1 * y + 2.0 * self.p2 * x
        return jxx, jxy, jyy


class _FisheyeLens:
    """Equidistant projection with an odd polynomial of the angle."""

    def __init__(self, interior: InteriorOrientation) -> None:
        self.k1, self.k2, self.k3, self.k4 = (*interior.distortion, 0.0, 0.0, 0.0, 0.0)[:4]

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        r = np.sqrt(x * x + y * y)
        theta = np.arctan(r)
        ratio = self.radius(theta) / np.maximum(r, 1e-12)
        ratio = np.where(r < 1e-12, 1.0, ratio)
        return x * ratio, y * ratio

    def radius(self, theta: Floats) -> Floats:
        t2 = theta * theta
        return theta * (1.0 + t2 * (self.k1 + t2 * (self.k2 + t2 * (self.k3 + t2 * self.k4))))

    def slope(self, theta: Floats) -> Floats:
        t2 = theta * theta
        k1, k2, k3, k4 = 3 * self.k1, 5 * self.k2, 7 * self.k3, 9 * self.k4
        return 1.0 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))


@lru_cache(maxsize=256)
def _lens(interior: InteriorOrientation) -> _BrownLens | _FisheyeLens | _PinholeLens:
    if interior.model is LensModel.BROWN:
        return _BrownLens(interior)
    if interior.model is LensModel.FISHEYE:
        return _FisheyeLens(interior)
    return _PinholeLens()


class _PinholeLens:
    """Lens without distortion."""

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        return x, y


def _fisheye_angle(interior: InteriorOrientation, radius: Floats) -> Floats:
    """Return the angles from the axis at distorted radii.

    NaN beyond the monotone range.
    """
    lens = _FisheyeLens(interior)
    limit = min(_monotone_limit(_radial_coefficients(interior)), np.pi)
    theta = np.minimum(radius, limit)
    for _ in range(_NEWTON_STEPS):
        step = (lens.radius(theta) - radius) / np.maximum(lens.slope(theta), 1e-3)
        theta = np.clip(theta - step, 0.0, limit)
        if not np.any(np.abs(step) > _NEWTON_TOLERANCE):
            break
    return np.where(np.abs(lens.radius(theta) - radius) < 1e-9, theta, np.nan)


def _brown_inverse(interior: InteriorOrientation, xd: Floats, yd: Floats) -> tuple[Floats, Floats]:
    lens = _BrownLens(interior)
    limit = compute_valid_radius(interior)
    x, y = xd.copy(), yd.copy()
    for _ in range(_NEWTON_STEPS):
        # beyond the monotone radius the iteration would converge to the polynomial's other branch
        shrink = np.minimum(1.0, 0.999 * limit / np.maximum(np.hypot(x, y), 1e-12))
        x, y = x * shrink, y * shrink
        fx, fy = lens(x, y)
        ex, ey = fx - xd, fy - yd
        jxx, jxy, jyy = lens.jacobian(x, y)
        det = jxx * jyy - jxy * jxy
        det = np.where(np.abs(det) < 1e-6, 1e-6, det)
        dx, dy = (jyy * ex - jxy * ey) / det, (jxx * ey - jxy * ex) / det
        x, y = x - dx, y - dy
        if not np.any(np.abs(dx) + np.abs(dy) > _NEWTON_TOLERANCE):
            break
    fx, fy = lens(x, y)
    good = (np.abs(fx - xd) + np.abs(fy - yd) < 1e-9) & (np.hypot(x, y) <= limit)
    return np.where(good, x, np.nan), np.where(good, y, np.nan)
