"""One row for one number, and the table of all, with the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import cv2

_PACKAGES = ("numpy", "rasterio", "uvicorn", "sqlalchemy")
_LAST_RUNS = "## Last runs of `make bench`"
_HEADINGS = ("what", "measured", "floor / peer", "ratio", "required", "met")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One number of the table.

    ratio     measured against the floor or peer, the way round that `required` reads
    required  the bound on the ratio; sense "at most" or "at least"
    notes     what else was measured in the same run, in words
    """

    what: str
    measured: str
    peer: str
    ratio: float
    required: float
    sense: Literal["at most", "at least"]
    notes: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.ratio <= self.required if self.sense == "at most" else self.ratio >= self.required

    def cells(self) -> tuple[str, ...]:
        sign = "≤" if self.sense == "at most" else "≥"
        return (
            self.what,
            self.measured,
            self.peer,
            f"{self.ratio:.3g}",
            f"{sign} {self.required:g}",
            "yes" if self.met else "NO",
        )


def machine() -> dict[str, Any]:
    """What was measured on."""
    versions = {"opencv": cv2.__version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "name": platform.node(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
        "at": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def render(rows: Sequence[Row], host: dict[str, Any], broken: Sequence[str], load_after: float) -> str:
    """The table as Markdown that reads well in a terminal too."""
    versions = ", ".join(f"{name} {number}" for name, number in host["versions"].items())
    loads = " ".join(f"{load:.2f}" for load in host["load_average"])
    lines = [
        f"flycam bench on {host['name']}: {host['cpu']}, {host['cores']} cores, {host['memory_gb']} GB, "
        f"{host['kernel']}",
        f"Python {host['python']}, {versions}",
        f"{host['at']}, load average {loads} before, {load_after:.2f} after",
        "",
    ]
    cells = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    ruled = [cells[0], tuple("-" * width for width in widths), *cells[1:]]
    for line in ruled:
        lines.append("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")
    for row in rows:
        lines.extend(["", row.what, *(f"  - {note}" for note in row.notes)] if row.notes else [])
    lines.extend(f"\nBROKEN {reason}" for reason in broken)
    return "\n".join(lines)


def update_page(page: Path, rows: Sequence[Row], host: dict[str, Any]) -> None:
    """Replace these rows in a page's last table; those of earlier runs stay, with machine and day."""
    text, _, table = page.read_text(encoding="utf-8").partition(_LAST_RUNS)
    kept = {line.split(" | ")[0]: line for line in table.splitlines() if line.startswith("| ")}
    for row in rows:
        at = f"{host['at'][:10]}, {host['cpu']}, load {host['load_average'][0]}"
        kept[f"| {row.what}"] = f"| {' | '.join((*row.cells(), at))} |"
    headings = (*_HEADINGS, "day, machine")
    kept.pop(f"| {headings[0]}", None)
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|", *kept.values()]
    page.write_text(f"{text.rstrip()}\n\n{_LAST_RUNS}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def as_json(rows: Sequence[Row], host: dict[str, Any], broken: Sequence[str]) -> dict[str, Any]:
    """The same for programs."""
    return {"machine": host, "rows": [asdict(row) | {"met": row.met} for row in rows], "broken": list(broken)}
