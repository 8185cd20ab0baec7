"""What was written of a flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flycam.answers.answered import Answered

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.mosaic.export import Exported


def of_export(exported: Exported, language: str = "en") -> Answered:
    """path, crs, gsd_m, bounds."""
    rows, cols = exported.shape_px
    answer = {
        "path": str(exported.path),
        "crs": exported.crs,
        "gsd_m": exported.gsd_m,
        "bounds": list(exported.bounds),
    }
    pixel = "mỗi điểm ảnh" if language == "vi" else "a pixel"
    return answer, [f"{exported.path}: {cols}×{rows} px, {exported.gsd_m:.3g} m {pixel}, {exported.crs}"]
