"""Kinds, states and names of layers, changes, field marks and settlements.

Specialist layers come from other services (power lines, masts, roads …); the condition of a feature is parsed
from its owner's words. Names are in Vietnamese and English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum

from flycam.messages import Message, _, pgettext
from flycam.model.text import to_search_key

# -- Changes under review: possible storm damage, and decisions of analysts on it ------------------


class ChangeKind(StrEnum):
    """Kind of a change."""

    LANDSLIDE = "landslide"
    FLOOD = "flood"
    OTHER = "other"


DETECTED_KINDS = (ChangeKind.LANDSLIDE, ChangeKind.FLOOD)
"""Kinds of damage that a comparison looks for. OTHER is any further change, found or not: its ground is no
measure of damage, so it is never summed up."""


class ChangeStatus(StrEnum):
    """Status of a change in review.

    PROPOSED waits for a decision. REPLACED was found again on a newer revision before any decision: others
    replace it. REMOVED was drawn, and that was undone. Lines of all of them stay on record.
    """

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REPLACED = "replaced"
    REMOVED = "removed"


ROAD_CUTTING_KINDS = frozenset({ChangeKind.LANDSLIDE, ChangeKind.FLOOD})
"""Kinds that cut a road they lie on."""

POSITIVE_STATUSES = frozenset({ChangeStatus.ACCEPTED, ChangeStatus.PROPOSED})
"""Statuses that count as findings, also while they wait; a rejected change counts as none."""


class ChangeAction(StrEnum):
    """Action of a line of a change's history.

    FOUND is the detector's, all others are a person's.
    """

    FOUND = "found"
    DRAW = "draw"
    ACCEPT = "accept"
    REJECT = "reject"
    REDRAW = "redraw"
    COMMENT = "comment"
    UNDO = "undo"


UNDECIDED_ACTIONS = frozenset({ChangeAction.FOUND, ChangeAction.UNDO})
"""Actions that are no decision of their own: the detector's find, and an undo."""

REVIEWABLE_STATUSES = frozenset({ChangeStatus.PROPOSED, ChangeStatus.ACCEPTED, ChangeStatus.REJECTED})
"""Statuses of changes that can be decided on."""


# -- Field marks and search sectors, set in the field and in the command room ----------------------


class MarkKind(StrEnum):
    """Kind of a mark. A SECTOR is an area to be searched; everything else is a point."""

    RESCUE = "rescue"
    BLOCKED = "blocked"
    CRACK = "crack"
    LANDING = "landing"
    ASSEMBLY = "assembly"
    OTHER = "other"
    SECTOR = "sector"


class MarkStatus(StrEnum):
    """Status of the work on a mark, not of its truth.

    A mark that nobody has taken up may be true all the same, and is shown as reported. REMOVED takes a mark
    off the map; its lines stay on record.
    """

    OPEN = "open"
    DOING = "doing"
    DONE = "done"
    REMOVED = "removed"


UNRESOLVED_STATUSES = frozenset({MarkStatus.OPEN, MarkStatus.DOING})
"""Statuses of marks that still need attention."""


def rank_mark(kind: MarkKind, status: MarkStatus) -> tuple[bool, bool, bool]:
    """Return the sort key of a mark.

    People to be rescued come first, then marks that nobody has taken up; done ones come last.
    """
    return status not in UNRESOLVED_STATUSES, kind is not MarkKind.RESCUE, status is not MarkStatus.OPEN


def is_road_blocked(kind: MarkKind, status: MarkStatus) -> bool:
    """Return True if a mark reports a blocked road that is not resolved yet."""
    return kind is MarkKind.BLOCKED and status in UNRESOLVED_STATUSES


# -- Settlements (villages, hamlets) and their access ----------------------------------------------


class Access(StrEnum):
    """Access to a settlement; UNKNOWN until somebody states otherwise."""

    REACHABLE = "reachable"
    ISOLATED = "isolated"
    UNKNOWN = "unknown"


class RoadStatus(StrEnum):
    """Road access of a settlement by the layers and confirmed changes.

    Only CUT_OFF proposes anything.

    CUT_OFF    its roads led to the main net, and all that do are cut
    JOINED     a road leads to the main net past all confirmed cuts; others may be cut unseen
    NO_ROAD    no road of the layers comes near it
    NOT_JOINED its roads do not lead to the main net, cut or not: the layer has a gap, or it lies apart
    NO_LAYER   no layer has roads
    """

    CUT_OFF = "cut_off"
    JOINED = "joined"
    NO_ROAD = "no_road"
    NOT_JOINED = "not_joined"
    NO_LAYER = "no_layer"

    @property
    def proposed_access(self) -> Access:
        """Access to propose.

        A road that is not known to be cut does not make a place reachable.
        """
        return Access.ISOLATED if self is RoadStatus.CUT_OFF else Access.UNKNOWN


