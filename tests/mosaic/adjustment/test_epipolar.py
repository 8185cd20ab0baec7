"""Relative poses from matches and priors."""

import numpy as np

from flycam.geometry.pose import rotation_from_angle_axis
from flycam.mosaic.adjustment.matching import (
    PosesWithPriors,
    RayMatches,
    compute_match_distances,
    intersect_rays,
    refine_poses,
)

DOWN = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])


def block(frames, points, seed, outliers=0.0, flat=False):
    """Exact poses over ground, priors off by a drone's noise, matches of every frame with the next two."""
    rng = np.random.default_rng(seed)
    centre = np.stack([25.0 * np.arange(frames), rng.normal(0, 20, frames), np.full(frames, 120.0)], axis=1)
    rotation = rotation_from_angle_axis(rng.normal(0, 0.02, (frames, 3))) @ DOWN
    ground = rng.uniform([-80, -80, 0], [80, 80, 0.1 if flat else 30], (points, 3))
    a, b, ra, rb = [], [], [], []
    for k in range(frames):
        for m in range(k + 1, min(k + 3, frames)):
            here = np.add(ground, [(centre[k, 0] + centre[m, 0]) / 2, 0, 0])
            for number, rays in ((k, ra), (m, rb)):
                to = (here - centre[number]) @ rotation[number].T
                to /= np.linalg.norm(to, axis=1, keepdims=True)
                to += rng.normal(0, 0.3 / 800, to.shape)
                if rays is rb and outliers:
                    wrong = rng.uniform(size=points) < outliers
                    to[wrong] += rng.normal(0, 0.03, (wrong.sum(), 3))
                rays.append(to / np.linalg.norm(to, axis=1, keepdims=True))
            a.append(np.full(points, k))
            b.append(np.full(points, m))
    joined = [np.concatenate(x) for x in (a, b, ra, rb)]
    focal = np.full(len(joined[0]), 800.0)
    matches = RayMatches(
        a=joined[0], b=joined[1], ray_a=joined[2], ray_b=joined[3], focal_a=focal, focal_b=focal
    )
    off = rotation_from_angle_axis(rng.normal(0, [0.007, 0.007, 0.012], (frames, 3)))
    prior = PosesWithPriors(
        centre=centre + rng.normal(0, 0.5, centre.shape),
        rotation=rotation @ np.swapaxes(off, 1, 2),
        position_information=np.full((frames, 3), 4.0),
        attitude_information=np.tile(np.diag([0.007**-2, 0.007**-2, 0.012**-2]), (frames, 1, 1)),
    )
    exact = PosesWithPriors(
        centre=centre,
        rotation=rotation,
        position_information=prior.position_information,
        attitude_information=prior.attitude_information,
    )
    return exact, prior, matches


SCALES = (24.0, 12.0, 6.0, 3.0, 2.0, 2.0)


def test_a_pair_is_brought_together_whatever_the_ground():
    for flat in (False, True):
        _, prior, matches = block(2, 150, 2, outliers=0.25, flat=flat)
        found = refine_poses(prior, matches, SCALES)
        assert np.median(np.abs(compute_match_distances(found, matches))) < 0.6


def test_a_block_of_many_is_solved_as_one_of_few():
    _, prior, matches = block(45, 60, 4, outliers=0.1)
    found = refine_poses(prior, matches, SCALES)
    miss = np.abs(compute_match_distances(found, matches))
    assert np.median(miss) < 0.6
    assert np.median(np.abs(compute_match_distances(prior, matches))) > 5 * np.median(miss)


def test_rays_meet_before_the_cameras_or_not_at_all():
    ca, cb = np.zeros(3), np.array([10.0, 0.0, 0.0])
    point = np.array([[3.0, 4.0, -50.0]])
    a, b = point - ca, point - cb
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    assert np.allclose(intersect_rays(ca, a, cb, b), point)
    assert np.isnan(intersect_rays(ca, -a, cb, -b)).all()
    assert np.isnan(intersect_rays(ca, a, cb, a)).all()


def test_photos_from_one_place_stay_where_they_are_and_break_nothing():
    _, prior, matches = block(3, 60, 2)
    hover = PosesWithPriors(
        centre=np.zeros((3, 3)),
        rotation=prior.rotation,
        position_information=prior.position_information,
        attitude_information=prior.attitude_information,
    )
    with np.errstate(all="raise"):
        found = refine_poses(hover, matches, SCALES)
    assert np.isfinite(found.centre).all() and np.isfinite(found.rotation).all()
    assert np.abs(found.centre).max() < 10.0
