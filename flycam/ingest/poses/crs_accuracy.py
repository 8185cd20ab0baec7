"""Warnings about coordinate systems that can be converted to WGS 84 only to metres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flycam.geodata.crs import estimate_accuracy_m
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.flight_table import Floats


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
            sentence_en=format_crs_accuracy(path.name, accuracy),
            sentence_vi=f"{path.name}: hệ toạ độ của tệp chỉ chuyển được sang hệ của bản đồ với sai số "
            f"khoảng {accuracy:.0f} m, vì ở đây không có phép chuyển tốt hơn, và những gì đặt theo đó không "
            "chính xác hơn thế: hãy cho toạ độ theo WGS 84 (EPSG:4326 hoặc một múi UTM) nếu cần chính xác "
            "hơn.",
        )
    ]


def format_crs_accuracy(name: str, accuracy_m: float) -> str:
    """Format the English warning about a coordinate system accurate only to metres."""
    return (
        f"{name}: its coordinate system is brought to that of the map to about {accuracy_m:.0f} m here, for "
        "want of a better transformation, and nothing placed by it is surer: give coordinates in WGS 84 "
        "(EPSG:4326 or a UTM zone) where metres matter."
    )
