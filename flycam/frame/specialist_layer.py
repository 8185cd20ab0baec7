"""Specialist layers of other services (power lines, masts, roads …): kinds, and conditions from statuses."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from flycam.frame.text_normalization import to_search_key


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
    for said, condition in _TROUBLES:
        if said.search(left):
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
