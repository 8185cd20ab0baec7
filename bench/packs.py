"""The whole meeting pack of a flight of about 100 photos, by `flycam pack` as a process.

PDF, DOCX, pictures for the screen, the page for a stick, PMTiles, GeoPackage, KMZ, manifest: all of it is
there and the manifest holds, or nothing is told. Start-up counts: it is what people wait for.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from bench.flights import ROOT
from bench.house_of_flight import NAME, made_house
from bench.processes import FLYCAM, BenchBroken, run_process
from bench.table import Row

MOST_S = 120.0
_PARTS = (
    "bao-cao-nhanh.pdf",
    "bao-cao-nhanh.docx",
    "man-hinh/*.png",
    "index.html",
    "anh/*.jpg",
    "*.pmtiles",
    "du-lieu.gpkg",
    "ban-do.kmz",
    "nguon-anh.csv",
)


def measure(strips: int, per_strip: int) -> list[Row]:
    """One row: seconds from the command to the manifest; memory, bytes and load in the notes."""
    photos = strips * per_strip
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        data, out = Path(folder) / "data", Path(folder) / "pack"
        made_house(data, strips, per_strip)
        before = os.getloadavg()[0]
        command = [*FLYCAM, "pack", NAME, "--out", out, "--data", data, "--json"]
        done = run_process(command, watch_memory=True)
        after = os.getloadavg()[0]
        communes = json.loads(done.stdout.splitlines()[-1])["communes"]
        sizes = {part: _bytes(out, part) for part in _PARTS}
        files = _held_by_manifest(out)
    total = sum(sizes.values())
    parts = ", ".join(f"{name} {size / 1e6:.2f}" for name, size in sizes.items())
    return [
        Row(
            what=f"the whole meeting pack of a flight of {photos} photos, {len(communes)} communes",
            measured=f"{done.wall_s:.1f} s",
            peer=f"{MOST_S:.0f} s",
            ratio=done.wall_s / MOST_S,
            required=1.0,
            sense="at most",
            notes=(
                f"{done.cpu_s:.1f} s of processor, {done.peak_bytes / 1e6:.0f} MB at most, "
                f"load {before:.1f} before, {after:.1f} after",
                f"{total / 1e6:.1f} MB in {files} files; MB: {parts}",
            ),
            figures={
                "wall_s": done.wall_s,
                "cpu_s": done.cpu_s,
                "peak_bytes": done.peak_bytes,
                "bytes": sizes,
                "load": [before, after],
            },
        )
    ]


def _bytes(folder: Path, part: str) -> int:
    """Of the files of a part, which must be there."""
    size = sum(path.stat().st_size for path in folder.glob(part))
    if not size:
        raise BenchBroken(f"the pack has no {part}")
    return size


def _held_by_manifest(folder: Path) -> int:
    """How many files it names; each has its hash, and there are no others."""
    lines = (folder / "manifest.sha256").read_text().splitlines()
    named = dict(reversed(line.split("  ", 1)) for line in lines)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if there != {*named, "manifest.sha256"}:
        raise BenchBroken(f"the manifest and the folder differ: {there ^ {*named, 'manifest.sha256'}}")
    for name, digest in named.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise BenchBroken(f"{name} is not what the manifest says")
    return len(named)