# -- Specialist layers of other services: kinds, and conditions from statuses ----------------------


class LayerKind(StrEnum):
    """Kind of a layer's features; each has its symbol on the map."""

    POWER = "power"
    MAST = "mast"
    ROAD = "road"
    SCHOOL = "school"
    HOUSE = "house"
    SETTLEMENT = "settlement"
    HYDROLOGY = "hydrology"
    OTHER = "other"


class Condition(StrEnum):
    """Classification of an owner's words about a feature.

    The words are always shown beside it.
    """

    UNKNOWN = "unknown"
    WORKING = "working"
    NO_POWER = "no_power"
    NO_SIGNAL = "no_signal"
    BLOCKED = "blocked"
    DAMAGED = "damaged"
    OTHER = "other"

    @property
    def is_trouble(self) -> bool:
        """True if a command room must see it first."""
        return self in _TROUBLE


_TROUBLE = frozenset({Condition.NO_POWER, Condition.NO_SIGNAL, Condition.BLOCKED, Condition.DAMAGED})

# For words without accents. A broken feature must never be shown as working, so: trouble that is denied or
# over is removed first; any trouble left decides, including denied good words; and only words that are then
# plainly good, without reservation, count as working. All else is not judged.
_DENYING = r"(?:khong|chua|bat|not|non|never|cannot|unable|no longer|\w+n.t)"
_THROUGH = r"(?:luu thong|thong(?! (?:bao|tin))|open(?:ed)?|passable)"
_PENDING = r"(?:chua|khong|dang|sap|se|cho|can|du kien|ke hoach)(?: (?:the|duoc|thuc hien|xu ly))*"
_MENDED = r"(?:khoi phuc|khac phuc|sua(?: chua)?|xu ly)"
_PARTLY = r"(?:mot phan|1 phan|tam thoi|\d+(?:[.,/]\d+)? ?(?:%|phan tram|tram|tuyen|xa|ho))"

_TROUBLE_PATTERNS = (
    (
        r"(?:mat|cat|ngat|cup|ngung cap|chua cap|chua dong|thieu) dien|(?:khong|chua)(?: co)?(?: lai)? dien"
        rf"|{_PENDING} {_MENDED}(?: cap)? dien|(?:no|without|lost) (?:power|electricity)|unpowered"
        r"|power (?:is )?(?:out|off|cut|failure|lost)|outages?|de ?energi[sz]ed",
        Condition.NO_POWER,
    ),
    (
        r"(?:mat|ngat) (?:song|lien lac|tin hieu|ket noi|thong tin)"
        r"|(?:khong|chua)(?: the)? (?:lien lac|ket noi)"
        r"|(?:khong|chua)(?: co)? (?:song|tin hieu|ket noi)|(?:no|lost|without) (?:signal|connection|contact)"
        rf"|{_PENDING} {_MENDED} (?:song|lien lac|tin hieu|ket noi)|no (?:service|coverage)|offline"
        r"|disconnected|unreachable|not (?:responding|reachable|connected)",
        Condition.NO_SIGNAL,
    ),
    (
        r"tac|chia cat|cam (?:duong|xe|luu thong)|ngap|blocked|closed|impassable|flooded"
        rf"|(?:sap|{_DENYING})(?: \w+){{0,2}}? {_THROUGH}"
        r"|(?:khong|chua)(?: the)? (?:di|qua)(?: lai)?(?: duoc)?",
        Condition.BLOCKED,
    ),
    (
        r"hong|hu hai|sap|bi do|do cot|gay|dut|sat lo|sut lun|cuon troi|ngung|ngat|te liet|su co"
        r"|(?:bi|do) loi|loi (?:ky thuat|he thong)|hu"
        r"|tam dung|bi dung|dung (?:hoat dong|van hanh|phat|cap|khai thac|phuc vu|lam viec|luu thong)"
        r"|hoat dong (?:kem|yeu|cham|chap chon|gian doan|cam chung|han che)"
        r"|damaged?|destroyed|down|collapsed|broken|fail(?:ed|ure|s|ing)?|fault(?:y|s)?"
        r"|out of (?:service|order)|inoperative|inoperable|inactive|unusable|unavailable|stopped"
        r"|halted|suspended|disabled|off"
        r"|be(?:ing)? (?:restored|repaired)|(?:under|awaiting|needs?) (?:repairs?|restoration)"
        rf"|{_PENDING} {_MENDED}|{_MENDED}(?: duoc)? {_PARTLY}|(?:partly|partially) (?:restored|repaired)"
        rf"|{_DENYING}(?: \w+){{0,2}}? (?:hoat dong|van hanh|binh thuong|tot|on|dam bao|su dung|normal(?:ly)?"
        r"|working|work|operational|operating|functioning|active|ok|good|fine|usable|available|running"
        r"|in (?:service|operation)|restored|repaired)",
        Condition.DAMAGED,
    ),
)
_TROUBLES = tuple((re.compile(rf"\b(?:{words})(?!\w)"), condition) for words, condition in _TROUBLE_PATTERNS)
_STOPPED = re.compile(r"\bdừng\b")
"""With accents only: without them it is "use" and "right" too."""

