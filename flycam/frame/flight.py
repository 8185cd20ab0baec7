"""Flights and the events (a storm, a drill) they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flycam.frame.frame import Layer

LOCAL_DATUM = "LOCAL"


def is_flat_datum(vertical_datum: str) -> bool:
    """Whether heights of this datum mean that no terrain is known and the ground was taken as a plane.

    The one rule for every place that names the ground a map lies on.
    """
    return vertical_datum == LOCAL_DATUM


UNNAMED_EVENTS = {True: ("DIỄN TẬP", "DIỄN TẬP (drill)"), False: ("Bay chụp", "Bay chụp (survey)")}
"""What the event of flights is called for which nobody named one (of a drill, of a real one), and what it was
called before that: houses hold both."""


def is_unnamed(event_name: str) -> bool:
    """Whether that says no more than that somebody flew: on a document's title it says nothing."""
    return any(event_name in names for names in UNNAMED_EVENTS.values())


class EventKind(StrEnum):
    """What happened."""

    STORM = "storm"
    FLOOD = "flood"
    LANDSLIDE = "landslide"
    SURVEY = "survey"
    DRILL = "drill"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """The storm or the drill a flight belongs to. A drill is marked DIỄN TẬP wherever it is shown.

    starts_ns, ends_ns  UTC nanoseconds; None while open
    risk_level          declared disaster risk level 1-5 (Decision 18/2021/QD-TTg), None if not declared
    """

    event_id: str
    name: str
    kind: EventKind
    is_drill: bool
    risk_level: int | None = None
    starts_ns: int | None = None
    ends_ns: int | None = None


class FlightState(StrEnum):
    """INGESTING while frames are still being written; only READY flights are shown as complete."""

    INGESTING = "ingesting"
    READY = "ready"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True, slots=True)
class Flight:
    """One flight. The id is derived from its first frames; the name is only a label.

    bounds_lonlat_deg  (west, south, east, north) of what was imaged, None before the first patch
    gsd_m              median ground sample distance
    warnings           what must be shown with the map, as `flycam.frame.warning` keeps and says it
    """

    flight_id: str
    name: str
    event_id: str
    state: FlightState
    work_crs: str
    vertical_datum: str
    dem_id: str
    gsd_m: float
    first_ns: int
    last_ns: int
    bounds_lonlat_deg: tuple[float, float, float, float] | None = None
    operator: str | None = None
    warnings: tuple[str, ...] = ()


def derive_live_mosaic_id(flight_id: str, layer: Layer) -> str:
    """The id of a flight's live mosaic of one layer, the same on every box."""
    return f"{flight_id}-{layer.value}"
