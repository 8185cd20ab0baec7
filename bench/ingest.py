"""Row 2: the whole ingest of a flight, against orthority's `oty frame` on the same photos.

Both are whole processes on the same cores, with the same photos, DEM, camera, exact poses (the drill's
metadata at noise 0 carry them), bilinear sampling and size of output pixel: that of flycam's base tiles, so
that both make as many. flycam's time holds decode, rectify, merge, parents, encode, store, evidence and
catalogue, into a fresh data folder where the DEM is registered already; `oty frame` writes one GeoTIFF a
photo with its default compression and overviews, and no mosaic. Each round runs one after the other.

Beside it the command as it is typed, start-up and all, with communes and a GSD, and how long after it the
first tile is in the catalogue, where whoever looks at the map sees it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median as _median

from bench import orthority
from bench.flights import GSD_M, BenchFlight, drill_flight, first_photos
from bench.processes import FLYCAM, BenchBroken, Finished, run_process, startup
from bench.table import Row
from flycam.drill.photo_drill import read_truth
from flycam.geodata.crs import to_lonlat
from flycam.geometry.grid import choose_zoom, compute_ground_pixel_m

TIMES_FASTER = 12.0
TIMES_FASTER_AS_TYPED, FIRST_WITHIN_S = 7.0, 3.0
FEW = 5


@dataclass(frozen=True, slots=True)
class Run:
    """One program on a round: all photos, the first few, and nothing but its start-up."""

    whole: Finished
    few: Finished
    start: Finished

    def marginal_s(self, photos: int) -> float:
        """Wall time of one more photo: whatever is paid once is in both runs."""
        return (self.whole.wall_s - self.few.wall_s) / (photos - FEW)


@dataclass(frozen=True, slots=True)
class Round:
    """One round of both. as_typed: with communes and a GSD; first_s: until its first tile is on the map."""

    ours: Run
    theirs: Run
    as_typed: Finished
    first_s: float


def measure(strips: int, per_strip: int, rounds: int, cores: list[int]) -> list[Row]:
    """Median of the rounds' ratios, start-up of both programs taken off and left on."""
    flight = drill_flight(strips, per_strip)
    oty = orthority.program()
    pixel_m = output_pixel_m(flight)
    photos = strips * per_strip
    done = []
    with tempfile.TemporaryDirectory(dir=flight.folder.parent) as temporary:
        for number in range(rounds):
            done.append(_round(flight, oty, pixel_m, Path(temporary) / str(number), cores))
    ours_0, theirs_0 = (
        _median(r.ours.start.wall_s for r in done),
        _median(r.theirs.start.wall_s for r in done),
    )
    net = [(r.theirs.whole.wall_s - theirs_0) / (r.ours.whole.wall_s - ours_0) for r in done]
    gross = [r.theirs.whole.wall_s / r.ours.whole.wall_s for r in done]
    marginal = [r.theirs.marginal_s(photos) / r.ours.marginal_s(photos) for r in done]
    cpu = [
        (r.theirs.whole.cpu_s - r.theirs.start.cpu_s) / (r.ours.whole.cpu_s - r.ours.start.cpu_s)
        for r in done
    ]
    ours, theirs = (_median(one.whole.wall_s for one in runs) for runs in zip(*map(_pair, done), strict=True))
    more = [_median(one.marginal_s(photos) for one in runs) for runs in zip(*map(_pair, done), strict=True)]
    spent = [_median(one.whole.cpu_s for one in runs) for runs in zip(*map(_pair, done), strict=True)]
    return [
        Row(
            what=f"whole ingest a photo, {photos} photos, {len(cores)} cores",
            measured=f"{(ours - ours_0) / photos * 1e3:.0f} ms",
            peer=f"oty frame {(theirs - theirs_0) / photos * 1e3:.0f} ms",
            ratio=_median(net),
            required=TIMES_FASTER,
            sense="at least",
            notes=(
                f"start-up taken off: flycam {ours_0:.2f} s, oty {theirs_0:.2f} s; with it "
                f"{ours:.2f} s against {theirs:.2f} s: ratio {_median(gross):.2f}",
                f"one more photo (all less the first {FEW}): {more[0] * 1e3:.0f} ms against "
                f"{more[1] * 1e3:.0f} ms: ratio {_median(marginal):.2f}",
                f"processor time {spent[0]:.2f} s against {spent[1]:.2f} s; start-up off: ratio "
                f"{_median(cpu):.2f}",
                f"rounds {len(done)}, ratios {', '.join(f'{r:.2f}' for r in net)}; output pixel "
                f"{pixel_m:.4f} m; orthority {orthority.version_of(oty)}",
            ),
            figures={
                "wall_s": [[r.ours.whole.wall_s, r.theirs.whole.wall_s] for r in done],
                "few_s": [[r.ours.few.wall_s, r.theirs.few.wall_s] for r in done],
                "cpu_s": [[r.ours.whole.cpu_s, r.theirs.whole.cpu_s] for r in done],
                "startup_s": [[r.ours.start.wall_s, r.theirs.start.wall_s] for r in done],
                "startup_cpu_s": [[r.ours.start.cpu_s, r.theirs.start.cpu_s] for r in done],
                "ratio_with_startup": _median(gross),
                "ratio_marginal": _median(marginal),
                "ratio_cpu": _median(cpu),
            },
        ),
        *_as_typed(photos, done),
    ]


