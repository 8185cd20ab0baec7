"""Flights, their events, layers and classifications, and marks of synthetic data.

An event is a storm or an exercise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from flycam.messages import Message, _, pgettext, verbatim

LOCAL_DATUM = "LOCAL"


def is_flat_datum(vertical_datum: str) -> bool:
    """Return True if heights of this datum mean that the ground was taken as a plane.

    No terrain is known then. The only rule for this, wherever the ground of a map is named.
    """
    return vertical_datum == LOCAL_DATUM


DRILL_MARK = "DIỄN TẬP"
"""Mark of what is synthetic: on photos, maps and reports, the same in every language."""

DRILL_TAG = "DRILL"
"""GeoTIFF tag that carries the mark."""

UNNAMED_EVENTS = {True: DRILL_MARK, False: "Bay chụp"}
"""Name of the event of flights without a named one, of an exercise and of a real one."""


def is_unnamed(event_name: str) -> bool:
    """Return True if an event name only marks that there was a flight.

    It says nothing in a document's title.
    """
    return event_name in UNNAMED_EVENTS.values()


class EventKind(StrEnum):
    """Kind of an event."""

    STORM = "storm"
    FLOOD = "flood"
    LANDSLIDE = "landslide"
    SURVEY = "survey"
    DRILL = "drill"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """The storm or exercise a flight belongs to.

    An exercise is marked DIỄN TẬP wherever it is shown.

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
    """State of a flight.

    INGESTING while frames are still being written; only READY flights are shown as complete.
    """

    INGESTING = "ingesting"
    READY = "ready"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True, slots=True)
class Flight:
    """One flight. The id is derived from its first frames; the name is only a label.

    bounds_lonlat_deg  (west, south, east, north) of the imaged ground, None before the first patch
    gsd_m              median ground sample distance
    warnings           what must be shown with the map, as `flycam.model.warning` encodes it
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


# -- Layers: the spectral band sets of frames ------------------------------------------------------


class Layer(StrEnum):
    """Spectral band set of a frame; frames of different layers never share a mosaic."""

    COLOUR = "colour"
    INFRARED = "infrared"
    THERMAL = "thermal"
    NIGHT = "night"


_LAYER_IMAGES: Mapping[str, Message] = {"colour": _("colour"), "thermal": _("thermal")}


def name_layer(layer: str) -> Message:
    """Name a layer as pictures of it are called; one without a name of its own by its key."""
    return _LAYER_IMAGES.get(layer) or verbatim(layer)


LAYER_NAMES = {
    Layer.COLOUR: pgettext("layer", "colour"),
    Layer.INFRARED: pgettext("layer", "infrared"),
    Layer.THERMAL: pgettext("layer", "thermal"),
    Layer.NIGHT: pgettext("layer", "night"),
}


def derive_live_mosaic_id(flight_id: str, layer: Layer) -> str:
    """Derive the id of a flight's live mosaic of one layer, the same on every node."""
    return f"{flight_id}-{layer.value}"


# -- Classification of flights, layers and briefing packs ------------------------------------------
#
# Names, and their order by strictness; who may see a level is decided in `flycam.access.policy`.


class Classification(StrEnum):
    """Audience of a flight, a layer or a pack.

    OPEN: everyone who may look at the map, guests too; INTERNAL: accounts, no guest; RESTRICTED: analysts and
    administrators.
    """

    OPEN = "open"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


CLASSIFICATION_NAMES: Mapping[Classification, Message] = {
    Classification.OPEN: pgettext("classification", "open"),
    Classification.INTERNAL: pgettext("classification", "internal"),
    Classification.RESTRICTED: pgettext("classification", "restricted"),
}


def find_strictest(levels: Iterable[Classification]) -> Classification:
    """Return the strictest of the levels; OPEN where there are none."""
    order = list(Classification)
    return max(levels, key=order.index, default=Classification.OPEN)


# -- Fictitious communes of exercises --------------------------------------------------------------


# no commune of Vietnam has a code with letters, and each name marks it as an exercise
EXERCISE_COMMUNES = (
    ("DT001", "Nậm Diễn Tập", "Nam Dien Tap"),
    ("DT002", "Suối Giả Định", "Suoi Gia Dinh"),
    ("DT003", "Phìn Thử Nghiệm", "Phin Thu Nghiem"),
    ("DT004", "Bản Mô Phỏng", "Ban Mo Phong"),
)
"""Code, name, and the name without accents."""

EXERCISE_COMMUNE_CODES = frozenset(code for code, _, _ in EXERCISE_COMMUNES)
"""Codes of the communes of exercises."""
