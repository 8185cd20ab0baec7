"""The normal equations are those of the cost: gradients by numbers, solutions by dense algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.mosaic.adjustment.block import AdjustOptions, build_problem, make_starting_values
from flycam.mosaic.adjustment.minimisation import (
    ReducedSystem,
    compute_adjusted_variance,
    compute_coupling,
    compute_full_covariance,
    compute_ground_derivatives,
    plan_elimination,
)
from flycam.mosaic.adjustment.normal_equations import (
    HeightPrior,
    LeastSquaresModel,
    ObservationWeighting,
    build_normal_equations,
    compute_noise_derivatives,
    make_prior_sigmas,
)
from flycam.mosaic.adjustment.observations import triangulate
from tests.mosaic.adjustment.blocks import Scene, make_block, with_control, with_two_cameras


@pytest.fixture(scope="module", params=["plain", "rolling, control, two cameras"])
def linearised(request):
    """A small block before its adjustment, with everything that can be in it."""
    hard = request.param != "plain"
    scene = Scene(strips=2, per_strip=4, ties_a_frame=25, readout_s=0.04 if hard else 0.0, canopy=8.0 * hard)
    block, truth = make_block(scene)
    if hard:
        block = with_two_cameras(with_control(block, truth, 4))
        frames = [
            replace(f, exterior=replace(f.exterior, height_on_terrain=True, sigma_position_m=(1.5, 1.5, 4.0)))
            for f in block.frames
        ]
        block = replace(block, frames=frames)
    problem = build_problem(block, AdjustOptions())
    start = make_starting_values(problem)
    placed = triangulate(problem, start, problem.observations, refine=False)
    good = np.isfinite(placed.point[:, 0])
    seen = problem.observations.take(good[problem.observations.point])
    heights = HeightPrior(
        prior=block.terrain, origin=problem.origin, sigma_m=3.0, correlation_m=50.0, length_m=200.0
    )
    random = np.random.default_rng(2)
    border = random.normal(size=start.layout.size) * 1e-3
    unknowns = replace(start, point=placed.point).stepped(
        np.zeros((len(problem.frames), problem.frames.unknowns)), border, np.zeros_like(placed.point)
    )
    model = LeastSquaresModel(
        problem=problem,
        seen=seen,
        weighing=ObservationWeighting(image=8.0, bend=2.0, redescending=hard),
        sigmas=make_prior_sigmas(problem, start.layout, block.terrain, AdjustOptions()),
        heights=heights,
        shares=np.empty(0),
    )
    points = seen.point[model.starts]
    shares = heights.shares(unknowns.point[points], unknowns.dem) * (points < problem.tracks)
    return replace(model, shares=shares), unknowns


def parts(unknowns, own, random):
    """A direction for every group of unknowns: frames (own a frame), border, points."""
    frames = np.zeros((len(unknowns.centre), own))
    border, points = np.zeros(unknowns.layout.size), np.zeros_like(unknowns.point)
    for columns, scale in ((slice(0, 3), 1.0), (slice(3, 6), 0.01), (slice(6, 9), 0.5))[: own // 3]:
        some = frames.copy()
        some[:, columns] = random.normal(size=(len(frames), 3)) * scale
        yield some, border, points
    at = unknowns.layout
    lens = np.tile([0.01, 0.001, 1.0, 1.0, 0.01, 0.01, 1e-3, 1e-3, 0.01], at.cameras)
    for group, size in ((at.bias, 1.0), (at.boresight, 0.01), (at.yaw, 0.01), (at.lens, lens), (at.dem, 1.0)):
        some = border.copy()
        some[group] = random.normal(size=group.stop - group.start) * size
        yield frames, some, points
    yield frames, border, random.normal(size=points.shape)


def test_gradients(linearised):
    model, unknowns = linearised
    normals = build_normal_equations(model, unknowns)
    ids, step = model.seen.point[model.starts], 1e-5
    for frames, border, points in parts(unknowns, model.problem.frames.unknowns, np.random.default_rng(3)):
        ahead = model.cost(unknowns.stepped(frames * step, border * step, points * step))
        behind = model.cost(unknowns.stepped(-frames * step, -border * step, -points * step))
        expected = np.sum(normals.frame_gradient * frames) + normals.border_gradient @ border
        expected += np.sum(normals.point_gradient * points[ids])
        assert (ahead - behind) / (4.0 * step) == pytest.approx(expected, rel=2e-4, abs=1e-3)


def dense_system(model, unknowns, normals):
    """J'WJ of all unknowns in one matrix (frames, border, points) and the gradient."""
    n, m, q = len(unknowns.centre), unknowns.layout.size, len(model.starts)
    own = model.problem.frames.unknowns
    matrix = np.zeros((own * n + m + 3 * q,) * 2)
    for k in range(n):
        at = slice(own * k, own * k + own)
        matrix[at, at] = normals.frame_blocks[k]
        matrix[at, own * n : own * n + m] = normals.frame_border[k]
    matrix[own * n : own * n + m, own * n : own * n + m] = normals.border
    owner = np.searchsorted(model.starts, np.arange(len(model.seen)), side="right") - 1
    for k in range(q):
        at = slice(own * n + m + 3 * k, own * n + m + 3 * k + 3)
        matrix[at, at] = normals.point_blocks[k]
        matrix[own * n + unknowns.layout.seen.start : own * n + m, at] = normals.point_border[k].T
    for k, (frame, point) in enumerate(zip(model.seen.frame, owner, strict=True)):
        row = own * n + m + 3 * point
        matrix[own * frame : own * (frame + 1), row : row + 3] += normals.cross[k].T
    upper = np.triu(matrix)
    gradient = [normals.frame_gradient.ravel(), normals.border_gradient, normals.point_gradient.ravel()]
    return upper + np.triu(upper, 1).T, np.concatenate(gradient)


