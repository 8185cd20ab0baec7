"""Gains, falloff, slope and airlight are found again; the block keeps its mean and its balance; what changed
is not believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flycam.mosaic.finish.radiometry import (
    FrameOverviewCache,
    Radiometry,
    decode_offsets,
    make_identity_radiometry,
    solve_radiometry,
)
from tests.mosaic.finish.block import Block, Shot, strip

GAINS = ((1.0, 1.0, 1.0), (1.12, 1.1, 1.08), (0.9, 0.92, 0.95), (1.05, 1.0, 0.97))


def shots(**options: object) -> list[Shot]:
    return [replace(shot, gain=gain, **options) for shot, gain in zip(strip(), GAINS, strict=True)]  # type: ignore[arg-type]


def pair_differences(overviews: FrameOverviewCache, radiometry: Radiometry) -> list[np.ndarray]:
    """For frames next to each other: median log difference of their overlap, corrected, 3 numbers."""
    found = []
    for number in range(len(overviews) - 1):
        one, two = overviews[number], overviews[number + 1]
        both = one.box.intersection(two.box)
        a, b = both.slices_in(one.box), both.slices_in(two.box)
        seen = (one.quality[a] > 0) & (two.quality[b] > 0)
        left = radiometry.correct_overview(number, one)[a][seen]
        right = radiometry.correct_overview(number + 1, two)[b][seen]
        ratio = np.log(np.maximum(left, 1.0)) - np.log(np.maximum(right, 1.0))
        found.append(np.median(ratio, axis=0))
    return found


def laid(block: Block, overviews: FrameOverviewCache, radiometry: Radiometry) -> tuple[np.ndarray, ...]:
    """What a mosaic shows, of each pixel of the frame nearest whose middle it lies: N×2 places (column and
    row, -0.5 to 0.5 over the block), N×3 levels of the photos, N×3 corrected."""
    box = block.box(overviews[0].z)
    nearest = np.full(box.shape, np.inf)
    before, after = np.zeros((2, *box.shape, 3))
    for number in range(len(overviews)):
        one = overviews[number]
        at = one.box.slices_in(box)
        r2 = np.where(one.quality > 0, np.square(decode_offsets(one.place)).sum(axis=2), np.inf)
        takes = r2 < nearest[at]
        nearest[at][takes] = r2[takes]
        before[at][takes] = one.rgb[takes]
        after[at][takes] = radiometry.correct_overview(number, one)[takes]
    row, col = np.nonzero(np.isfinite(nearest))
    place = np.column_stack([col / np.ptp(col), row / np.ptp(row)]) - 0.5
    return place, before[row, col], after[row, col]


def worst(block: Block, corrected: bool) -> float:
    overviews = block.overviews()
    radiometry = solve_radiometry(overviews)
    if not corrected:
        radiometry = make_identity_radiometry(radiometry.frame_ids, radiometry.cameras)
    return max(float(np.abs(d).max()) for d in pair_differences(overviews, radiometry))


def test_gains_and_falloff_are_found() -> None:
    block = Block(shots(falloff=-0.35))
    radiometry = solve_radiometry(block.overviews())
    # the frames stand at equal steps; up to a plane, which the block keeps
    np.testing.assert_allclose(
        np.diff(radiometry.log_gain, 2, axis=0), np.diff(np.log(np.array(GAINS)), 2, axis=0), atol=0.03
    )
    corner = radiometry.vignette["camera"].sum(axis=1)
    half = (radiometry.vignette["camera"] * [0.25, 0.25**2, 0.25**3]).sum(axis=1)
    np.testing.assert_allclose(half, -0.35 * 0.25, atol=0.02)
    np.testing.assert_allclose(corner, -0.35, atol=0.08)


def sunlit_strip(west: float, east: float) -> Block:
    """Frames there and back, those turned; each brightens to the east, by so much in either half."""
    shots = [
        Shot(
            name=f"{'back' if back else 'there'}{n:02}",
            rows=(110 * back, 110 * back + 160),
            cols=(40 * (19 - n if back else n), 40 * (19 - n if back else n) + 160),
            slope=(west if (n < 10) != back else east, 0.0),
            turned=bool(back),
        )
        for back in (0, 1)
        for n in range(20)
    ]
    return Block(shots, shape=(272, 928))


def test_pictures_that_brighten_towards_the_sun_leave_no_ramp() -> None:
    """Overlaps hardly tell such slopes from gains: they must not add up, over fields or over forest."""
    block = sunlit_strip(0.03, 0.24)
    overviews = block.overviews()
    radiometry = solve_radiometry(overviews)
    place, before, after = laid(block, overviews, radiometry)
    ratio = np.log(np.maximum(after, 1.0)) - np.log(np.maximum(before, 1.0))
    plane = np.linalg.lstsq(np.column_stack([np.ones(len(place)), place]), ratio, rcond=None)[0]
    assert np.abs(plane).max() < 0.02
    parts = np.floor((place[:, 0] + 0.5) * 7.99).astype(int)
    assert max(np.abs(ratio[parts == part].mean(axis=0)).max() for part in range(8)) < 0.08
    assert max(float(np.abs(d).max()) for d in pair_differences(overviews, radiometry)) < 0.02
    # and full pictures are corrected alike, whichever way they were flown
    for name in ("there07", "back12"):
        number = overviews.frame_ids.index(name)
        source, place = block.picture(block.shots[name])
        turned = np.s_[::-1, ::-1] if block.shots[name].turned else np.s_[:, :]
        full = radiometry.correct(name, np.ascontiguousarray(source[turned]))[turned].astype(float)
        np.testing.assert_allclose(full, radiometry.light(number, source, place), atol=2.0)


def bright_block(soil: float) -> Block:
    """Bright soil that only an underexposed frame sees, and towards its dark corners: nothing saturates."""
    gains = (0.6, 1.1, 1.1, 0.6)
    pairs = zip(strip(), gains, strict=True)
    block = Block([replace(shot, gain=(g, g, 0.95 * g), falloff=-0.5) for shot, g in pairs])
    block.ground[:, :220] *= soil
    return block


def saturated(pictures: list[np.ndarray]) -> float:
    return float(np.mean(np.concatenate([p.max(axis=2).ravel() >= 250 for p in pictures])))


def test_bright_ground_is_not_blown_out() -> None:
    block = bright_block(2.8)
    radiometry = solve_radiometry(block.overviews())
    sources = {name: block.picture(shot)[0] for name, shot in block.shots.items()}
    pictures = {name: radiometry.correct(name, source) for name, source in sources.items()}
    linear = [
        radiometry.light(n, source, block.picture(block.shots[name])[1])
        for n, (name, source) in enumerate(sources.items())
    ]
    before = saturated(list(sources.values()))
    assert radiometry.peak > 300
    assert saturated(linear) > before + 0.005  # what a bare clip would do
    assert saturated(list(pictures.values())) < before + 0.002
    for light, picture in zip(linear, pictures.values(), strict=True):
        order = np.argsort(light.ravel())
        shown = picture.ravel()[order].astype(int)
        # the full-size gain is interpolated, the one here tabled: a level of rounding, or two
        assert (np.maximum.accumulate(shown) - shown).max() <= 2
        below = (light > 0) & (light < radiometry.knee - 1.0)
        assert np.abs(picture[below] - light[below]).max() < 2
    # the middle tones keep their brightness: highlights make room for themselves
    overviews = block.overviews()
    _, source, shown = laid(block, overviews, radiometry)
    assert np.median(shown) == pytest.approx(np.median(source), rel=0.02)
    assert max(np.abs(d).max() for d in pair_differences(overviews, radiometry)) < 0.02
