"""What was written of a flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flycam.answers.output import Output, format_warnings
from flycam.frame.warning import format_warning

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.mosaic.export import ExportedCog


def format_export(exported: ExportedCog, language: str = "en") -> Output:
    """path, crs, gsd_m, bounds, warnings."""
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