def with_shared_errors(model, unknowns, inverse):
    """The covariance of all unknowns where squares of the terrain err alike instead of alone."""
    heights, n, m = model.heights, len(unknowns.centre), unknowns.layout.size
    own = model.problem.frames.unknowns
    points = unknowns.point[model.seen.point[model.starts]]
    residual = heights.residuals(points, unknowns.dem)
    weight = heights.loss(residual).weight * model.shares
    heard = np.flatnonzero(weight > 0.0)
    square, of = np.unique(np.floor(points[heard, :2] / heights.correlation_m), axis=0, return_inverse=True)
    slope = heights.derivatives(points, unknowns.dem)
    pulls, middle = np.zeros((len(inverse), len(square))), np.zeros((len(square), 2))
    for point, number in zip(heard, of.reshape(-1), strict=True):
        row, pull = own * n + m + 3 * point, weight[point] * slope[point]
        pulls[row : row + 3, number] += pull
        pulls[own * n + unknowns.layout.dem.start : own * n + unknowns.layout.dem.stop, number] -= pull
        middle[number] += points[point, :2] / np.count_nonzero(of == number)
    apart = np.linalg.norm(middle[:, None] - middle[None], axis=-1)
    alike = np.exp(-np.square(apart / heights.length_m)) - np.eye(len(square))
    moved = inverse @ pulls
    return inverse + moved @ alike @ moved.T


