"""Content of a briefing pack without wording: flights, communes and marks."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flycam.messages import Message
from flycam.model.board import Access, ChangeKind, LayerKind, MarkKind, MarkStatus, RoadStatus
from flycam.model.flight import Classification

PAPERS = ("a4", "a3")
"""Sizes of paper on which the quick report is set, the usual one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Letterhead:
    """Letterhead of the quick report (form: decree 30/2020/ND-CP, annex I).

    Where a field is empty, dots are printed to be filled in by hand.

    parent        the body above the one that issues it
    issuer        the body that issues it
    number        number and sign of the document
    place         where it is issued, before the date
    signer_title  the position of the signer
    recipients    one line each
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
    """Photo by its name, with the SHA-256 of its original."""

    name: str
    sha256: str
    captured_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PackFlight:
    """Flight of the pack; `number` from 1, the newest first.

    imaged_m2    ground shown, in the work CRS
    revision     0: the live mosaic
    error_m      median and 95th percentile of the expected error (radial, 1 sigma), the common shift
                 included; None: not known
    shift_m      common shift included in that; None: not known, and not included
    on_plane     no terrain was known: the ground was taken as a plane
    is_complete  False while it is in the air or its photos are ingested
    warnings     as `flycam.model.warning` encodes them
    sources      photos that are on the map, by time
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
    """Flight or revision outside the pack on which changes are shown.

    sources: its photos that no flight of the pack names, by time.
    """

    flight_id: str
    name: str
    sources: tuple[PackSource, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackMark:
    """Field mark, with its place in WGS 84 degrees and, in Vietnam, in VN-2000.

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
    """Number of features of a kind inside changes, and near them.

    is_complete: layers cover the ground of all the changes.
    """

    inside: int
    near: int
    is_complete: bool


Counts = Mapping[LayerKind, PackCount | None]
"""Counts by kind; None: no layer of the kind covers the ground, and nothing is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackRoad:
    """Road under a change, and its length there (None: not a line); name "": none."""

    name: str
    under_m: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackLayer:
    """Layer on which impact is based; valid_ns None: its date is unknown."""

    name: str
    owner: str
    valid_ns: int | None
    is_stale: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSize:
    """Square metres, and their 1-sigma error; None: unknown."""

    area_m2: float
    error_m2: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackVolume:
    """Volume lost and gained in a landslide, cubic metres, each with its 1-sigma.

    gained_m3 None: nothing rose. measured_pct: share of the scar, 0-100; is_nothing: neither exceeds its
    error.
    """

    lost_m3: tuple[float, float]
    gained_m3: tuple[float, float] | None
    measured_pct: float
    is_nothing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSeenPicture:
    """Image on which a change was found or drawn: its flight, and when that ended.

    last_ns None: a file, or (name "") a flight that is gone or not visible; its place stays empty.

    stands_in  the change is of another revision of it, which is not published any more
    is_lost    its tiles are missing or damaged: its place stays empty
    """

    name: str
    last_ns: int | None
    stands_in: bool = False
    is_lost: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PackChange:
    """Confirmed change, with its impact; `number` as on the maps, behind a T.

    full_size, size_in_commune  its ground; and the part in the commune of the list it is in, None:
                   all of it
    volume         None: not a landslide, or not known
    is_drawn       by hand, without a candidate
    seen           images before and after on which it was found or drawn; None: drawn over none that
                   were named
    doubts         reasons why changes between these images are less certain
    note           with the name of its author where that is not `author`
    author, at_ns  who confirmed it, and when
    """

    number: int
    kind: ChangeKind
    full_size: PackSize
    size_in_commune: PackSize | None = None
    volume: PackVolume | None = None
    is_drawn: bool = False
    seen: tuple[PackSeenPicture, PackSeenPicture] | None = None
    doubts: tuple[Message, ...] = ()
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
    """Settlement.

    access: set by `author` at `at_ns` (None: nobody has, it is unknown); road_evidence: what the roads
    propose.
    """

    name: str
    commune: str
    access: Access
    road_evidence: RoadStatus
    note: str
    author: str
    at_ns: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackImpact:
    """Impact of confirmed changes in one commune, overlapping ones counted once.

    Number of changes, their ground in it, features by kind.
    """

    changes: int
    area_m2: float
    roads_cut: tuple[PackRoad, ...]
    counts: Counts


@dataclass(frozen=True, kw_only=True, slots=True)
class PackWaiting:
    """Change candidates that wait for review.

    Places by kind, and their ground.
    """

    places: Mapping[ChangeKind, int]
    area_m2: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PackTroubles:
    """Features of one layer in one commune that their owner reports to be in trouble.

    things: (name, the owner's words) of each; name "": none. layer: dated by the newest of them.
    """

    kind: LayerKind
    layer: PackLayer
    things: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackCommune:
    """Commune of which the pack shows ground; `number` as on the overview.

    The largest first.

    imaged_m2, imaged_pct  of it, in the work CRS; 0-100 of its whole area
    flights                numbers of the flights that show it, the newest first
    first_ns, last_ns      of those flights
    gsd_m                  the coarsest of theirs
    marks                  that touch it: a sector over several communes is in each
    changes                confirmed ones that lie in it, at least in part
    touched                None: no confirmed change touches it
    troubles               reported by layers there
    waiting                pending changes in it; None: none
    compared_pct           share of its area that was compared, 0-100; None: none as far as known
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
    """Content of a pack.

    made_ns       when it was made, UTC
    imaged_m2     ground that all flights show together, in the work CRS of the newest
    approved_by   the leader who approved it; "": a draft
    requested_by  who requested it; "": unknown
    layers_with_status  layers there that report a status
    further_flights  other flights on which changes are shown
    remarks       warnings on boundaries, as `flycam.model.warning` encodes them
    audit_head    number and digest of the audit log's last line; "": the log is empty
    audit_key, audit_signature  the node's public key, and its signature of that line; "": unsigned
    loose_marks   field marks outside those communes
    changes       confirmed changes on ground that is shown, the largest first
    places, changes_m2  of those, by kind, and their ground: overlapping ones counted once
    changes_elsewhere  number in the same events on other ground
    waiting       change candidates on ground that is shown; waiting_elsewhere: number on other ground
    communes_pct  share shown of the ground of those communes together, 0-100; None: there are none
    settlements   in the communes shown, those proposed or set as isolated first
    near_m        distance within which a feature of a kind counts as near a change
    pictures      JPEG by name: "overview", "locator" (where in the province it is), "commune-NUMBER",
                  and of the largest changes before and after side by side, "change-NUMBER"
    slides        images for a screen, without an exercise's band: maps, and pairs of the largest changes
                  of which both halves show something
    classification  as strict as the strictest of its contents
    is_national   True if its ground is Viet Nam's
    is_covered    redactions left parts empty: an empty place need not be ground not imaged
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
    """Return True if the requester approved the pack too, however the name is spelt."""
    return _written(requested_by) == _written(approved_by)


def _written(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def hash_content(figures: PackFigures) -> str:
    """Return one digest of a pack's content.

    The same for a draft and its final pack if they say and show the same, whenever they are made and whoever
    approved. The audit log grows with each, and does not count.
    """
    unsigned = replace(figures, audit_head="", audit_key="", audit_signature="")
    hashed = replace(unsigned, version="", made_ns=0, approved_by="", requested_by="", pictures={}, slides={})
    digest = hashlib.sha256(repr(hashed).encode())
    for name, picture in (*sorted(figures.pictures.items()), *sorted(figures.slides.items())):
        digest.update(f"{name} {hashlib.sha256(picture).hexdigest()}\n".encode())
    return digest.hexdigest()
