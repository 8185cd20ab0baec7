"""What was written of a flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flycam.answers.answered import Answered, warnings_of
from flycam.frame.warning import sentence

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.mosaic.export import Exported


def of_export(exported: Exported, language: str = "en") -> Answered:
    """path, crs, gsd_m, bounds, warnings."""
    rows, cols = exported.shape_px
    answer = {
        "path": str(exported.path),
        "crs": exported.crs,
        "gsd_m": exported.gsd_m,
        "bounds": list(exported.bounds),
        **warnings_of(exported.notes),
    }
    gsd = f"{exported.gsd_m:.3g}".replace(".", "," if language == "vi" else ".")
    pixel = "mỗi điểm ảnh" if language == "vi" else "a pixel"
    written = f"{exported.path}: {cols}×{rows} px, {gsd} m {pixel}, {exported.crs}"
    return answer, [written, *(f"  ! {sentence(one, language)}" for one in exported.notes)]