def test_points_that_observations_do_not_determine_cost_nothing_but_themselves(linearised):
    """One such 3x3 block once ended the adjustment of 167 photos."""
    model, unknowns = linearised
    normals = build_normal_equations(model, unknowns)
    owner = np.searchsorted(model.starts, np.arange(len(model.seen)), side="right") - 1
    project = np.broadcast_to(np.eye(3), (len(model.starts), 3, 3)).copy()
    # no observation tells the one's height, nor anything of the other
    project[1, 2, 2] = project[4, :, :] = 0.0
    normals = replace(
        normals,
        point_blocks=project @ normals.point_blocks @ project,
        point_border=project @ normals.point_border,
        point_gradient=np.einsum("qij,qj->qi", project, normals.point_gradient),
        cross=project[owner] @ normals.cross,
    )
    matrix, gradient = dense_system(model, unknowns, normals)
    plan = plan_elimination(compute_coupling(model, len(unknowns.centre)), unknowns.centre[:, :2])
    step = ReducedSystem(model, unknowns, normals, plan).step()
    told = np.diag(matrix) > 0.0
    scale = 1.0 / np.sqrt(np.diag(matrix)[told])
    inverse = np.linalg.inv(matrix[np.ix_(told, told)] * scale * scale[:, None]) * scale * scale[:, None]
    expected = np.zeros(len(matrix))
    expected[told] = -inverse @ gradient[told]
    found = np.concatenate([step.frames.ravel(), step.border, step.points.ravel()])
    assert np.count_nonzero(~told) == 4
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_step_and_covariance_are_those_of_the_whole_system(linearised):
    model, unknowns = linearised
    n, m, own = len(unknowns.centre), unknowns.layout.size, model.problem.frames.unknowns
    normals = build_normal_equations(model, unknowns)
    matrix, gradient = dense_system(model, unknowns, normals)
    plan = plan_elimination(compute_coupling(model, n), unknowns.centre[:, :2])
    reduction = ReducedSystem(model, unknowns, normals, plan)
    step = reduction.step()
    scale = 1.0 / np.sqrt(np.diag(matrix))
    inverse = np.linalg.inv(matrix * scale * scale[:, None]) * scale * scale[:, None]
    expected = -inverse @ gradient
    found = np.concatenate([step.frames.ravel(), step.border, step.points.ravel()])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)

    mean = np.zeros((3, len(matrix)))
    for axis in range(3):
        mean[axis, np.arange(n) * own + axis] = 1.0 / n
    covariance = compute_full_covariance(reduction, model, unknowns)
    whole = with_shared_errors(model, unknowns, inverse)
    for k in range(n):
        pick = np.zeros((6, len(matrix)))
        pick[np.arange(6), own * k + np.arange(6)] = 1.0
        pick[:3] -= mean
        np.testing.assert_allclose(covariance.frames[k], pick @ whole @ pick.T, rtol=1e-4, atol=1e-9)
    functional = compute_ground_derivatives(
        unknowns.centre, unknowns.rotation, unknowns.point, model.seen.frame, model.seen.point
    )
    ground = np.zeros((3, len(matrix)))
    for k in range(n):
        ground[:, own * k : own * k + 6] = functional[k].T
    np.testing.assert_allclose(covariance.shift, ground @ whole @ ground.T, rtol=1e-5, atol=1e-9)
    for k in range(n):
        pick = np.zeros((6, len(matrix)))
        pick[np.arange(6), own * k + np.arange(6)] = 1.0
        pick[:3] -= ground
        np.testing.assert_allclose(covariance.on_ground[k], pick @ whole @ pick.T, rtol=1e-4, atol=1e-9)
    by_frame, by_border = compute_noise_derivatives(model.problem, unknowns)
    seen_again = compute_adjusted_variance(reduction, by_frame, by_border)
    for k in range(n):
        pick = np.zeros((6, len(matrix)))
        pick[:, own * k : own * (k + 1)], pick[:, own * n : own * n + m] = by_frame[k], by_border[k]
        variance = np.einsum("ij,jk,ik->i", pick, inverse, pick)
        np.testing.assert_allclose(seen_again[k], variance, rtol=1e-4)
    for k in range(len(model.starts)):
        pick = -mean.copy()
        pick[np.arange(3), own * n + m + 3 * k + np.arange(3)] += 1.0
        variance = np.einsum("ij,jk,ik->i", pick, inverse, pick)
        np.testing.assert_allclose(covariance.points[k], variance, rtol=1e-4)
