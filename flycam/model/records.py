"""Records of the catalogue, as frozen values; independent of the database.

Polygons travel as WKB bytes in WGS 84 longitude, latitude degrees. Times are UTC nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.grid import TileRange
from flycam.geometry.pose import ExteriorOrientation
from flycam.model.board import Condition, LayerKind, MarkKind, MarkStatus
from flycam.model.flight import EXERCISE_COMMUNE_CODES, Layer
from flycam.model.frame import FrameHeader

# -- Records of frames, mosaics, communes, accounts, revisions, layers and marks -------------------


BoundsLonLat = tuple[float, float, float, float]


class FrameStatus(StrEnum):
    """Status of a frame."""

    USED = "used"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameRecord:
    """One frame with what is needed to make its orthopatch again, byte for byte.

    reason, message  of a rejection or withdrawal (stable key, sentence); empty if used
    exterior         pose with which its pixels were orthorectified; None if rejected
    dem_id           terrain on which they were orthorectified
    footprint_wkb    polygon of the imaged ground, None if unknown
    tiles            base-zoom tiles its orthopatch touches; None if it has no orthopatch
    """

    header: FrameHeader
    flight_id: str
    status: FrameStatus
    reason: str = ""
    message: str = ""
    exterior: ExteriorOrientation | None = None
    dem_id: str | None = None
    footprint_wkb: bytes | None = None
    gsd_m: float | None = None
    tiles: TileRange | None = None

    @property
    def frame_id(self) -> str:
        return self.header.frame_id


@dataclass(frozen=True, kw_only=True, slots=True)
class MosaicInfo:
    """One revision of the mosaic of one flight and layer.

    revision   0 is the live one; `finish` writes 1, 2, … beside it
    base_zoom  the only zoom at which orthopatches are merged; fixed when the mosaic opens
    min_zoom   the coarsest overview that is kept
    published  whether this is the revision that screens show; at most one per mosaic
    """

    mosaic_id: str
    flight_id: str
    layer: Layer
    revision: int = 0
    base_zoom: int
    min_zoom: int
    published: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawal:
    """A frame withdrawn from every mosaic. A grow-only set: nothing is ever removed.

    flight_id is "" when only the frame is known (a withdrawal may arrive before its frame).
    """

    frame_id: str
    flight_id: str
    reason: str
    authority: str
    withdrawn_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One frame's placement on the ground at one time.

    A grow-only set for each frame: none is ever removed, and the greatest
    (`flycam.catalog.flights.rank_placement`) is in force.

    version        the exterior orientation's version; each later placement has a higher one
    exterior       None: the frame was set aside because it cannot be orthorectified on the terrain known by
                   then
    interior       camera as used; footprint_wkb, gsd_m and tiles as in FrameRecord
    layer          the mosaic that it is in: photos can be moved to another
    reason         why it was placed so, a sentence; "" for the first
    authority      who had it placed so; placed_ns 0 and authority "" for the first
    """

    frame_id: str
    flight_id: str
    version: int
    interior: InteriorOrientation | None = None
    exterior: ExteriorOrientation | None = None
    dem_id: str | None = None
    footprint_wkb: bytes | None = None
    gsd_m: float | None = None
    tiles: TileRange | None = None
    reason: str = ""
    authority: str = ""
    placed_ns: int = 0
    layer: Layer = Layer.COLOUR


