"""Real frames with published poses (`poses/odm_drone_oblique`), spoilt as a consumer drone's are and brought
back: how much nearer, and whether the claimed sigmas hold. Draw by draw; ties are found under each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.table import Row
from tests.mosaic.adjustment.published_block import (
    BIAS_M,
    NOISE_M,
    TURN_DEG,
    published_block,
    spoilt_and_back,
)

DATA = Path(__file__).parents[2] / "shared" / "data"
DRAWS = 10
MOST_LEFT_M, MOST_LEFT_DEG = 0.7, 0.6
OFF_ONE, OFF_TWO = 0.075, 0.03


def rows() -> list[Row]:
    """None where the frames are not there."""
    if not (DATA / "poses" / "odm_drone_oblique").is_dir():
        return []
    published = published_block(DATA)
    draws = [spoilt_and_back(published, seed) for seed in range(DRAWS)]
    before, after = _rms([d.before_m for d in draws]), _rms([d.after_m for d in draws])
    turned, left = _rms([d.before_deg for d in draws]), _rms([d.after_deg for d in draws])
    in_sigmas = np.abs([d.after_m / d.sigma_m for d in draws])
    axes = np.sqrt(np.mean(np.square([d.after_m for d in draws]), axis=(0, 1)))
    what = f"odm_drone_oblique, {DRAWS} draws of {BIAS_M} m bias, {NOISE_M} m and {TURN_DEG}° a frame"
    notes = (
        f"east, north, up after: {axes[0]:.2f}, {axes[1]:.2f}, {axes[2]:.2f} m; rms in sigmas "
        f"{_rms(in_sigmas):.2f}; {sum(d.result.accepted for d in draws)} of {DRAWS} accepted",
        *(
            f"draw {number}: {_rms(d.before_m):.2f} to {_rms(d.after_m):.2f} m, {_rms(d.before_deg):.2f} to "
            f"{_rms(d.after_deg):.2f}°, {d.result.accuracy.reprojection_px:.2f} px"
            for number, d in enumerate(draws)
        ),
    )
    found = [
        _row(f"{what}: centres after one shift", after, before, "m", MOST_LEFT_M, notes),
        _row(f"{what}: attitudes", left, turned, "°", MOST_LEFT_DEG),
    ]
    for limit, middle, off in ((1.0, 0.675, OFF_ONE), (2.0, 0.95, OFF_TWO)):
        share = float(np.mean(in_sigmas < limit))
        found.append(
            Row(
                what=f"{what}: within {limit:g} sigma, off {middle:.1%}",
                measured=f"{share:.2f}",
                peer="-",
                ratio=abs(share - middle),
                required=off,
                sense="at most",
            )
        )
    return found


def _row(
    what: str, after: float, before: float, unit: str, required: float, notes: tuple[str, ...] = ()
) -> Row:
    return Row(
        what=f"{what}, of what they were spoilt by",
        measured=f"{after:.2f} {unit}",
        peer=f"{before:.2f} {unit}",
        ratio=after / before,
        required=required,
        sense="at most",
        notes=notes,
    )


def _rms(values: object) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values)))))
