"""A presenter's view goes to every screen that follows, at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.access.accounts import add_user, invite_guest
from flycam.board.routes import Meeting, Presentation
from flycam.catalog.access import hash_token
from flycam.errors import StoreConflict
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.flight import Event, EventKind
from tests.serve.running import running
from tests.serve.world import add_account, add_communes, make_workspace
from tests.waiting import ENOUGH_S

HERE = (104.8, 21.9, 104.81, 21.91)
ONE, OTHER = "11111111", "22222222"


def _view(screen: str = ONE, **more: object) -> dict[str, object]:
    return {"screen": screen, "view": {"map": "15/21.9/104.8"}, "bounds": HERE, **more}


@pytest.fixture
def services(tmp_path: Path) -> Services:
    workspace = make_workspace(tmp_path)
    for name, role in (
        ("Lan", Role.OPERATOR),
        ("Minh", Role.ANALYST),
        ("Hoa", Role.VIEWER),
        ("Quan", Role.ADMIN),
    ):
        add_account(workspace, name, role, f"{name}-token")
    return Services(workspace=workspace, follow_s=3600.0)


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with running(services) as address:
        yield address


def _as(url: str, name: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {name}-token"})


def _entered(services: Services, name: str, communes: str | None) -> None:
    account, _ = add_user(services.workspace, name, "operator", communes)
    services.workspace.catalog.accounts.put(replace(account, token_hash=hash_token(f"{name}-token")))


def test_guests_of_another_event_and_people_of_other_communes_hear_nothing(
    url: str, services: Services
) -> None:
    """Neither on asking, nor in what screens are told, nor when they want to present."""
    workspace = services.workspace
    add_communes(workspace)
    for event_id in ("A", "B"):
        workspace.catalog.flights.put_event(
            Event(event_id=event_id, name=event_id, kind=EventKind.STORM, is_drill=False, starts_ns=1)
        )
    _entered(services, "xa", "Mường Đăng")
    guests = {one: {"Cookie": f"flycam_guest={invite_guest(workspace, 1.0, one, 'Lan')[1]}"} for one in "AB"}
    mine = {"Authorization": "Bearer xa-token"}
    away = (105.5, 21.9, 105.51, 21.91)
    with _as(url, "Lan") as lan:
        for bounds, hears in ((HERE, True), (away, False)):
            lan.put("/api/meeting", json=_view(view={"event": "B", "title": "Sập cầu"}, bounds=bounds))
            assert httpx.get(f"{url}/api/meeting", headers=guests["A"]).json() is None
            assert httpx.get(f"{url}/api/meeting", headers=guests["B"]).json()["presenter"] == "Lan"
            answer = httpx.get(f"{url}/api/meeting", headers=mine)
            assert (answer.json() is not None) is hears, answer.text
            refused = httpx.put(f"{url}/api/meeting", json=_view(OTHER), headers=mine)
            assert refused.status_code == 409 and ("Lan" in refused.json()["message"]) is hears
        for headers, view in ((guests["A"], {"event": "B"}), (mine, {"event": "A"})):
            lan.put("/api/meeting", json=_view(view={"event": "A"}, bounds=HERE))
            with httpx.stream("GET", f"{url}/events", headers=headers, timeout=60) as stream:
                heard = _meetings(stream)
                assert next(heard)["view"] == {"event": "A"}
                with _soon(lambda view=view: lan.put("/api/meeting", json=_view(view=view, bounds=away))):
                    assert next(heard) is None, "over, for them"


def test_the_word_of_a_screen_makes_nobody_its_presenter(url: str, services: Services) -> None:
    """All who follow are told it."""
    with _as(url, "Lan") as lan, _as(url, "Minh") as minh, _as(url, "Quan") as admin:
        lan.put("/api/meeting", json=_view())
        heard = minh.get("/api/meeting").json()["screen"]
        assert minh.put("/api/meeting", json=_view(heard, view={"map": "1/0/0"})).status_code == 409
        assert minh.delete("/api/meeting", params={"screen": heard}).json() == {"ended": False}
        assert admin.get("/api/meeting").json()["view"] == {"map": "15/21.9/104.8"}
        assert minh.put("/api/meeting", json=_view(heard, take=True)).json()["presenter"] == "Minh"
        assert admin.delete("/api/meeting", params={"screen": heard}).json() == {"ended": True}
    answer = [(line.who, line.what) for line in services.workspace.catalog.audit.lines()]
    assert answer == [("Lan", "presents"), ("Minh", "presents"), ("Quan", "presents no more")]


def test_of_two_who_begin_at_once_one_presents() -> None:
    """Both may have looked before either began."""
    both = threading.Barrier(2)

    class Looked(Meeting):
        def get_current(self) -> Presentation | None:
            shown = super().get_current()
            both.wait(ENOUGH_S)
            return shown

    meeting = Looked(lambda: 0, lambda: 0.0)
    refused: list[str] = []

    def begin(who: str, screen: str) -> None:
        try:
            meeting.show(who, screen, {}, HERE, take=False)
        except StoreConflict:
            refused.append(who)

    threads = [threading.Thread(target=begin, args=one) for one in (("Lan", ONE), ("Minh", OTHER))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


def test_followers_are_told_at_once_and_on_joining(url: str) -> None:
    """The log is looked at once an hour only here: a presenter's word does not wait for that."""
    with _as(url, "Lan") as lan, _as(url, "Hoa") as hoa:
        lan.put("/api/meeting", json=_view())
        with hoa.stream("GET", "/events") as stream:
            heard = _meetings(stream)
            assert next(heard)["view"] == {"map": "15/21.9/104.8"}
            move = _view(view={"map": "17/21.9/104.8", "cmp": "swipe~a~b~50"})
            with _soon(lambda: lan.put("/api/meeting", json=move)):
                assert next(heard)["view"]["map"] == "17/21.9/104.8"
            with _soon(lambda: lan.delete("/api/meeting", params={"screen": ONE})):
                assert next(heard) is None


