"""Row 2: the whole ingest of a flight, against orthority's `oty frame` on the same photos.

Both are whole processes on the same cores, with the same photos, DEM, camera, exact poses (the drill's
metadata at noise 0 carry them), bilinear sampling and size of output pixel: that of flycam's base tiles, so
that both make as many. flycam's time holds decode, rectify, merge, parents, encode, store, evidence and
catalogue, into a fresh data folder where the DEM is registered already; `oty frame` writes one GeoTIFF a
photo with its default compression and overviews, and no mosaic. Each round runs one after the other.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median as _median

from flycam.drill.truth import read_truth
from flycam.geodata.crs import to_lonlat
from flycam.geometry.grid import ground_pixel_m, zoom_for_gsd
from tests.bench import orthority
from tests.bench.flights import BenchFlight, drill_flight
from tests.bench.processes import FLYCAM, Finished, run_process, startup
from tests.bench.table import Row

TIMES_FASTER = 12.0


@dataclass(frozen=True, slots=True)
class Round:
    """One run of each, their start-ups beside them, and how many photos flycam's mosaic holds."""

    ours: Finished
    theirs: Finished
    our_start: Finished
    their_start: Finished
    used: int


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
    ours_0, theirs_0 = _median(r.our_start.wall_s for r in done), _median(r.their_start.wall_s for r in done)
    net = [(r.theirs.wall_s - theirs_0) / (r.ours.wall_s - ours_0) for r in done]
    gross = [r.theirs.wall_s / r.ours.wall_s for r in done]
    cpu = [(r.theirs.cpu_s - r.their_start.cpu_s) / (r.ours.cpu_s - r.our_start.cpu_s) for r in done]
    ours, theirs = _median(r.ours.wall_s for r in done), _median(r.theirs.wall_s for r in done)
    ours_cpu, theirs_cpu = _median(r.ours.cpu_s for r in done), _median(r.theirs.cpu_s for r in done)
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
                f"processor time: {ours_cpu:.2f} s against {theirs_cpu:.2f} s; start-up off, ratio "
                f"{_median(cpu):.2f}",
                f"rounds {len(done)}, ratios {', '.join(f'{r:.2f}' for r in net)}; output pixel "
                f"{pixel_m:.4f} m; {min(r.used for r in done)} of {photos} photos in the mosaic; "
                f"{orthority.version_of(oty)}",
            ),
            figures={
                "wall_s": [[r.ours.wall_s, r.theirs.wall_s] for r in done],
                "cpu_s": [[r.ours.cpu_s, r.theirs.cpu_s] for r in done],
                "startup_s": [[r.our_start.wall_s, r.their_start.wall_s] for r in done],
                "startup_cpu_s": [[r.our_start.cpu_s, r.their_start.cpu_s] for r in done],
                "ratio_with_startup": _median(gross),
                "ratio_cpu": _median(cpu),
            },
        )
    ]


def output_pixel_m(flight: BenchFlight) -> float:
    """Ground size of a pixel of flycam's base tiles over this flight."""
    truth = read_truth(flight.folder)
    centre = next(iter(truth.exteriors.values())).projection_centre_m
    lat = float(to_lonlat([centre[:2]], truth.facts["work_crs"])[0, 1])
    return ground_pixel_m(zoom_for_gsd(truth.facts["gsd_m"], lat), lat)


def _round(flight: BenchFlight, oty: Path, pixel_m: float, folder: Path, cores: list[int]) -> Round:
    data, out = folder / "data", folder / "oty"
    out.mkdir(parents=True)
    truth = read_truth(flight.folder)
    interior, exterior = orthority.write_parameters(out, flight, truth)
    run_process([*FLYCAM, "dem", "add", flight.dem, "--data", data])
    ours_start = startup([*FLYCAM, "--version"], cores)
    theirs_start = startup([oty, "--version"], cores)
    os.sync()  # neither pays for the other's dirty pages
    ours = run_process([*FLYCAM, "ingest", flight.photos, "--data", data, "--json"], cores=cores)
    os.sync()
    theirs = run_process(
        orthority.command(oty, flight, interior, exterior, out, truth.facts["work_crs"], pixel_m), cores=cores
    )
    answer = json.loads(ours.stdout.splitlines()[-1])
    written = len(list(out.glob("*_ORTHO.tif")))
    photos = len(truth.exteriors)
    if written != photos or answer["frames"]["used"] != photos:
        raise RuntimeError(f"of {photos} photos flycam used {answer['frames']['used']}, oty wrote {written}")
    shutil.rmtree(folder)
    return Round(ours, theirs, ours_start, theirs_start, answer["frames"]["used"])
