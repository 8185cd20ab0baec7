"""`flycam finish` against the drill's truth, real photos and pyOrthomosaic: the rows of its issue.

Every finished flight is made once by the code as it is and read by several rows (`finish_flights.finished`),
so that a row asked for alone costs what it needs and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from bench import finish_blocks, finish_pixels, finish_poses, finish_published, finish_truth
from bench.draped import draped_flight
from bench.finish_flights import (
    FLIGHTS,
    GSD_M,
    Finished,
    FinishFlight,
    finished,
    prepared,
    reference_of,
    with_exact_poses,
)
from bench.finish_truth import Places, places
from bench.flights import drill_flight, first_photos
from bench.pyorthomosaic import LIMIT_S, PeerRun, mosaicked
from bench.table import Row

BRIGHTON = Path(__file__).parents[2] / "shared" / "data" / "flights" / "brighton_beach"
LOW, HIGH = (0.12, 0.40), (0.35, 1.20)
STEEP_M = 400.0
LEAST_COVERED = 0.98
OFF_ONE, OFF_TWO = 0.075, 0.03  # 60-75 % within one sigma, 92-98 % within two
BLOCKS, CLAIMED_BLOCKS = 30, 90
SHAPES, SHAPE_SEEDS = ((1, 12), (3, 6), (5, 7), (2, 18)), 64
FASTER_THAN_3D, SLOWER_THAN_2D = 3.0, 1.2
MOST_GB = 2.5
MOST_SEAM, LEAST_DETAIL = 1.2, 0.95
MOST_HELD_OUT_PX, LEAST_TIES, LEAST_CELLS_PCT = 1.0, 200, 60.0
MOST_REFERENCE_M = 0.25


def accuracy() -> list[Row]:
    """Every flight's mosaic against the true top view, its live mosaic and exact poses beside it."""
    rows: list[Row] = []
    for flight in FLIGHTS:
        rows.extend(_accuracy_of(prepared(flight)))
    peers = FLIGHTS[0]
    rows.extend(_peer_accuracy(prepared(peers), kind) for kind in ("2D", "3D"))
    return rows


def _accuracy_of(flight: FinishFlight) -> list[Row]:
    done, truth = _of_flight(flight), flight.truth
    final, live = places(done.final, truth), places(done.live, truth)
    exact = places(with_exact_poses(flight), truth)
    expected = finish_truth.expected_errors_m(done.data)
    sigma, whole = done.answer["sigma_xy_m"], done.answer["shift_sigma_m"]
    median_m, p95_m = _bounds(flight, exact)
    floor = f"exact poses {exact.median_m:.3f} / {exact.p95_m:.3f} m"
    what = f"finish {flight.name}, places after one shift"
    notes = (
        f"final {final.words()}; live {live.words()}",
        f"exact poses on the same terrain {exact.words()}",
        f"covariance bound: frames ± {sigma:.3f} m within the block, the whole ± {whole[0]:.2f} m in "
        f"plan and ± {whole[2]:.2f} m in height; pixels are expected off by {expected[0]:.2f} / "
        f"{expected[1]:.2f} m",
    )
    figures = {"answer": done.answer, "cpu_s": done.cpu_s, "wall_s": done.wall_s}
    return [
        _row(f"{what}, median", f"{final.median_m:.3f} m", floor, final.median_m, median_m, notes, figures),
        _row(f"{what}, p95", f"{final.p95_m:.3f} m", floor, final.p95_m, p95_m),
        Row(
            what=f"finish {flight.name}, ground covered",
            measured=f"{final.covered:.1%}",
            peer="-",
            ratio=final.covered,
            required=LEAST_COVERED,
            sense="at least",
        ),
    ]


def _bounds(flight: FinishFlight, exact: Places) -> tuple[float, float]:
    """Of the issue; steep ground: no worse than half of what exact poses give either."""
    if flight.relief_m < STEEP_M:
        return LOW
    return min(HIGH[0], exact.median_m / 2.0), min(HIGH[1], exact.p95_m / 2.0)


def _peer_accuracy(flight: FinishFlight, kind: str) -> Row:
    peer = _peer(kind, flight.photos, flight.folder.name, GSD_M)
    if peer.mosaic is None:
        return _no_mosaic(flight, kind, peer)
    theirs = places(peer.mosaic, flight.truth)
    ours = places(_of_flight(flight).final, flight.truth)
    return Row(
        what=f"places of {flight.name} after one shift, pyOrthomosaic {kind} over ours, median",
        measured=f"{ours.median_m:.3f} m",
        peer=f"{theirs.median_m:.3f} m",
        ratio=theirs.median_m / ours.median_m,
        required=1.0,
        sense="at least",
        notes=(f"pyOrthomosaic {kind} {theirs.words()}, {theirs.covered:.1%} covered; ours {ours.words()}",),
    )


