"""Results of the preflight check: headers, rejections, and decisions as sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon

from flycam.errors import FrameRejected
from flycam.messages import Message, join
from flycam.model.frame import FrameHeader

Floats = NDArray[np.float64]

TerrainAt = Callable[[Floats], tuple[Floats, str]]
"""Terrain lookup: lon/lat degrees N×2 -> (heights N in metres, NaN where unknown; their vertical datum)."""


class Severity(StrEnum):
    """Severity of a finding.

    INFO: resolved, nothing to do. WARNING: usable, but look. ERROR: something is lost or unusable.
    """

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One finding or decision.

    `frames` names the files it concerns; empty means the whole flight.
    """

    code: str
    severity: Severity
    sentence: Message
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """Rejection of one photo, made from its error, whose class holds the key.

    Rejections are counted by that key.
    """

    name: str
    reason: str
    message: Message

    @classmethod
    def from_error(cls, name: str, error: FrameRejected) -> Rejection:
        """Make a rejection; the photo's name is prepended if the sentence lacks it."""
        is_named = f"{name}: " in str(error)
        message = error.message if is_named else join([name, error.message], ": ")
        return cls(name=name, reason=error.reason, message=message)


_ON_TERRAIN = frozenset({"operator_point", "home_position", "terrain_and_altitude", "terrain"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Takeoff:
    """Height of the take-off point of one sortie.

    In the datum of the terrain (LOCAL without terrain).

    how     "operator", "operator_point", "home_position", "terrain_and_altitude", "altitude", "terrain",
            "plane" (no terrain: height 0 of a LOCAL datum), "pictures" (no terrain: the plane that photos of
            given poses see)
    frames  names of the sortie's photos
    """

    height_m: float
    sigma_m: float
    datum: str
    how: str
    frames: tuple[str, ...] = ()

    @property
    def is_on_terrain(self) -> bool:
        """True if the height was read off the terrain, and is wrong together with it."""
        return self.how in _ON_TERRAIN


class GapKind(StrEnum):
    """Kind of gap.

    HOLE: no photo sees this ground. BREAK: a strip lost shots; a few photos may still see the ground.
    """

    HOLE = "hole"
    BREAK = "break"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Ground to refly.

    polygon_lonlat  WGS 84 degrees; area_m2 and length_m are measured in the work CRS
    between         names of the photos before and after (BREAK), or ()
    missing         number of missing shots (BREAK), 0 for HOLE
    seen_by         fewest photos that see its ground (0 for HOLE); None if footprints are not known
    """

    kind: GapKind
    polygon_lonlat: Polygon
    area_m2: float
    length_m: float = 0.0
    between: tuple[str, str] | tuple[()] = ()
    missing: int = 0
    seen_by: int | None = None
    sentence: Message


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliefZone:
    """Figures of a flight over one class of ground ("summit", "slope", "valley").

    Heights in metres of the terrain's datum; gsd_m straight below, which an oblique photo has at its centre
    only when it looks there (`Footprint.gsd_m`); overlap as the number of photos that see a point of ground;
    side_overlap as the fraction of a footprint shared with the neighbouring strip.
    """

    zone: str
    ground_m: tuple[float, float]
    photos: int
    height_above_ground_m: tuple[float, float, float]
    gsd_m: tuple[float, float, float]
    views: tuple[float, float]
    side_overlap: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """Result of the preflight check, known before pixels are read.

    headers          ready to rectify, in order of capture time
    rejected         photos that cannot be used, each with its reason; headers + rejected = photos read
    refused          those of them with a pose but without usable pixels, to be recorded with their error
    problems         findings and decisions, most severe first
    camera           maker, model and number of photos of the main camera
    vertical_datum   datum of every header's exterior; "LOCAL" when there is no terrain
    takeoff          of the longest sortie; `takeoffs` holds one per sortie
    gaps             ground to refly; relief: figures per summit, slope and valley (needs terrain)
    missing_names    files that are missing by their numbering
    is_drill         the photos carry flycam's exercise mark
    paths            frame id -> the file it was read from
    """

    headers: tuple[FrameHeader, ...]
    rejected: tuple[Rejection, ...]
    problems: tuple[Problem, ...]
    camera: str
    work_crs: str
    vertical_datum: str
    takeoff: Takeoff | None
    takeoffs: tuple[Takeoff, ...] = ()
    gaps: tuple[Gap, ...] = ()
    relief: tuple[ReliefZone, ...] = ()
    missing_names: tuple[str, ...] = ()
    refused: tuple[tuple[FrameHeader, FrameRejected], ...] = ()
    is_drill: bool = False
    paths: dict[str, str] = field(default_factory=dict)