@contextmanager
def _soon(deed: Callable[[], object]) -> Iterator[None]:
    """Does it while the block listens."""
    thread = threading.Timer(0.2, deed)
    thread.start()
    yield
    thread.join()


def _meetings(stream: httpx.Response) -> Iterator[dict | None]:
    lines = stream.iter_lines()
    for line in lines:
        if line == "event: meeting":
            yield json.loads(next(lines).removeprefix("data: "))


@pytest.mark.parametrize(
    "wrong",
    [
        {"screen": "<script>"},
        {"view": {"Map": "x"}},
        {"view": {"map": "x" * 9000}},
        {"bounds": ["nan", 0, 0, 0]},
        {"view": {"map": "15/21.9\n\nevent: tiles"}},
    ],
)
def test_what_is_no_view_is_refused(url: str, wrong: dict[str, object]) -> None:
    with _as(url, "Lan") as lan:
        assert lan.put("/api/meeting", json={**_view(), **wrong}).status_code == 422
        assert lan.get("/api/meeting").json() is None


@pytest.mark.parametrize(
    "body",
    [
        rb'{"screen": "11111111", "bounds": [0, 0, 1, 1], "view": {"title": "\ud800"}}',
        rb'{"screen": "\udfff1111111", "bounds": [0, 0, 1, 1], "view": {}}',
    ],
)
def test_half_a_letter_is_refused_and_nobodys_stream_ends(url: str, body: bytes) -> None:
    """A lone surrogate is JSON, but no text that can be sent on."""
    with _as(url, "Lan") as lan, _as(url, "Hoa") as hoa:
        headers = {"Content-Type": "application/json"}
        refused = lan.put("/api/meeting", content=body, headers=headers)
        assert refused.status_code == 422
        assert refused.json()["message"]
        assert hoa.get("/api/meeting").json() is None
        lan.put("/api/meeting", json=_view())
        with hoa.stream("GET", "/events") as stream:
            heard = next(_meetings(stream))
            assert heard is not None and heard["presenter"] == "Lan"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([("Lan", ONE), ("Lan", OTHER), ("Minh", ONE), ("Minh", OTHER)]),
            st.sampled_from(["show", "take", "end"]),
            st.dictionaries(st.sampled_from(["map", "event"]), st.text(max_size=2), max_size=2),
        ),
        max_size=20,
    )
)
def test_whatever_screens_do_one_presents_and_every_change_has_a_version_of_its_own(
    deeds: list[tuple[tuple[str, str], str, dict[str, str]]],
) -> None:
    meeting = Meeting(lambda: 0, lambda: 0.0)
    heard = []
    meeting.add_listener(lambda: heard.append(meeting.get_current()))
    presenting: tuple[str, str] | None = None
    view: dict[str, str] = {}
    for one, deed, wanted in deeds:
        if deed == "end":
            if meeting.end(*one):
                assert presenting == one
                presenting = None
            else:
                assert presenting != one
        else:
            try:
                _, is_new = meeting.show(*one, wanted, HERE, take=deed == "take")
                assert is_new == (presenting != one), "every change of person is put on record"
                presenting, view = one, wanted
            except StoreConflict:
                assert deed == "show"
                assert presenting not in (None, one)
        shown = meeting.get_current()
        assert ((shown.presenter, shown.screen) if shown else None) == presenting
        assert shown is None or shown.view == view
    versions = [one.version for one in heard if one is not None]
    assert versions == sorted(set(versions))