@dataclass(frozen=True, kw_only=True, slots=True)
class DemRecord:
    """A registered terrain file.

    path              of the file on this machine
    key               its key in the object store, None if it is used in place
    crs               of the file
    post_spacing_m    (east, north) distance of posts on the ground
    unit_m            metres per unit of the file's heights (0.3048 if they are feet)
    sigma_m           (vertical, horizontal) 1-sigma that the operator states; horizontal None: not stated;
                      None: neither is
    """

    dem_id: str
    name: str
    path: str
    key: str | None = None
    sha256: str
    crs: str
    vertical_datum: str
    bounds_lonlat_deg: BoundsLonLat
    post_spacing_m: tuple[float, float]
    unit_m: float = 1.0
    sigma_m: tuple[float, float | None] | None = None
    added_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CommuneRecord:
    """One commune or ward with its boundary from a date on.

    name         NFC, as officials write it
    search_name  without accents, lower case; set by the catalogue, which searches by it
    wkb          polygon or multipolygon
    area_m2      measured in the work CRS
    valid_to     first day on which another boundary holds here, None while it is in force; set by the
                 catalogue, which knows the later boundaries
    """

    code: str
    name: str
    valid_from: date
    wkb: bytes
    area_m2: float
    search_name: str = ""
    valid_to: date | None = None

    @property
    def is_synthetic(self) -> bool:
        """True if it belongs to an exercise: there is no such commune."""
        return self.code in EXERCISE_COMMUNE_CODES


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Coverage of a commune by a flight.

    covered_pct        of the commune's area, 0-100
    first_ns, last_ns  capture times of the frames over this commune
    clip_key           store key of the commune's clip (COG), None until one is requested
    """

    flight_id: str
    commune_code: str
    covered_m2: float
    covered_pct: float
    gsd_m: float
    first_ns: int
    last_ns: int
    clip_key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """An action on a subject and its actor, not yet a line of the log."""

    who: str
    what: str
    subject: str
    detail: str
    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """A line of the audit log. Its digest covers the line before it.

    digest  hex SHA-256 over the previous digest and this line
    """

    seq: int
    at_ns: int
    who: str
    what: str
    subject: str
    detail: str
    digest: str


class RevisionState(StrEnum):
    """State of a finished revision's tiles.

    BUILDING   being written; never shown
    PUBLISHED  complete: it is or was shown, and may be shown again
    RETIRED    never shown again: it holds a withdrawn frame, or was given up half-written
    """

    BUILDING = "building"
    PUBLISHED = "published"
    RETIRED = "retired"


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionRecord:
    """One finished revision of a mosaic: its inputs, and its quality.

    made_ns      when it was published; when it was opened while it is being written
    inputs_hash  of frames, poses, terrain, options and the workflow's version: the same hash, the same
                 revision
    options      as requested, as JSON values
    stats        accuracy, counts and versions, as JSON values; no NaN (None where something is not known)
    reports      store keys of the quality reports by language and kind ("vi.html")
    dem_id       recorded terrain of its pixels: the flight's own DSM if there is one
    support_key  store key of the raster that says where that DSM is the flight's own; None without
    why          why it was retired; "" otherwise
    """

    mosaic_id: str
    revision: int
    made_ns: int
    inputs_hash: str
    state: RevisionState = RevisionState.BUILDING
    options: Mapping[str, Any] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    reports: Mapping[str, str] = field(default_factory=dict)
    dem_id: str | None = None
    support_key: str | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionFrame:
    """One frame as a finished revision used it.

    exterior, interior  adjusted (the priors if nothing better was found)
    state               "tied", "weak", "carried", or "prior" if the adjustment was not accepted
    ties, rms_px        observations used and the RMS of their residuals (one coordinate, NaN without)
    cells_pct           share of an 8×8 grid over the image that holds a tie point, 0-100
    """

    frame_id: str
    exterior: ExteriorOrientation
    interior: InteriorOrientation
    state: str
    ties: int = 0
    rms_px: float = math.nan
    cells_pct: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerRecord:
    """A specialist layer as last read.

    owner         who answers for it; empty: not stated
    source        the file's path or the address that it is refreshed from
    sha256        of the bytes it was read from, which are kept as an original
    valid_ns      date of its content, or of its newest feature; None: not stated
    added_ns      when it came first; `refreshed_ns`: when it was last read
    features      how many it has, `troubles` of them with a status that is trouble
    has_status    whether any feature has a status
    """

    layer_id: str
    name: str
    kind: LayerKind
    owner: str
    source: str
    sha256: str
    valid_ns: int | None
    added_ns: int
    refreshed_ns: int
    features: int
    troubles: int
    has_status: bool
    bounds_lonlat_deg: BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFeatureRecord:
    """One feature of a specialist layer.

    Empty text: its own file does not say, the layer may; `valid_ns` None: its date is not stated.
    """

    number: int
    name: str
    owner: str
    status: str
    condition: Condition
    valid_ns: int | None
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkVersion:
    """One version of a field mark; the last one is current.

    version       1, 2, … : an edit names the version that it was based on
    event_id      the event it belongs to: an exercise's marks never appear beside real ones
    photo_sha256  of the photo as kept (re-encoded), in the object store
    author        of this version, at `at_ns`
    wkb           a point, or the outline of a sector
    """

    mark_id: str
    version: int
    event_id: str
    kind: MarkKind
    status: MarkStatus
    note: str
    photo_sha256: str | None
    author: str
    at_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat
