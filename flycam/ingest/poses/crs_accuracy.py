"""Warnings about coordinate systems that can be converted to WGS 84 only to metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flycam.geodata.crs import estimate_accuracy_m
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.flight_table import Floats
from flycam.messages import Message, _


def check_crs_accuracy(path: Path, crs: str | None, lonlat_deg: Floats) -> list[Problem]:
    """Return a warning if a file's coordinate system is only accurate to metres.

    lonlat_deg  the file's coordinates, N×2 degrees once transformed

    None for `crs` None (WGS 84).
    """
    accuracy = 0.0 if crs is None else estimate_accuracy_m(crs, np.median(lonlat_deg, axis=0))
    if not accuracy:
        return []
    return [
        Problem(
            code="crs_accuracy",
            severity=Severity.WARNING,
            sentence=format_crs_accuracy(path.name, accuracy),
        )
    ]


def format_crs_accuracy(name: str, accuracy_m: float) -> Message:
    """Describe a coordinate system that is accurate only to metres."""
    return _(
        "{name}: its coordinate system is brought to that of the map to about {accuracy_m:.0f} m here, for "
        "want of a better transformation, and nothing placed by it is surer: give coordinates in WGS 84 "
        "(EPSG:4326 or a UTM zone) where metres matter.",
        name=name,
        accuracy_m=accuracy_m,
    )
