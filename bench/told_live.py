"""`flycam` as a program that also writes down, of every picture of a live flight, when it came and by which
line of the tile log all its tiles are named: what no answer of the command has room for.

    python -m bench.told_live OUT.json live --data …
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from flycam.cli import main as flycam
from flycam.ingest.live.orthorectifier import LiveMap, MergedFrame


def told_live(out: Path) -> tuple[str | Path, ...]:
    """The program's beginning; as it ends it writes `out`: [[arrived (monotonic, ns), line], …]."""
    return sys.executable, "-m", "bench.told_live", out


def main() -> None:
    out, told = Path(sys.argv.pop(1)), list[tuple[int, int]]()
    publish = LiveMap._publish

    def noted(self: LiveMap, laid: Sequence[MergedFrame]) -> None:
        publish(self, laid)
        mosaic_id = f"{laid[0].record.flight_id}-{laid[0].record.header.layer}"
        line = self._workspace.catalog.tiles.last_seq(mosaic_id)
        told.extend((one.arrived_ns, line) for one in laid)

    LiveMap._publish = noted  # type: ignore[method-assign]
    try:
        flycam()
    finally:
        out.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
