"""Answer of `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flycam.answers.output import Output, format_warnings
from flycam.frame.warning import format_warning

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.mosaic.export import ExportedCog


def format_export(exported: ExportedCog, language: str = "en") -> Output:
    """Return path, crs, gsd_m, bounds and warnings of an exported file."""
    rows, cols = exported.shape_px
    answer = {
        "path": str(exported.path),
        "crs": exported.crs,
        "gsd_m": exported.gsd_m,
        "bounds": list(exported.bounds),
        **format_warnings(exported.notes),
    }
    gsd = f"{exported.gsd_m:.3g}".replace(".", "," if language == "vi" else ".")
    pixel = "mỗi điểm ảnh" if language == "vi" else "a pixel"
    written = f"{exported.path}: {cols}×{rows} px, {gsd} m {pixel}, {exported.crs}"
    return answer, [written, *(f"  ! {format_warning(one, language)}" for one in exported.notes)]