def _as_typed(photos: int, done: list[Round]) -> list[Row]:
    took_s = [one.as_typed.wall_s for one in done]
    theirs_s, first_s = [one.theirs.whole.wall_s for one in done], [one.first_s for one in done]
    return [
        Row(
            what=f"ingest of {photos} photos with communes and GSD, the whole command",
            measured=f"{_median(took_s):.2f} s",
            peer=f"oty frame {_median(theirs_s):.2f} s",
            ratio=_median(theirs / ours for theirs, ours in zip(theirs_s, took_s, strict=True)),
            required=TIMES_FASTER_AS_TYPED,
            sense="at least",
            figures={"wall_s": took_s, "peer_s": theirs_s},
        ),
        Row(
            what=f"the first of {photos} photos on the map, from the command",
            measured=f"{_median(first_s):.2f} s",
            peer=f"{FIRST_WITHIN_S:g} s",
            ratio=_median(first_s) / FIRST_WITHIN_S,
            required=1.0,
            sense="at most",
            figures={"first_s": first_s},
        ),
    ]


def _pair(done: Round) -> tuple[Run, Run]:
    return done.ours, done.theirs


def output_pixel_m(flight: BenchFlight) -> float:
    """Ground size of a pixel of flycam's base tiles over this flight."""
    truth = read_truth(flight.folder)
    centre = next(iter(truth.exteriors.values())).projection_centre_m
    lat = float(to_lonlat([centre[:2]], truth.facts["work_crs"])[0, 1])
    return compute_ground_pixel_m(choose_zoom(truth.facts["gsd_m"], lat), lat)


def _round(flight: BenchFlight, oty: Path, pixel_m: float, folder: Path, cores: list[int]) -> Round:
    folder.mkdir()
    truth = read_truth(flight.folder)
    parameters = orthority.write_parameters(folder, flight, truth)
    crs = truth.facts["work_crs"]
    every, few = flight.photos, first_photos(flight, FEW)
    ours = Run(
        whole=_ingest(flight, every, folder / "data", cores),
        few=_ingest(flight, few, folder / "data-few", cores),
        start=startup([*FLYCAM, "--version"], cores),
    )
    theirs = []
    for photos, out in ((every, folder / "oty"), (few, folder / "oty-few")):
        out.mkdir()
        os.sync()
        command = orthority.command(oty, photos, flight.dem, parameters, out, crs, pixel_m)
        theirs.append(run_process(command, cores=cores))
        _require_all(photos, len(list(out.glob("*_ORTHO.tif"))), "oty wrote")
    start = startup([oty, "--version"], cores)
    as_typed, first_s = _watched(flight, folder / "data-typed", cores)
    shutil.rmtree(folder)
    return Round(ours, Run(whole=theirs[0], few=theirs[1], start=start), as_typed, first_s)


def _watched(flight: BenchFlight, data: Path, cores: list[int]) -> tuple[Finished, float]:
    """An ingest with communes and a GSD, and how long after it began (s) its log named a tile."""
    seen_s: list[float] = []
    over = threading.Event()
    address = f"file:{data / 'catalog.sqlite'}?mode=ro"

    def watch() -> None:
        while not seen_s and not over.wait(0.02):
            with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True)) as catalogue:
                if catalogue.execute("SELECT 1 FROM tile_log LIMIT 1").fetchone():
                    seen_s.append(time.perf_counter())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        options = ("--communes", flight.folder / "communes.geojson", "--gsd", f"{GSD_M:g}")
        done = _ingest(flight, flight.photos, data, cores, *options)
        ended_s = time.perf_counter()
    finally:
        over.set()
        watching.join()
    if not seen_s:
        raise BenchBroken("no tile was seen in the catalogue")
    return done, seen_s[0] - (ended_s - done.wall_s)


def _ingest(
    flight: BenchFlight, photos: Path, data: Path, cores: list[int], *options: str | Path
) -> Finished:
    run_process([*FLYCAM, "dem", "add", flight.dem, "--data", data])
    os.sync()  # neither program pays for what the other left to be written
    done = run_process([*FLYCAM, "ingest", photos, *options, "--data", data, "--json"], cores=cores)
    _require_all(photos, json.loads(done.stdout.splitlines()[-1])["frames"]["used"], "flycam used")
    return done


def _require_all(photos: Path, count: int, who: str) -> None:
    there = len(list(photos.iterdir()))
    if count != there:
        raise BenchBroken(f"{who} {count} of {there} photos")
