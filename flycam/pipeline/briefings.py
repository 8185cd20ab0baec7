"""Writing the list of places of a meeting: what a view may say, and the line in the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flycam.catalog.briefings import BriefingLine, BriefingPlace
from flycam.catalog.records import AuditEntry
from flycam.errors import InputUnusable, NotFound, StoreConflict
from flycam.frame.spelling import is_plain, seen
from flycam.pipeline.workspace import Workspace

MOST_PLACES = 60
NAME_LETTERS = 120

_VIEW_LETTERS = 8000


def write_briefing(
    workspace: Workspace, event_id: str, based_on: int, places: Sequence[BriefingPlace], who: str
) -> BriefingLine:
    """Make these the places of an event, in this order. The same again is no change.

    based_on  the version that was seen; 0 where there was none
    Raises InputUnusable (a view, a name, too many), NotFound (the event), StoreConflict (the list is not as
    it was seen).
    """
    checked = _checked(places)
    if event_id not in {one.event_id for one in workspace.catalog.flights.events()}:
        raise NotFound(
            f"{event_id[:40]}: there is no such event; the places of a meeting belong to one",
            vi=f"{event_id[:40]}: không có sự kiện này; danh sách địa điểm phải thuộc một sự kiện",
        )
    last = workspace.catalog.briefings.last(event_id)
    if last is not None and last.places == checked:
        is_lost_answer = (last.version, last.author) == (based_on + 1, who)  # and the same was sent again
        if is_lost_answer or last.version == based_on:
            return last
    if based_on != (last.version if last else 0):
        raise StoreConflict(
            f"{event_id}: somebody changed these places meanwhile; look at them again",
            vi=f"{event_id}: danh sách địa điểm đã được người khác sửa; hãy xem lại rồi sửa tiếp",
        )
    line = BriefingLine(
        event_id=event_id,
        version=based_on + 1,
        places=checked,
        author=who,
        at_ns=workspace.clock_ns(),
    )
    detail = f"version {line.version}: {len(checked)} places"
    told = AuditEntry(who=who, what="places", subject=event_id, detail=detail, at_ns=line.at_ns)
    workspace.catalog.briefings.append(line, told)
    return line


def require_view(view: Mapping[str, str]) -> None:
    """Raises InputUnusable for words that no address of the map's page has."""
    if sum(map(len, view.values())) > _VIEW_LETTERS:
        raise InputUnusable(
            "the view that is presented is too long for an address; present again from the map's page",
            vi="góc nhìn được trình bày dài quá một địa chỉ; hãy trình bày lại từ trang bản đồ",
        )
    for word, said in view.items():
        if not is_plain(said):
            raise InputUnusable(
                f"the view that is presented ({word}) holds characters that no address of a page has (control"
                " characters, half letters); present again from the map's page",
                vi=f"góc nhìn được trình bày ({word}) có ký tự không hợp lệ trong địa chỉ trang (ký tự điều"
                " khiển hoặc ký tự hỏng); hãy trình bày lại từ trang bản đồ",
            )


def _checked(places: Sequence[BriefingPlace]) -> list[BriefingPlace]:
    if len(places) > MOST_PLACES:
        raise InputUnusable(
            f"the list holds more than {MOST_PLACES} places; take some off the list",
            vi=f"danh sách có hơn {MOST_PLACES} địa điểm; hãy bỏ bớt",
        )
    return [_checked_place(number, one) for number, one in enumerate(places, 1)]


def _checked_place(number: int, place: BriefingPlace) -> BriefingPlace:
    require_view(place.view)
    name = seen(place.name)
    if not name or len(name) > NAME_LETTERS:
        raise InputUnusable(
            f"place {number}: give it a name of 1 to {NAME_LETTERS} letters",
            vi=f"địa điểm {number}: hãy đặt tên từ 1 đến {NAME_LETTERS} ký tự",
        )
    west, south, east, north = place.bounds
    if not (west < east and south < north):
        raise InputUnusable(
            f"place {number}: its bounds are empty; look at it on the map and add it again",
            vi=f"địa điểm {number}: khung nhìn rỗng; hãy mở nơi đó trên bản đồ rồi thêm lại",
        )
    return BriefingPlace(name=name, view=dict(place.view), bounds=place.bounds)
