"""Result of registering a frame as it arrives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flycam.geometry.exterior import ExteriorOrientation


class RegistrationFailure(StrEnum):
    """Reason for not registering a frame.

    FIRST    no recorded landmark shows its ground yet
    FEW      too few landmarks were found again, or in one corner
    UNCLEAR  they agree on no pose
    FAR      they agree on a pose that the log's sigmas exclude
    WORSE    the steps to the mosaic would be larger than by the log's pose
    """

    FIRST = "first"
    FEW = "few"
    UNCLEAR = "unclear"
    FAR = "far"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationResult:
    """A frame's pose for the mosaic.

    pose     source REGISTERED where evidence or neighbours corrected it, else the log's own
    failure  None: registered by its own evidence
    seam_m   (by the log's pose, by this one): median step on the ground between this frame and those in the
             mosaic at the landmarks they share; NaN where there are none
    """

    pose: ExteriorOrientation
    failure: RegistrationFailure | None
    seam_m: tuple[float, float] = (float("nan"), float("nan"))