_NAMED = (
    r"(?:(?:mat|cat|ngat) (?:dien|song|lien lac|tin hieu|ket noi)|mat|tac|ngap|hong|hu hong|hu hai|hu|sap|do"
    r"|gay|dut|sat lo|chia cat|su co|loi|dung hoat dong|ngung hoat dong|power outages?|outages?|damaged?"
    r"|blocked|closed|flooded|destroyed|broken|down|fault(?:s|y)?|failures?|offline)"
)
_AT = r"(?: (?:tu|luc|hoi|ngay|sang|chieu|toi|dem|\d{1,2}(?:h|g|:)\d{0,2}|\d{1,2}/\d{1,2}(?:/\d{2,4})?))*"
_OVER_BY = rf"da (?:duoc )?{_MENDED}(?: xong| hoan toan)?(?!(?: duoc)? {_PARTLY})"
_OVER = re.compile(
    rf"\b(?:"
    rf"(?:khong|no|not|without|no longer)(?: (?:con|bi|co|gap|thay|phat hien|xay ra|any))* {_NAMED}"
    rf"|(?<!chua )(?<!khong )(?:da |vua )?\bhet {_NAMED}"
    rf"|{_OVER_BY}(?: (?:sau|khi|su co|tinh trang|bi|do|doan|cho|cot|day|cau))* {_NAMED}"
    rf"|{_NAMED}{_AT}[,;.]? ?(?:nay |hien )?{_OVER_BY}{_AT}(?=$|[,;.])"
    rf"|{_OVER_BY}{_AT}"
    rf"|(?<!partly )(?<!partially )(?<!not )(?<!yet )(?<!never )(?<!be )(?<!being )(?:restored|repaired)"
    rf")(?!\w)"
)
_GOOD = re.compile(
    r"\b(?:binh thuong|hoat dong (?:tot|on dinh|lai|tro lai|day du)|van hanh (?:tot|on dinh)|su dung tot"
    r"|(?:da|van|dang) (?:co dien|co song|hoat dong|van hanh|thong(?! (?:bao|tin)))|thong (?:xe|suot|tuyen)"
    r"|in (?:service|operation)|operational|reopened|open to traffic"
    r"|(?:working|operating|running) (?:normally|properly|fine|well))(?!\w)"
)
_GOOD_ALONE = re.compile(
    r"(?:hoat dong|van hanh|tot|thong|on|on dinh|co dien|co song|ok|good|fine|normal|working|open|up|online"
    r"|active|running)[ .!]*"
)
_RESERVED = re.compile(
    r"\b(?:khong|chua|chi|mot phan|tam thoi|han che|kho khan|neu|sap|se|cho|du kien|nhung|tru"
    r"|hon|tren|duoi|bat|kem|yeu|nguy co|con|(?:1|mot) (?:chieu|lan)|xe may|not|non|no|never|only"
    r"|part(?:ly|ially)?|except|but|if|soon|until|below|above|\w+n.t)(?!\w)|%|\d ?/ ?\d"
)


def parse_condition(status: str) -> Condition:
    """Parse the condition from an owner's words, regardless of accents and case.

    OTHER for unknown words, or good ones with a reservation.
    """
    words = to_search_key(status).replace("_", " ").replace("-", " ")
    if not words:
        return Condition.UNKNOWN
    left = " ".join(_OVER.sub(" ", words).split())
    for pattern, condition in _TROUBLES:
        if pattern.search(left):
            return condition
    if left == words and _STOPPED.search(unicodedata.normalize("NFC", status.casefold())):
        return Condition.DAMAGED
    is_good = left != words or _GOOD.search(left) or _GOOD_ALONE.fullmatch(left)
    return Condition.WORKING if is_good and not _RESERVED.search(left) else Condition.OTHER


_NS = 1_000_000_000
_STATUS_STALE_S, _PLACE_STALE_S = 6 * 3600, 365 * 86_400
MAX_CLOCK_DIFFERENCE_NS = 600 * _NS
"""Tolerated difference of two clocks."""


