"""Which candidates are judged by their areas, and what rim holds so many of them as it has to."""

from __future__ import annotations

import numpy as np
import pytest

from bench.change_outlines import FOLDS, Judged, Outline, alike, judged, left_out, report, rim_m


def outline(seed: int, area_m2: float, *objects: tuple[float, float], kind: str = "landslide") -> Outline:
    return Outline(
        seed=seed,
        gsd_m=0.5,
        cell_m=0.5,
        kind=kind,
        score=0.8,
        area_m2=area_m2,
        perimeter_m=100.0,
        inside_m2=sum(held for held, _ in objects),
        objects=list(objects),
    )


def test_what_is_right_and_whole_is_judged_against_all_that_it_holds() -> None:
    some = judged(
        [
            outline(1, 1000.0, (900.0, 950.0)),
            outline(2, 1000.0, (500.0, 600.0), (300.0, 310.0), (20.0, 900.0)),  # two joined, one touched
            outline(3, 1000.0, (900.0, 4000.0)),  # a piece of a larger one
            outline(4, 1000.0, (300.0, 310.0)),  # most of it lies on nothing
            outline(5, 1000.0, (900.0, 950.0), kind="flood"),
        ],
        "landslide",
    )
    assert (some.seeds.tolist(), some.pieces) == ([1, 2], 1)
    assert some.off_m == pytest.approx([0.5, 0.9])


def test_the_rim_holds_both_shares_whatever_the_tail() -> None:
    draw = np.random.default_rng(1)
    even = draw.normal(0.0, 0.7, 20_000)
    assert rim_m(even) == pytest.approx(0.7, rel=0.03)
    heavy = np.where(draw.random(20_000) < 0.1, 5.0, 1.0) * even
    for off in (even, heavy):
        assert np.mean(np.abs(off) <= rim_m(off)) >= 0.68
        assert np.mean(np.abs(off) <= 2.0 * rim_m(off)) >= 0.95


def test_each_is_judged_by_a_rim_of_other_scenes() -> None:
    seeds = np.arange(4 * FOLDS) // 2
    off = np.where(seeds == 7, 40.0, 1.0)
    some = Judged(
        seeds=seeds,
        area_m2=1000.0 + 100.0 * off,
        true_m2=np.full(len(off), 1000.0),
        perimeter_m=np.full(len(off), 100.0),
        pieces=0,
    )
    sigmas, rims = left_out(some)
    assert len(rims) == FOLDS and min(rims) == 1.0
    assert sigmas[seeds == 7] == pytest.approx(40.0), "no scene tells how far off itself may be"
    assert "within one sigma" in "\n".join(
        report(
            [outline(int(n), 1010.0, (900.0, 1000.0), kind=k) for n in seeds for k in ("landslide", "flood")],
            fit=True,
        )
    )


def test_what_two_days_show_of_one_object_is_compared() -> None:
    first = [
        outline(n, 1000.0 + 10.0 * n, (900.0, 1000.0 + n), kind=k)
        for n in range(5)
        for k in ("landslide", "flood")
    ]
    again = [
        outline(n, 1000.0 + 12.0 * n, (900.0, 1000.0 + n), kind=k)
        for n in range(4)
        for k in ("landslide", "flood")
    ]
    slides, floods = alike(first, again)
    for said in (slides, floods):
        assert "4 objects on both days; correlation of their errors 1.00" in said
        assert "at most: 1.00" in said
