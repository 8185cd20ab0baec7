"""Answer of `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flycam.answers.output import Output, format_warnings
from flycam.frame.warning import format_warning
from flycam.messages import Bilingual, _, join

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.mosaic.export import ExportedCog


def format_export(exported: ExportedCog) -> Output:
    """Return path, crs, gsd_m, bounds and warnings of an exported file."""
    rows, cols = exported.shape_px
    answer = {
        "path": str(exported.path),
        "crs": exported.crs,
        "gsd_m": exported.gsd_m,
        "bounds": list(exported.bounds),
        **format_warnings(exported.notes),
    }
    written = _(
        "{path}: {cols}×{rows} px, {gsd_m:.3g} m a pixel, {crs}",
        path=exported.path,
        cols=cols,
        rows=rows,
        gsd_m=exported.gsd_m,
        crs=exported.crs,
    )
    return answer, [
        written,
        *(join(("  !", Bilingual(format_warning(one), format_warning(one, "vi")))) for one in exported.notes),
    ]