def _no_mosaic(flight: FinishFlight, kind: str, peer: PeerRun) -> Row:
    ours = places(_of_flight(flight).final, flight.truth)
    return Row(
        what=f"places of {flight.name} after one shift, pyOrthomosaic {kind} over ours, median",
        measured=f"{ours.median_m:.3f} m",
        peer=f"none within {LIMIT_S / 60:.0f} min",
        ratio=float("inf"),
        required=1.0,
        sense="at least",
        notes=(
            f"stopped after {peer.run.wall_s:.0f} s of wall and {peer.run.cpu_s:.0f} s of processor time",
        ),
    )


def sigma() -> list[Row]:
    """Predicted sigmas against true errors: of the rendered flights' frames, of blocks, of their shifts."""
    rendered = [finish_truth.frame_agreement(_of_flight(f).data, f.truth) for f in map(prepared, FLIGHTS)]
    frames = np.concatenate([error / sigmas for error, sigmas in rendered])
    return [
        *_shares(f"sigma of frames, {len(FLIGHTS)} rendered flights", frames),
        *_small_flights(BLOCKS, "small flights", as_claimed=False),
        *_small_flights(CLAIMED_BLOCKS, "small flights that err as they claim", as_claimed=True),
    ]


def _small_flights(count: int, what: str, *, as_claimed: bool) -> list[Row]:
    kept = _flown(range(1, count + 1), (finish_blocks.STRIPS, finish_blocks.PER_STRIP), as_claimed)
    size = np.sqrt(np.mean(np.concatenate([one.error_m for one in kept]) ** 2, axis=0))
    notes = (
        f"{len(kept)} of {count} flights of {finish_blocks.STRIPS * finish_blocks.PER_STRIP} photos were "
        f"adjusted; frames off by {_axes(size)} m",
        f"one number a flight: with {len(kept)} of them a share is known to about ± "
        f"{47.0 / len(kept) ** 0.5:.0f} %",
    )
    return [
        *_shares(f"sigma of frames, {len(kept)} {what}", np.concatenate([one.frames for one in kept]), notes),
        *_shares(f"sigma of the common shift, {len(kept)} {what}", np.array([one.shift for one in kept])),
        *_shares(
            f"sigma of places on the ground by poses alone, {len(kept)} {what}",
            np.concatenate([one.ground for one in kept])[:, None],
        ),
    ]


def shapes() -> list[Row]:
    """The same law by the shape of the block, over seeds of its own: frames axis by axis and all together,
    places on the ground by poses alone, with only the common shift taken out. A flight's frames share one
    draw of the block's turn, tilt and scale: how far whole flights over- and under-run is in the notes."""
    found: list[Row] = []
    for shape in SHAPES:
        kept = _flown(range(1001, 1001 + SHAPE_SEEDS), shape, as_claimed=True)
        what = f"{len(kept)} flights of {shape[0]} × {shape[1]} photos that err as they claim"
        inside = [[float(np.mean(np.abs(one.frames) < limit)) for one in kept] for limit in (1.0, 2.0)]
        notes = tuple(
            f"within {limit}, flight by flight: {np.min(share):.2f} at worst, "
            f"{', '.join(f'{part:.2f}' for part in np.percentile(share, (10, 50, 90)))} at 10, 50 and 90 %"
            for limit, share in zip((1, 2), inside, strict=True)
        )
        frames = np.concatenate([one.frames for one in kept])
        ground = np.concatenate([one.ground for one in kept])
        found += _shares(f"sigma of frames, {what}", frames, notes)
        found += _shares(f"sigma of frames, all axes together, {what}", frames.reshape(-1, 1))
        found += _shares(f"sigma of places on the ground by poses alone, {what}", ground[:, None])
    return found


