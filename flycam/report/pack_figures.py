"""What the meeting pack says, without words: what the recipe gathered of flights, communes and marks."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flycam.frame.change import ChangeKind
from flycam.frame.classification import Classification
from flycam.frame.mark import MarkKind, MarkStatus
from flycam.frame.settlement import Access, RoadStatus
from flycam.frame.specialist_layer import LayerKind

PAPERS = ("a4", "a3")
"""Sizes of paper on which the quick report is set, the usual one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Letterhead:
    """Who issues the quick report; empty: dots are printed for a pen (form: decree 30/2020/ND-CP, annex I).

    parent        the body above the one that issues it
    issuer        the body that issues it
    number        number and sign of the document
    place         where it is issued, before the date
    signer_title  the position of who signs
    recipients    one line each ("Nơi nhận")
    heading       lines above the date; None: the nation's, where the ground is Viet Nam's
    """

    parent: str = ""
    issuer: str = ""
    number: str = ""
    place: str = ""
    signer_title: str = ""
    recipients: tuple[str, ...] = ()
    heading: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSource:
    """A photo by its name, with the SHA-256 of its bytes as they came."""

    name: str
    sha256: str
    captured_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFlight:
    """A flight of the pack; `number` from 1, the newest first.

    imaged_m2   ground shown, in the work CRS
    revision    0: the live mosaic
    error_m     median and 95th percentile of the expected error (radial, 1 sigma), the shift of the whole
                included; None: not known
    shift_m     of that the shift of the whole; None: not known, and not included
    on_plane    no terrain was known: the ground was taken as a plane
    is_complete not so while it is in the air or its photos are read in
    warnings    as `flycam.frame.warning` keeps them
    sources     the photos that are on the map, by time
    """

    number: int
    flight_id: str
    name: str
    event: str
    operator: str
    first_ns: int
    last_ns: int
    gsd_m: float
    imaged_m2: float
    revision: int
    error_m: tuple[float, float] | None
    shift_m: float | None
    on_plane: bool
    is_complete: bool
    warnings: tuple[str, ...]
    sources: tuple[PackSource, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFurtherFlight:
    """A flight that is none of the pack's, on which changes are shown, or another revision of one that is;
    sources: the photos that it is made of and that no flight of the pack names, by time."""

    flight_id: str
    name: str
    sources: tuple[PackSource, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackMark:
    """A field mark: where it stands in WGS 84 degrees and, in Vietnam, in VN-2000.

    number  as on the maps
    vn2000  (X north m, Y east m, central meridian degrees); None outside Vietnam
    """

    number: int
    kind: MarkKind
    status: MarkStatus
    note: str
    author: str
    at_ns: int
    lonlat_deg: tuple[float, float]
    vn2000: tuple[float, float, float] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackCount:
    """Things of a kind inside of changes, and near them; is_whole: whether layers cover all the changes."""

    inside: int
    near: int
    is_complete: bool


Counts = Mapping[LayerKind, PackCount | None]
"""None: no layer of the kind covers the ground: nothing is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackRoad:
    """A road under a change, with how much of it lies there; None: it is no line. name "": it has none."""

    name: str
    under_m: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackLayer:
    """A layer of another service that says what changes touch. valid_ns None: nobody says of when it is."""

    name: str
    owner: str
    valid_ns: int | None
    is_stale: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSize:
    """Square metres, and their 1-sigma error; None: nobody knows."""

    area_m2: float
    error_m2: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackVolume:
    """What went and what came of a landslide, cubic metres with their 1-sigma; gained None: nothing rose.

    measured_pct  of the scar, 0-100; is_nothing: neither is beyond its error
    """

    lost_m3: tuple[float, float]
    gained_m3: tuple[float, float] | None
    measured_pct: float
    is_nothing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSeenPicture:
    """A picture that a change was found on, or drawn over: its flight, and when that ended; last_ns None: a
    file, or (name "") a flight that is gone or not to be shown, which stays empty.

    stands_in   the change is of another revision of it, which is not on show any more
    is_lost     its tiles are missing or damaged: it stays empty
    """

    name: str
    last_ns: int | None
    stands_in: bool = False
    is_lost: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PackChange:
    """A confirmed change, with what it touches; `number` as on the maps, behind a T.

    full_size, size_in_commune    its ground; and what of that is in the commune that it is told for, None:
                                  all of it
    volume         None: it is none of a landslide, or not known
    is_drawn       by hand, without a candidate
    seen           the pictures before and after that it was found on, or drawn over; None: it was drawn over
                   none that were named
    doubts         why all that was found between these is less sure than elsewhere (English, Vietnamese)
    note           under the name of whoever wrote it where that is not `author`
    author, at_ns  who confirmed it, and when
    """

    number: int
    kind: ChangeKind
    full_size: PackSize
    size_in_commune: PackSize | None = None
    volume: PackVolume | None = None
    is_drawn: bool = False
    seen: tuple[PackSeenPicture, PackSeenPicture] | None = None
    doubts: tuple[tuple[str, str], ...] = ()
    note: str
    author: str
    at_ns: int
    lonlat_deg: tuple[float, float]
    vn2000: tuple[float, float, float] | None
    roads_cut: tuple[PackRoad, ...]
    counts: Counts
    layers: tuple[PackLayer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSettlement:
    """A settlement: `access` as a person said (author, at_ns; None: nobody has, it is unknown), and what the
    roads say."""

    name: str
    commune: str
    access: Access
    road_evidence: RoadStatus
    note: str
    author: str
    at_ns: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackImpact:
    """What confirmed changes touch in one commune: how many changes, their ground in it, things by kind; what
    lies on each other once."""

    changes: int
    area_m2: float
    roads_cut: tuple[PackRoad, ...]
    counts: Counts


@dataclass(frozen=True, kw_only=True, slots=True)
class PackWaiting:
    """Changes that a program suspects and nobody has decided on yet: places by kind, and their ground."""

    places: Mapping[ChangeKind, int]
    area_m2: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PackTroubles:
    """Things of one layer in one commune that its owner says to be in trouble: (name, the owner's words) of
    each; name "": it has none. layer: as of the newest of them."""

    kind: LayerKind
    layer: PackLayer
    things: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackCommune:
    """A commune of which the pack's flights show ground; `number` as on the overview, the largest first.

    imaged_m2, imaged_pct  of it, in the work CRS; 0-100 of its whole area
    flights                numbers of those that show it, the newest first
    first_ns, last_ns      of those flights
    gsd_m                  the coarsest of theirs
    marks                  that touch it: a sector over several communes is in each
    changes                confirmed ones that lie in it, at least a part of them
    touched                None: no confirmed change touches it
    troubles               what layers say to be in trouble there
    waiting                in it; None: nothing waits there
    compared_pct           of its area, on which changes were looked for, 0-100; None: nowhere that is known
    """

    number: int
    code: str
    name: str
    imaged_m2: float
    imaged_pct: float
    gsd_m: float
    first_ns: int
    last_ns: int
    flights: tuple[int, ...]
    marks: tuple[PackMark, ...]
    changes: tuple[PackChange, ...]
    touched: PackImpact | None
    waiting: PackWaiting | None = None
    compared_pct: float | None = None
    troubles: tuple[PackTroubles, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFigures:
    """All that the pack says.

    made_ns       when it was made, UTC
    imaged_m2     ground that all flights show together, in the work CRS of the newest
    approved_by   the leader who approved it; "": a draft
    requested_by  who asked for it; "": nobody says
    layers_with_status  layers there that say how things stand
    further_flights  what changes are shown on besides the flights of the pack
    remarks       on boundaries, as `flycam.frame.warning` keeps them
    audit_head    number and digest of the audit log's last line; "": the log is empty
    audit_key, audit_signature  the box's public key, and its signature of that line; "": it is not signed
    loose_marks   field marks outside those communes
    changes       confirmed changes on ground that is shown, the largest first
    places, changes_m2  of those, by kind, and their ground: what lies on each other once
    changes_elsewhere  how many the same events have on other ground
    waiting       suspected on ground that is shown; waiting_elsewhere: how many more on other ground
    communes_pct  of the ground of those communes together what is shown, 0-100; None: there are none
    settlements   in the communes shown, those proposed or said to be isolated first
    near_m        within which a thing of a kind counts as near a change
    pictures      JPEG by name: "overview", "locator" (where in the province it is), "commune-NUMBER", and of
                  the largest changes before and after side by side, "change-NUMBER"
    slides        what a screen shows, without a drill's band: maps, and pairs of the largest changes of which
                  both halves show something
    classification  how widely it may be shown: as widely as the strictest of what is in it
    is_national   whether its ground is Viet Nam's
    is_covered    masks left something of the pictures empty: an empty place need not be ground not imaged
    """

    version: str
    made_ns: int
    is_drill: bool
    approved_by: str
    letterhead: Letterhead
    events: tuple[str, ...]
    imaged_m2: float
    flights: tuple[PackFlight, ...]
    communes: tuple[PackCommune, ...]
    loose_marks: tuple[PackMark, ...]
    changes: tuple[PackChange, ...]
    places: Mapping[ChangeKind, int]
    changes_m2: float
    changes_elsewhere: int
    near_m: Mapping[LayerKind, float]
    settlements: tuple[PackSettlement, ...]
    waiting: PackWaiting | None
    waiting_elsewhere: int
    communes_pct: float | None
    remarks: tuple[str, ...]
    audit_head: str
    pictures: Mapping[str, bytes]
    audit_key: str = ""
    audit_signature: str = ""
    classification: Classification = Classification.OPEN
    requested_by: str = ""
    layers_with_status: tuple[PackLayer, ...] = ()
    further_flights: tuple[PackFurtherFlight, ...] = ()
    slides: Mapping[str, bytes] = field(default_factory=dict)
    is_national: bool = True
    is_covered: bool = False


def has_one_signatory(requested_by: str, approved_by: str) -> bool:
    """Whether who asked for a pack approved it too, however the name was written."""
    return _written(requested_by) == _written(approved_by)


def _written(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def hash_content(figures: PackFigures) -> str:
    """What a pack says and shows, as one digest: the same for a draft and for the final pack that says no
    other thing, whenever they are made and whoever approved. The audit log grows with each, and does not
    count."""
    unsigned = replace(figures, audit_head="", audit_key="", audit_signature="")
    said = replace(unsigned, version="", made_ns=0, approved_by="", requested_by="", pictures={}, slides={})
    digest = hashlib.sha256(repr(said).encode())
    for name, picture in (*sorted(figures.pictures.items()), *sorted(figures.slides.items())):
        digest.update(f"{name} {hashlib.sha256(picture).hexdigest()}\n".encode())
    return digest.hexdigest()
