"""Blocks with known truth: what is found, how sure it says it is, and what it does when little holds it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.geometry.camera import LensModel, project
from flycam.geometry.pose import CameraMotion, PoseSource, rotation_from_angle_axis, to_mat3
from flycam.mosaic.adjustment.block import AdjustOptions, FrameState
from flycam.mosaic.adjustment.bundle_adjustment import STATIONARY_NOTE, adjust_block
from tests.mosaic.adjustment import blocks
from tests.mosaic.adjustment.blocks import (
    Scene,
    errors_m,
    make_block,
    turn_errors_rad,
    with_control,
    without_motion,
    without_ties,
)

BASE = Scene(ties_a_frame=60, strips=4, per_strip=8)


@pytest.fixture(scope="module")
def base():
    block, truth = make_block(BASE)
    return block, truth, adjust_block(block)


def prior_errors_m(block, truth):
    found = np.array([f.exterior.projection_centre_m for f in block.frames])
    error = found - np.array([e.projection_centre_m for e in truth.exteriors])
    return error - error.mean(axis=0)


def rms(values, axis=None):
    return np.sqrt(np.mean(np.square(values), axis=axis))


def test_poses_and_camera_are_found(base):
    block, truth, result = base
    assert result.accepted and result.reason is None
    assert rms(errors_m(result, truth)) < 0.35 * rms(prior_errors_m(block, truth))
    assert np.degrees(rms(turn_errors_rad(result, truth))) < 0.1
    assert result.accuracy.reprojection_px == pytest.approx(BASE.sigma_px, rel=0.25)
    assert result.accuracy.held_out_px == pytest.approx(BASE.sigma_px, rel=0.3)
    assert result.accuracy.sigma0 == pytest.approx(1.0, abs=0.1)
    assert {f.state for f in result.frames} == {FrameState.TIED}
    for before, after in zip(block.frames, result.frames, strict=True):
        assert after.exterior.source is PoseSource.ADJUSTED
        assert after.exterior.version == before.exterior.version + 1
        assert 0.0 < after.rms_px < 1.0 and after.cells_pct > 20.0


def test_points_residuals_and_what_was_held_out(base):
    block, truth, result = base
    assert result.points_m.shape == (block.ties.tracks, 3)
    adjusted = np.isfinite(result.points_m[:, 0])
    assert adjusted.mean() > 0.9
    held_out = np.isfinite(result.residual_px[:, 0]) & ~result.used
    assert 0.02 < held_out.mean() < 0.10
    assert np.isfinite(result.residual_px[result.used]).all()
    shift = np.mean([f.exterior.projection_centre_m for f in result.frames], axis=0)
    shift = shift - np.mean([e.projection_centre_m for e in truth.exteriors], axis=0)
    error = (result.points_m - shift - truth.points)[np.isfinite(result.point_sigma_m[:, 0])]
    sigma = result.point_sigma_m[np.isfinite(result.point_sigma_m[:, 0])]
    assert np.median(np.abs(error / sigma)) < 1.2


@pytest.mark.parametrize(
    "change",
    [{"model": LensModel.FISHEYE}, {"tilt_deg": 30.0}, {"dem_noise": np.inf}, {"canopy": 12.0}],
    ids=["fisheye", "oblique", "no DEM", "canopy"],
)
def test_other_flights(change):
    block, truth = make_block(replace(BASE, **change))
    result = adjust_block(block)
    assert result.accepted
    error, sigma = errors_m(result, truth), [f.exterior.sigma_position_m for f in result.frames]
    assert rms(error / sigma) < 1.7
    assert rms(error) < 0.4 * rms(prior_errors_m(block, truth))


def test_a_fifth_of_lies_is_thrown_out():
    block, truth = make_block(replace(BASE, outliers=0.2))
    result = adjust_block(block)
    assert result.accepted
    assert truth.outlier[result.used].mean() < 0.01
    assert result.used[~truth.outlier].mean() > 0.75
    error, sigma = errors_m(result, truth), [f.exterior.sigma_position_m for f in result.frames]
    assert rms(error / sigma) < 1.7


def test_a_focal_length_wrong_by_five_percent_is_found_and_said():
    scene = replace(BASE, focal_error=0.05, stagger=0.2, cross_strips=2, relief=200.0, ties_a_frame=90)
    block, truth = make_block(scene)
    result = adjust_block(block)
    assert result.accepted
    interior = result.interiors["test"]
    assert interior.focal_length_px[0] == pytest.approx(800.0, rel=0.01)
    assert any("focal length" in str(note) for note in result.notes)
    fixed = adjust_block(block, AdjustOptions(self_calibration=False))
    assert rms(errors_m(result, truth)) < rms(errors_m(fixed, truth)) or not fixed.accepted


@pytest.mark.parametrize("shared_px", [0.0, 1.0])
def test_the_sigma_of_a_focal_length_is_honest_where_photos_have_errors_of_their_own(shared_px):
    """Shaken while they were read, they look as if taken through another lens."""
    sigmas = []
    for seed in range(1, 9):
        scene = Scene(
            seed=seed,
            strips=3,
            per_strip=4,
            relief=60.0,
            dem_noise=np.inf,
            sigma_focal=0.015,
            focal_error=0.015 * np.random.default_rng([seed, 77]).normal(),
            shared_px=shared_px,
        )
        block, truth = make_block(scene)
        found = adjust_block(block).interiors["test"]
        if found.sigma_focal_rel > 1e-4:  # not held
            error = found.focal_length_px[0] / truth.interior.focal_length_px[0] - 1.0
            sigmas.append(error / found.sigma_focal_rel)
    assert len(sigmas) >= 7
    assert 0.5 < np.sqrt(np.mean(np.square(sigmas))) < 1.7


def test_rolling_shutter_is_taken_into_account():
    block, truth = make_block(replace(BASE, readout_s=0.06, speed=16.0, ties_a_frame=120))
    right = adjust_block(block)
    wrong = adjust_block(without_motion(block))
    # over level ground a readout looks like pixels that are not square: 0.65 % here
    fx, fy = right.interiors["test"].focal_length_px
    assert fy / fx == pytest.approx(1.0, abs=1e-3)
    fx, fy = wrong.interiors["test"].focal_length_px
    assert fy / fx != pytest.approx(1.0, abs=4e-3)
    fixed = AdjustOptions(self_calibration=False)
    right = adjust_block(block, fixed)
    wrong = adjust_block(without_motion(block), fixed)
    assert rms(errors_m(right, truth)) < 0.6 * rms(errors_m(wrong, truth))


def test_control_points_take_the_shift_away():
    block, truth = make_block(BASE)
    # the height of the cameras over the ground is the focal length's: let it be known
    options = AdjustOptions(focal_floor_rel=1e-4)
    block = replace(
        block, frames=[replace(f, interior=replace(f.interior, sigma_focal_rel=1e-4)) for f in block.frames]
    )
    free = adjust_block(block, options)
    held = adjust_block(with_control(block, truth, 8, check=3), options)
    assert held.accepted
    assert max(held.accuracy.shift_sigma_m) < 0.1 < min(free.accuracy.shift_sigma_m)
    shift = np.mean([f.exterior.projection_centre_m for f in held.frames], axis=0)
    shift = shift - np.mean([e.projection_centre_m for e in truth.exteriors], axis=0)
    assert np.abs(shift).max() < 0.15
    assert max(held.accuracy.check_m[:2]) < 0.2 and held.accuracy.check_m[2] < 0.4
    assert np.isnan(free.accuracy.check_m).all()


def test_the_same_block_gives_the_same_bytes(base):
    block, _, result = base
    again = adjust_block(block)
    assert again.frames == result.frames
    assert again.accuracy == result.accuracy
    np.testing.assert_array_equal(again.points_m, result.points_m)


def test_frames_without_ties_are_carried():
    block, truth = make_block(replace(BASE, yaw_strip_deg=1.5, yaw_deg=0.2))
    lost = [3, 11, 12, 20]
    result = adjust_block(replace(block, ties=without_ties(block.ties, lost)))
    assert result.accepted
    for k in lost:
        assert result.frames[k].state is FrameState.CARRIED
        assert max(result.frames[k].exterior.sigma_position_m) > 2.0 * max(
            result.frames[0].exterior.sigma_position_m
        )
    before = np.array([f.exterior.rotation for f in block.frames])
    exact = np.array([e.rotation for e in truth.exteriors])
    prior = np.abs((before @ exact.transpose(0, 2, 1))[lost, 1, 0])
    after = np.abs(turn_errors_rad(result, truth)[lost, 2])
    assert rms(after) < 0.7 * rms(prior)
    error = errors_m(result, truth)[lost]
    sigma = np.array([result.frames[k].exterior.sigma_position_m for k in lost])
    assert rms(error / sigma) < 1.8


def test_one_wild_fix_and_one_wild_heading_bend_nothing():
    block, truth = make_block(BASE)
    frames = list(block.frames)
    e = frames[10].exterior
    east, north, height = e.projection_centre_m
    frames[10] = replace(
        frames[10], exterior=replace(e, projection_centre_m=(east + 15.0, north - 10.0, height + 12.0))
    )
    turned = rotation_from_angle_axis([0.0, 0.0, np.radians(20.0)]) @ np.asarray(frames[21].exterior.rotation)
    frames[21] = replace(frames[21], exterior=replace(frames[21].exterior, rotation=to_mat3(turned)))
    result = adjust_block(replace(block, frames=frames))
    assert result.accepted
    assert np.abs(errors_m(result, truth)[10]).max() < 0.6
    assert np.degrees(np.abs(turn_errors_rad(result, truth)[21]).max()) < 0.2


def test_a_height_counted_from_the_terrain_is_no_second_witness_of_it():
    """The take-off was read off a terrain that stands too high: flight and terrain are wrong together, and
    the block must not be surer of its height than the terrain is."""
    scene = Scene(
        ties_a_frame=40, strips=3, per_strip=6, bias=(0.5, -0.5, 4.0), dem_shift=(0.0, 0.0, 4.0), canopy=0.0
    )
    block, truth = make_block(scene)
    sigma_m = (1.5, 1.5, 3.5)
    apart, together = (
        [
            replace(f, exterior=replace(f.exterior, sigma_position_m=sigma_m, height_on_terrain=counted))
            for f in block.frames
        ]
        for counted in (False, True)
    )
    believed = block.terrain.sigma_shift_m[2]
    two = adjust_block(replace(block, frames=apart))
    one = adjust_block(replace(block, frames=together))
    assert two.accuracy.shift_sigma_m[2] < 0.85 * believed, "two witnesses, if they were two"
    assert one.accuracy.shift_sigma_m[2] == pytest.approx(believed, rel=0.12)
    found = np.array([f.exterior.projection_centre_m[2] for f in one.frames])
    true = np.array([e.projection_centre_m[2] for e in truth.exteriors])
    assert abs((found - true).mean()) < 2.0 * one.accuracy.shift_sigma_m[2]
    np.testing.assert_allclose(errors_m(one, truth), errors_m(two, truth), atol=0.02)


def shaken(monkeypatch, gust_mps=0.0, turn_deg_s=0.0, hover=False):
    """Blocks are seen by cameras that move and turn as no neighbour tells: `project` knows how."""
    random = np.random.default_rng(5)

    def seen(interior, exterior, points, velocity):
        true = np.zeros(3) if hover else velocity + random.normal(size=3) * gust_mps
        turn = np.radians(random.normal(size=3) * turn_deg_s)
        motion = CameraMotion(velocity_mps=tuple(true.tolist()), turn_radps=tuple(turn.tolist()))
        return project(interior, replace(exterior, motion=motion), points)[0]

    monkeypatch.setattr(blocks, "_rolling_image", seen)


ROLLING = replace(BASE, readout_s=0.04, speed=12.0, ties_a_frame=150, sigma_px=0.2, relief=180.0, stagger=1.0)


def test_gusts_and_a_gimbal_that_still_turns_are_found_from_the_ties(monkeypatch):
    shaken(monkeypatch, gust_mps=0.5, turn_deg_s=1.0)
    block, truth = make_block(ROLLING)
    right, wrong = adjust_block(block), adjust_block(without_motion(block))
    assert right.accepted and not right.notes
    assert right.accuracy.held_out_px < 0.9 * wrong.accuracy.held_out_px
    assert right.accuracy.reprojection_px < 1.1 * ROLLING.sigma_px
    assert rms(errors_m(right, truth)) < 0.6 * rms(errors_m(wrong, truth))
    fx, fy = right.interiors["test"].focal_length_px
    assert fy / fx == pytest.approx(1.0, abs=7e-4)
    turns = np.array([f.exterior.motion.turn_radps for f in right.frames])
    assert 0.3 < np.degrees(rms(turns)) < 1.2, "held by its prior, but found"


def test_an_aircraft_that_stops_for_every_photo_is_not_taken_for_one_that_flies_on(monkeypatch):
    """Its neighbours tell 12 m/s: over a mountain the ties know better."""
    shaken(monkeypatch, hover=True)
    block, truth = make_block(ROLLING)
    found, plain = adjust_block(block), adjust_block(without_motion(block))
    assert found.notes[-1] == STATIONARY_NOTE
    assert {f.exterior.motion.velocity_mps for f in found.frames} == {(0.0, 0.0, 0.0)}
    assert found.accuracy.held_out_px < 1.03 * plain.accuracy.held_out_px
    assert rms(errors_m(found, truth)) < 1.1 * rms(errors_m(plain, truth))
