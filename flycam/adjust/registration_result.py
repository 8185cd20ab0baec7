"""What becomes of a frame that is registered as it comes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flycam.geometry.exterior import ExteriorOrientation


class RegistrationFailure(StrEnum):
    """Why a frame was not registered.

    FIRST  nothing on record shows its ground yet; FEW: too few landmarks were found again, or in one corner
    UNCLEAR  they agree on no pose; FAR: on one that the log's sigmas rule out; WORSE: the steps between it
    and what is on the map would be larger than by the log's pose
    """

    FIRST = "first"
    FEW = "few"
    UNCLEAR = "unclear"
    FAR = "far"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationResult:
    """A frame's pose for the map.

    pose     source REGISTERED where evidence or neighbours corrected it, else the log's own
    failure  None: by its own evidence
    seam_m   (by the log's pose, by this one): median step on the ground between this frame and those on the
             map at the landmarks they share; NaN where there are none
    """

    pose: ExteriorOrientation
    failure: RegistrationFailure | None
    seam_m: tuple[float, float] = (float("nan"), float("nan"))
