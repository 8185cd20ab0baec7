"""The numbers of flycam in one run, as one table of ratios.

    python -m bench [ROW …] [--strips N --per-strip N] [--photos N] [--rounds N] [--cores N]

Rows: rectify ingest position memory inspect tiles live live-speed live-streams live-watched live-memory
clock adjust compare-registration compare-changes compare-flights sync sync-air growth titiler thin-line
upload-look pack cluster viewers, and of a finished revision finish-accuracy finish-poses finish-sigma
finish-shapes finish-pixels finish-published finish-time finish-memory finish-seams finish-reference
finish-brighton (all, unless some are named). Ends with code 0 whether the numbers are met or not; with 1
only if something did not run.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2

from bench import (
    adjust,
    bench_rectify,
    bench_tiles,
    clock_courses,
    cluster,
    compare_changes,
    compare_flights,
    compare_registration,
    finish,
    growth,
    ingest,
    inspect_photos,
    live,
    live_memory,
    live_speed,
    live_streams,
    live_watched,
    memory,
    packs,
    position,
    sync,
    sync_air,
    thin_line,
    titiler_peer,
    upload_look,
    viewers,
)
from bench.table import Row, as_json, machine, render, update_page

Options = argparse.Namespace
_PROGRAM = Path(__file__).parents[1] / "flycam"


def rectify_rows(_options: Options) -> list[Row]:
    """Row 1, nadir and oblique; the harder scenes are stated beside them."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    results = [bench_rectify.measure(*scene) for scene in bench_rectify.SCENES]
    cv2.setNumThreads(threads)
    harder = tuple(f"{r['scene']}: {r['ratio']}" for r in results[2:])
    return [
        Row(
            what=f"rectify a 1080p frame, {r['scene']}, one core",
            measured=f"{r['rectify_ms']} ms",
            peer=f"bare remap {r['remap_ms']} ms",
            ratio=float(r["ratio"]),
            required=2.0,
            sense="at most",
            notes=(
                f"{r['output_px']:,} output pixels; lattice step {r['lattice_step_px']} px, measured error "
                f"{r['lattice_error_px']} px; processor time, {bench_rectify.REPEATS} interleaved repeats",
                *(harder if number else ()),
            ),
            figures=r,
        )
        for number, r in enumerate(results[:2])
    ]


def tile_rows(_options: Options) -> list[Row]:
    """Row 6."""
    r = bench_tiles.run()
    return [
        Row(
            what=f"tiles from one process, {r['bytes'] / 1e3:.1f} kB, account check on",
            measured=f"{r['flycam_per_s']:,} /s",
            peer=f"bare ASGI {r['bare_per_s']:,} /s",
            ratio=float(r["ratio"]),
            required=float(r["at_least"]),
            sense="at least",
            notes=(
                f"{r['requests']:,} requests over {r['connections']} connections, ratios of the rounds "
                f"{r['ratio_min']} to {r['ratio_max']}",
            ),
            figures=r,
        )
    ]


def _finish_rows(measure: Callable[[int], list[Row]], options: Options) -> list[Row]:
    return measure(options.photos)


ROWS: dict[str, Callable[[Options], list[Row]]] = {
    "rectify": rectify_rows,
    "ingest": lambda o: ingest.measure(o.strips, o.per_strip, o.rounds, _cores(o.cores)),
    "position": lambda o: position.measure(o.strips, o.per_strip),
    "memory": lambda o: memory.measure(o.strips, o.per_strip, o.photos),
    "inspect": lambda o: inspect_photos.measure(o.strips, o.per_strip, o.photos, o.pictures),
    "tiles": tile_rows,
    "live": lambda _: live.measure(),
    "live-speed": lambda _: live_speed.measure(),
    "live-streams": lambda _: live_streams.measure(),
    "live-watched": lambda o: live_watched.measure(o.watched),
    "live-memory": lambda o: live_memory.measure(o.minutes),
    "clock": lambda _: clock_courses.measure(),
    "adjust": lambda o: adjust.measure(),
    "compare-registration": lambda _: compare_registration.measure(),
    "compare-changes": lambda _: compare_changes.measure(),
    "compare-flights": lambda _: compare_flights.measure(),
    "sync": lambda o: sync.measure(o.strips, o.per_strip, hour=o.hour),
    "sync-air": lambda _: sync_air.measure(),
    "growth": lambda _: growth.measure(),
    "titiler": lambda o: titiler_peer.measure(o.strips, o.per_strip),
    "thin-line": lambda o: thin_line.measure(o.strips, o.per_strip),
    "upload-look": lambda o: upload_look.measure(o.strips, o.per_strip, o.card),
    "pack": lambda o: packs.measure(o.strips, o.per_strip),
    "cluster": lambda o: cluster.measure(o.strips, o.per_strip, o.rounds),
    "viewers": lambda o: viewers.measure(o.viewing),
    **{name: partial(_finish_rows, measure) for name, measure in finish.ROWS.items()},
}


def _cores(count: int | None) -> list[int]:
    mine = sorted(os.sched_getaffinity(0))
    return mine[: count or len(mine)]


def main() -> int:
    """Measure the rows that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=" ".join(ROWS))
    parser.add_argument("--strips", type=int, default=5, help="of the drill flight")
    parser.add_argument("--per-strip", type=int, default=19, help="photos a strip")
    parser.add_argument("--photos", type=int, default=1000, help="of the long flight (memory, inspect)")
    parser.add_argument("--pictures", type=int, default=40, help="9 MP JPEGs (inspect)")
    parser.add_argument("--minutes", type=int, default=live_memory.MINUTES, help="of film (live-memory)")
    parser.add_argument("--watched", type=float, default=live_watched.SECONDS, help="seconds (live-watched)")
    parser.add_argument("--viewing", type=float, default=viewers.SECONDS, help="seconds (viewers)")
    parser.add_argument("--card", type=Path, help="a folder of photos (upload-look; default: the drill)")
    parser.add_argument("--hour", action="store_true", help="over the thin line to the end (sync)")
    parser.add_argument("--rounds", type=int, default=3, help="of ingest against orthority")
    parser.add_argument("--cores", type=int, help="for ingest and orthority (default: all)")
    parser.add_argument("--json", type=Path, help="write the table for programs too")
    parser.add_argument("--page", type=Path, help="Markdown page whose last table takes the rows")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    # pip does this for every program it installs, the peers included, but not for a folder under work
    compileall.compile_dir(_PROGRAM, quiet=1)
    host, rows, broken = machine(), [], []
    for name in options.rows or ROWS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            rows.extend(ROWS[name](options))
        except Exception as error:  # noqa: BLE001  the other rows are still worth measuring
            traceback.print_exc()
            broken.append(f"{name}: {error}")
        print(f"  {name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(render(rows, host, broken, os.getloadavg()[0]))
    if options.page:
        update_page(options.page, rows, host)
    if options.json:
        options.json.write_text(json.dumps(as_json(rows, host, broken), indent=1, ensure_ascii=False))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