def _flown(seeds: range, shape: tuple[int, int], as_claimed: bool) -> list[finish_blocks.Agreement]:
    """Flights over relief and posts that change with the seed; those that were adjusted."""
    flights = [
        finish_blocks.fly_and_adjust(
            seed,
            (60.0, 180.0, 400.0)[seed % 3],
            (10.0, 30.0)[seed // 3 % 2],
            shape=shape,
            as_claimed=as_claimed,
        )
        for seed in seeds
    ]
    return [one for one in flights if one is not None]


def _shares(what: str, in_sigmas: np.ndarray, notes: tuple[str, ...] = ()) -> list[Row]:
    """How far the shares within one and two sigmas are from the middle of what is asked, worst axis."""
    rms = np.sqrt(np.mean(in_sigmas**2, axis=0))
    rows = []
    for limit, middle, off in ((1.0, 0.675, OFF_ONE), (2.0, 0.95, OFF_TWO)):
        share = np.mean(np.abs(in_sigmas) < limit, axis=0)
        rows.append(
            Row(
                what=f"{what}: within {limit:g}, off {middle:.1%}",
                measured=_axes(share),
                peer="-",
                ratio=float(np.abs(share - middle).max()),
                required=off,
                sense="at most",
                notes=(f"rms in sigmas {_axes(rms)}", *notes) if limit == 1.0 else (),
            )
        )
    return rows


def _axes(values: np.ndarray) -> str:
    return " / ".join(f"{value:.2f}" for value in values)


def times() -> list[Row]:
    """Against pyOrthomosaic in one run, processor time and wall; on drill photos and on real ones."""
    flight = prepared(FLIGHTS[0])
    rows = _times("95 drill photos", flight.photos, flight.dem, flight.folder.name, GSD_M)
    if BRIGHTON.is_dir():
        rows += _times("brighton_beach", BRIGHTON, None, "brighton", None)
    return rows


def _times(what: str, photos: Path, dem: Path | None, name: str, gsd_m: float | None) -> list[Row]:
    whole = finished(f"{name}-timed", photos, dem, fresh=True)
    bare = finished(f"{name}-timed", photos, dem, "--no-surface", "--no-report", fresh=True)
    plane, solid = _peer("2D", photos, name, gsd_m), _peer("3D", photos, name, gsd_m)
    notes = (
        f"processor time; and wall: ours {whole.wall_s:.0f} s ({whole.made}), without surface and report "
        f"{bare.wall_s:.0f} s ({bare.made}), 2D {plane.run.wall_s:.0f} s ({plane.made}), "
        f"3D {solid.run.wall_s:.0f} s ({solid.made})"
        + ("" if solid.run.ended else f", stopped after {LIMIT_S / 60:.0f} minutes: it takes more"),
        f"stages (wall, processor): {whole.answer['stage_seconds']}",
    )
    return [
        Row(
            what=f"finish {what} with its surface, pyOrthomosaic 3D over ours",
            measured=f"{whole.cpu_s:.0f} s",
            peer=f"{'' if solid.run.ended else 'more than '}{solid.run.cpu_s:.0f} s",
            ratio=solid.run.cpu_s / whole.cpu_s,
            required=FASTER_THAN_3D,
            sense="at least",
            notes=notes,
        ),
        Row(
            what=f"finish {what} without surface and report, over pyOrthomosaic 2D",
            measured=f"{bare.cpu_s:.0f} s",
            peer=f"{plane.run.cpu_s:.0f} s",
            ratio=bare.cpu_s / plane.run.cpu_s,
            required=SLOWER_THAN_2D,
            sense="at most",
        ),
    ]


def memory(photos: int) -> list[Row]:
    """Peak of finishing a long flight, and of a tenth of it; how processor time grows between them."""
    flight = draped_flight(drill_flight(5, 19), photos, max(round(photos**0.5 * 0.8), 1))
    few = max(photos // 10, 10)
    small = finished(f"draped-{photos}-first-{few}", first_photos(flight, few), flight.dem)
    large = finished(f"draped-{photos}", flight.photos, flight.dem)
    growth = float(np.log(large.cpu_s / small.cpu_s) / np.log(photos / few))
    notes = (
        f"{few} photos: {small.peak_bytes / 1e9:.2f} GB, {small.cpu_s:.0f} s of processor time; {photos}: "
        f"{large.cpu_s:.0f} s, as n to the {growth:.2f}; {large.made}",
        f"the adjustment was {'' if large.answer['accepted'] else 'not '}accepted, surface of its own under "
        f"{(large.answer.get('surface') or {}).get('supported_pct', 0.0):.0f} % of the ground",
    )
    return [
        _row(
            f"peak memory of finishing {photos:,} photos, GB",
            f"{large.peak_bytes / 1e9:.2f} GB",
            f"{few} photos {small.peak_bytes / 1e9:.2f} GB",
            large.peak_bytes / 1e9,
            MOST_GB,
            notes,
        )
    ]


def seams() -> list[Row]:
    """How well seams are hidden, in drills and in real photos."""
    rows: list[Row] = []
    for flight in FLIGHTS[::2]:
        rows += _seams(flight.name, _of_flight(prepared(flight)))
    if BRIGHTON.is_dir():
        rows += _seams("brighton_beach", _brighton())
    return rows


def _seams(what: str, done: Finished) -> list[Row]:
    gradients, detail = finish_truth.seams_and_detail(done.data)
    note = f"{gradients.count:,} places along seams; within 4 px of a seam {detail.ratio_near:.3f}"
    return [
        _row(
            f"seams of {what}, gradient across over beside",
            f"{gradients.across / gradients.count:.2f}",
            f"{gradients.beside / gradients.count:.2f}",
            gradients.ratio,
            MOST_SEAM,
            (note,),
        ),
        Row(
            what=f"seams of {what}, fine detail over that of its sources",
            measured=f"{detail.ratio:.3f}",
            peer="1",
            ratio=detail.ratio,
            required=LEAST_DETAIL,
            sense="at least",
        ),
    ]


def reference() -> list[Row]:
    """A flight tied to a map of another day: absolute places."""
    flight = prepared(FLIGHTS[0])
    done = finished(
        f"{flight.name}-tied", flight.photos, flight.dem, "--reference", str(reference_of(flight))
    )
    tied, free = places(done.final, flight.truth), places(_of_flight(flight).final, flight.truth)
    return [
        _row(
            f"finish {flight.name} with a reference of another day, absolute median",
            f"{tied.absolute_median_m:.3f} m",
            f"without {free.absolute_median_m:.3f} m",
            tied.absolute_median_m,
            MOST_REFERENCE_M,
            (f"with {tied.words()}",),
        )
    ]


def brighton() -> list[Row]:
    """Real photos over a beach and trees."""
    done = _brighton()
    frames = finish_truth.ties_and_cells(done.data)
    good = [name for name, ties, cells in frames if ties >= LEAST_TIES and cells >= LEAST_CELLS_PCT]
    poor = ", ".join(
        f"{name} {ties} in {cells:.0f} %" for name, ties, cells in sorted(frames) if name not in good
    )
    held_out = done.answer["held_out_px"]
    every = len(list(BRIGHTON.glob("*.JPG")))
    return [
        _row(
            "brighton_beach, reprojection of held-out tracks, px",
            f"{held_out:.2f} px",
            f"used {done.answer['reprojection_px']:.2f} px",
            held_out,
            MOST_HELD_OUT_PX,
        ),
        Row(
            what="brighton_beach, photos used",
            measured=str(done.answer["frames"]["used"]),
            peer=str(every),
            ratio=done.answer["frames"]["used"] / every,
            required=1.0,
            sense="at least",
        ),
        Row(
            what=f"brighton_beach, photos with {LEAST_TIES} ties in {LEAST_CELLS_PCT:.0f} % of their grid",
            measured=str(len(good)),
            peer=str(every),
            ratio=len(good) / every,
            required=1.0,
            sense="at least",
            notes=(f"the others: {poor}",) if poor else (),
        ),
    ]


@cache
def _of_flight(flight: FinishFlight) -> Finished:
    return finished(flight.name, flight.photos, flight.dem)


@cache
def _brighton() -> Finished:
    return finished("brighton", BRIGHTON, None, "--held-out", "0.2")


@cache
def _peer(kind: str, photos: Path, name: str, gsd_m: float | None) -> PeerRun:
    return mosaicked(kind, photos, name, gsd_m)


def _row(
    what: str,
    measured: str,
    peer: str,
    value: float,
    most: float,
    notes: tuple[str, ...] = (),
    figures: dict | None = None,
) -> Row:
    return Row(
        what=what,
        measured=measured,
        peer=peer,
        ratio=float(value),
        required=most,
        sense="at most",
        notes=notes,
        figures=figures or {},
    )


ROWS: dict[str, Callable[[int], list[Row]]] = {
    "finish-accuracy": lambda _photos: accuracy(),
    "finish-poses": lambda _photos: finish_poses.poses(),
    "finish-sigma": lambda _photos: sigma(),
    "finish-shapes": lambda _photos: shapes(),
    "finish-pixels": lambda _photos: finish_pixels.rows(),
    "finish-published": lambda _photos: finish_published.rows(),
    "finish-time": lambda _photos: times(),
    "finish-memory": memory,
    "finish-seams": lambda _photos: seams(),
    "finish-reference": lambda _photos: reference(),
    "finish-brighton": lambda _photos: brighton(),
}
