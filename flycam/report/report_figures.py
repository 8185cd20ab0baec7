"""Figures of a quality report, from the catalogue and the tiles, without wording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flycam.frame.flight import is_flat_datum
from flycam.geometry.exterior import Vec3
from flycam.messages import Message

ERROR_BOUNDS_M = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
OVERLAP_BOUNDS = (1, 2, 4, 8, 16)
RESIDUAL_BOUNDS_PX = (0.25, 0.5, 1.0, 2.0)
RESIDUAL_STEP_PX, RESIDUAL_STEPS = 0.1, 20
"""Residuals are counted in steps up to 2 px; one more count holds all beyond."""

_MEASURE_M, _CARE_M = 0.5, 2.0


class Verdict(StrEnum):
    """Suitability of the map.

    MEASURE  19 of 20 of its pixels have an expected error (1 sigma) of half a metre or less
    PARTLY   half of its pixels have; the error map shows where the others are
    CARE     half of its pixels have one of two metres or less
    LOOK     for orientation only: the poses could not be adjusted, or errors are larger than that
    """

    MEASURE = "measure"
    PARTLY = "partly"
    CARE = "care"
    LOOK = "look"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameResult:
    """One photo of the flight and its result.

    state    "tied", "weak", "carried" or "prior" where the revision holds it; "left_out", "rejected" or
             "withdrawn" where it does not
    reason   stable key of the rejection; sentence: the same in a sentence, or why a photo has no tie point
    centre   (east, north, height) of its projection centre, work CRS; None where it never had a pose
    shift_m  how far the adjustment moved it from its telemetry; None where nothing moved it
    rms_px   of its residuals, one coordinate; None without
    """

    name: str
    state: str
    reason: str = ""
    sentence: Message | None = None
    centre: Vec3 | None = None
    shift_m: Vec3 | None = None
    ties: int = 0
    rms_px: float | None = None
    cells_pct: float = 0.0

    @property
    def is_used(self) -> bool:
        """True if the revision holds the photo."""
        return self.state not in ("left_out", "rejected", "withdrawn")


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorFigures:
    """Expected error (radial, 1 sigma, in the block): median and 95th percentile."""

    median_m: float
    p95_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowFigures:
    """Shares of the map, 0-100.

    intact_pct         windows of 64 pixels that are not bent
    smooth_pct         windows on smooth heights instead of measured ones
    smooth_intact_pct  share of those that are not bent; None: there are none
    """

    intact_pct: float
    smooth_pct: float
    smooth_intact_pct: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFigures:
    """Figures of one revision.

    made_ns, first_ns, last_ns  UTC: of the revision, and of the flight's first and last photo
    layer        as the catalogue names it ("colour")
    stats        the revision's record, as `finish` wrote it: JSON values, None where unknown
    frames       every photo of the layer, used or not, by name
    communes     names, the largest share first
    boundaries   coded warnings on the communes' boundaries (`frame.warning`)
    frame_gsd_m  finest, median and coarsest GSD of the used photos; pixel_m: of the map
    post_m       post spacing of the map's ground; own_pct: share of the map on the flight's own DSM
    error, error_own, error_dem  over all ground, over the DSM, over all beside it; None where there is
                 no such ground
    error_pct    share of the map in each class of ERROR_BOUNDS_M and above, 0-100
    overlap      median number of photos that see the ground; thin_pct: share seen by fewer than three
    windows      how much of the map keeps the shapes of its photos; None: unknown
    imaged_m2    ground that the map shows; gaps_m2: enclosed gaps, the largest first
    """

    flight: str
    event: str
    is_drill: bool
    layer: str
    revision: int
    made_ns: int
    first_ns: int
    last_ns: int
    operator: str | None
    inputs_hash: str
    work_crs: str
    vertical_datum: str
    options: Mapping[str, Any]
    stats: Mapping[str, Any]
    frames: tuple[FrameResult, ...]
    communes: tuple[str, ...]
    boundaries: tuple[str, ...]
    frame_gsd_m: tuple[float, float, float]
    pixel_m: float
    post_m: float | None
    own_pct: float
    error: ErrorFigures
    error_own: ErrorFigures | None
    error_dem: ErrorFigures | None
    error_pct: tuple[float, ...]
    overlap: int
    thin_pct: float
    windows: WindowFigures | None
    imaged_m2: float
    gaps_m2: tuple[float, ...]

    @property
    def accepted(self) -> bool:
        """True if the poses are adjusted ones."""
        return bool(self.stats.get("accepted"))

    @property
    def verdict(self) -> Verdict:
        """Suitability of the map."""
        if not self.accepted:
            return Verdict.LOOK
        if self.error.p95_m <= _MEASURE_M:
            return Verdict.MEASURE
        if self.error.median_m <= _MEASURE_M:
            return Verdict.PARTLY
        return Verdict.CARE if self.error.median_m <= _CARE_M else Verdict.LOOK

    @property
    def ground(self) -> str:
        """Ground beside the flight's own DSM: "dem", "plane" or "corrected".

        "corrected" where there is a DSM, which is continued beside it and corrects the terrain under all of
        the map.
        """
        if self.stats.get("surface"):
            return "corrected"
        return "plane" if is_flat_datum(self.vertical_datum) else "dem"

    @property
    def has_control(self) -> bool:
        """True if control (control points, a reference map) held the block."""
        control = self.stats.get("control") or {}
        reference = control.get("reference") or {}
        return self.accepted and (bool(control.get("points")) or bool(reference.get("used")))

    def count(self, *states: str) -> int:
        """Return the number of photos in these states."""
        return sum(frame.state in states for frame in self.frames)

    def select_frames(self, *states: str) -> list[FrameResult]:
        """Return the photos in these states, by name."""
        return [frame for frame in self.frames if frame.state in states]