def get_stale_after_s(*, has_status: bool) -> int:
    """Return the seconds after which a layer counts as old.

    Six hours for one with statuses, which a storm changes by the hour; a year for one with places only.
    """
    return _STATUS_STALE_S if has_status else _PLACE_STALE_S


def is_stale(valid_ns: int | None, now_ns: int, *, has_status: bool) -> bool:
    """Return True if a status of `valid_ns` counts as old by now.

    Always if undated, or if its time is in the future: its age is unknown.
    """
    if valid_ns is None or valid_ns - now_ns > MAX_CLOCK_DIFFERENCE_NS:
        return True
    return now_ns - valid_ns > get_stale_after_s(has_status=has_status) * _NS


# -- Names of changes and of what they touch, and reasons for missing scores and volumes -----------


CHANGE_KIND_NAMES: Mapping[ChangeKind, Message] = {
    ChangeKind.LANDSLIDE: _("Landslide"),
    ChangeKind.FLOOD: _("Flood"),
    ChangeKind.OTHER: _("Other change"),
}

LAYER_KIND_NAMES: Mapping[LayerKind, Message] = {
    LayerKind.ROAD: _("roads"),
    LayerKind.HOUSE: _("houses"),
    LayerKind.SETTLEMENT: _("settlements"),
    LayerKind.SCHOOL: _("schools"),
    LayerKind.MAST: _("phone masts"),
    LayerKind.POWER: _("power lines"),
    LayerKind.HYDROLOGY: _("waters"),
    LayerKind.OTHER: _("other things"),
}
"""Most important first."""

NO_SCORE_REASONS: Mapping[str, Message] = {
    "drawn": _("none (drawn by hand)"),
    "kind_changed": _("none (a person chose another kind)"),
    "no_terrain": _("none (no terrain)"),
}
"""Reason for a missing probability, by `ChangeVersion.no_score`."""

VOLUME_BASIS = _(
    "A volume is measured against unchanged ground around: without that of other changes, rejected ones "
    "too (unless too little is left), so that it changes only where outlines are added or redrawn."
)
"""Basis of every volume of a landslide."""

NO_VOLUME_REASONS: Mapping[str, Message] = {
    "drawn": _("drawn by hand, of no two flights"),
    "picture": _("one side is a picture without heights"),
    "not_finished": _("one of the flights was not finished when they were compared"),
    "no_surface": _("one of the flights has no surface of its own"),
    "little_known": _("heights are known on both dates under less than half of it"),
    "little_stable": _("too little unchanged ground around to align one surface with the other"),
}
"""Reason for a missing volume of a landslide, by `NoSurfaces` and `VolumeUnavailable`."""


# -- Names of kinds of field marks and of their states ---------------------------------------------


MARK_KIND_NAMES = {
    MarkKind.RESCUE: pgettext("field mark", "people to rescue"),
    MarkKind.BLOCKED: pgettext("field mark", "road blocked"),
    MarkKind.CRACK: pgettext("field mark", "crack"),
    MarkKind.LANDING: pgettext("field mark", "landing place"),
    MarkKind.ASSEMBLY: pgettext("field mark", "assembly point"),
    MarkKind.OTHER: pgettext("field mark", "other"),
    MarkKind.SECTOR: pgettext("field mark", "search sector"),
}
MARK_STATUS_NAMES = {
    MarkStatus.OPEN: pgettext("field mark", "reported, not verified"),
    MarkStatus.DOING: pgettext("field mark", "being dealt with"),
    MarkStatus.DONE: pgettext("field mark", "done"),
    MarkStatus.REMOVED: pgettext("field mark", "removed"),
}


# -- Names of settlements' access and of road evidence ---------------------------------------------


ACCESS_NAMES: Mapping[Access, Message] = {
    Access.REACHABLE: pgettext("settlement", "reachable"),
    Access.ISOLATED: pgettext("settlement", "isolated"),
    Access.UNKNOWN: pgettext("settlement", "unknown"),
}

ROADS_SAY_NAMES: Mapping[RoadStatus, Message] = {
    RoadStatus.CUT_OFF: _("its roads to the main net are cut: proposed as isolated"),
    RoadStatus.JOINED: _("a road passes all confirmed cuts; stretches that nobody flew over are not known"),
    RoadStatus.NO_ROAD: _("no road of the layers is near"),
    RoadStatus.NOT_JOINED: _("its roads are not joined to the main net in the layer"),
    RoadStatus.NO_LAYER: _("no layer of roads, or no more in a layer"),
}
