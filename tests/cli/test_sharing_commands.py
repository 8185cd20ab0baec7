"""`restricted`, `flights`, `layers classify`, `guests`, `user add --communes` as they are called."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flycam.access.accounts import invite_guest
from flycam.cli import flycam
from flycam.cli.board import format_redactions
from flycam.messages import join
from flycam.model.flight import Classification
from flycam.model.text import to_search_key
from tests.serve.world import REAL, World, make_world

Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A house where the command line looks for it."""
    root = tmp_path_factory.mktemp("sharing")
    return make_world(root), root


@pytest.fixture
def run(house: tuple[World, Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("FLYCAM_")]:
        monkeypatch.delenv(name)
    root = house[1]
    monkeypatch.setenv("FLYCAM_DATABASE", f"sqlite:///{root / 'catalog.sqlite'}")
    monkeypatch.setenv("FLYCAM_STORE", (root / "store").as_uri())
    monkeypatch.setenv("FLYCAM_OPERATOR", "Quản trị")

    def call(*words: object, language: str = "C.UTF-8") -> tuple[int, dict[str, Any], str]:
        monkeypatch.setenv("LC_ALL", language)
        result = CliRunner().invoke(flycam, [*map(str, words), "--data", str(root), "--json"])
        lines = result.stdout.strip().splitlines()
        return result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr

    return call


def _file(path: Path, geometry: dict[str, Any]) -> Path:
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    return path


_SQUARE = [[[104.801, 21.899], [104.8025, 21.899], [104.8025, 21.8998], [104.801, 21.899]]]


def test_an_area_is_added_listed_and_removed(run: Run, house: tuple[World, Path], tmp_path: Path) -> None:
    path = _file(tmp_path / "doanh-trai.geojson", {"type": "Polygon", "coordinates": _SQUARE})
    code, added, _ = run("restricted", "add", path, "--roles", "analyst, admin", "--name", "Doanh  trại")
    assert (code, added["name"], added["roles"]) == (0, "Doanh trại", ["admin", "analyst"])
    code, again, _ = run("restricted", "add", path, "--name", "Doanh trại")
    assert (again["area_id"], again["roles"]) == (added["area_id"], ["admin"])
    assert [one["name"] for one in run("restricted", "list")[1]["areas"]] == ["Doanh trại"]
    assert run("restricted", "remove", "Doanh trại")[0] == 0
    assert run("restricted", "list")[1] == {"areas": []}
    assert run("restricted", "remove", "Doanh trại")[0] == 3
    said = [(line.who, line.what) for line in house[0].workspace.catalog.audit.lines()]
    assert said[-3:] == [("Quản trị", what) for what in ("restricted add",) * 2 + ("restricted remove",)]


def test_what_is_no_area_or_no_role_is_refused_and_nothing_is_entered(run: Run, tmp_path: Path) -> None:
    line = _file(tmp_path / "line.geojson", {"type": "LineString", "coordinates": _SQUARE[0]})
    square = _file(tmp_path / "square.geojson", {"type": "Polygon", "coordinates": _SQUARE})
    assert run("restricted", "add", line)[0] == 3
    assert run("restricted", "add", tmp_path / "none.geojson")[0] == 3
    for roles in ("", "boss", "guest", "admin,boss"):
        assert run("restricted", "add", square, "--roles", roles)[0] == 2
    assert run("restricted", "add", square, "--name", "x" * 101)[0] == 2
    assert "quyền" in run("restricted", "add", square, "--roles", "sếp", language="vi_VN.UTF-8")[2]
    assert run("restricted", "list")[1] == {"areas": []}


def test_a_flight_is_classified(run: Run, house: tuple[World, Path]) -> None:
    flight = house[0].after
    code, said, _ = run("flights", "classify", flight, "internal")
    assert (code, said["id"], said["classification"]) == (0, flight, "internal")
    assert run("flights", "classify", "nobody", "internal")[0] == 3
    assert run("flights", "classify", flight, "secret")[0] == 2
    assert run("layers", "classify", "none", "internal")[0] == 3
    assert house[0].workspace.catalog.restrictions.level(flight) is Classification.INTERNAL


def test_a_flight_is_moved_to_another_event(run: Run, house: tuple[World, Path]) -> None:
    flight, catalog = house[0].after, house[0].workspace.catalog
    code, said, _ = run("flights", "move", flight, "--event", "Lũ quét")
    assert (code, said["former"]["event_id"], said["event"]["name"]) == (0, REAL, "Lũ quét")
    assert catalog.flights.flight(flight).event_id == said["event"]["event_id"]
    assert catalog.audit.lines(limit=10_000)[-1].who == "Quản trị"
    assert run("flights", "move", "nobody", "--event", "Lũ quét")[0] == 3
    assert "đã thuộc" in run("flights", "move", flight, "--event", "Lũ quét", language="vi_VN.UTF-8")[2]
    assert run("flights", "move", flight, "--event", REAL)[0] == 0


def test_a_flight_is_called_otherwise(run: Run, house: tuple[World, Path]) -> None:
    flight, catalog = house[0].after, house[0].workspace.catalog
    former, other = (catalog.flights.flight(one).name for one in (flight, house[0].before))
    code, said, _ = run("flights", "rename", flight, "  Bản  Lầu ")
    assert (code, said["former"], said["name"]) == (0, former, "Bản Lầu")
    assert catalog.flights.flight("Bản Lầu").flight_id == flight
    last = catalog.audit.lines(limit=10_000)[-1]
    assert (last.who, last.what, last.subject) == ("Quản trị", "flight renamed", flight)
    assert former in last.detail and "Bản Lầu" in last.detail
    assert run("flights", "rename", flight, other)[0] == 3, "another's name"
    for command in (("rename", flight, " "), ("move", flight, "--event", " ")):
        code, said, _ = run("flights", *command)
        assert code == 3 and "is not a name" in str(said)
    assert run("flights", "rename", "nobody", "Bản Lầu")[0] == 3
    with catalog.flights.lock(flight):
        assert run("flights", "rename", flight, "Khác")[0] != 0, "while it is laid"
    code, said, _ = run("flights", "rename", flight, "Bản Lầu")
    assert (code, said["name"]) == (0, "Bản Lầu")
    assert catalog.audit.lines(limit=10_000)[-1] == last
    assert run("flights", "rename", flight, former)[1]["name"] == former


def test_a_part_of_a_photo_is_covered_listed_and_uncovered(run: Run, house: tuple[World, Path]) -> None:
    photo = (
        house[0].workspace.catalog.frames.list_for_flight(house[0].drill)[0].header.provenance.source_sha256
    )
    corners = ("--polygon", "10,10 60,10 60,40")
    code, made, _ = run("restricted", "mask", photo, *corners, "--reason", "victim")
    assert code == 0, made
    assert (code, made["step"], made["reason"], made["author"]) == (0, "made", "victim", "Quản trị")
    assert [one["mask_id"] for one in run("restricted", "masks")[1]["masks"]] == [made["mask_id"]]
    assert run("restricted", "mask", photo, "--polygon", "10 10", "--reason", "home")[0] == 2
    assert run("restricted", "mask", "0" * 64, *corners, "--reason", "home")[0] == 3
    assert run("restricted", "unmask", made["mask_id"])[1]["step"] == "taken_back"
    assert run("restricted", "unmask", "mask-none")[0] == 3
    lines = format_redactions(house[0].workspace.catalog.redactions.lines())[1]
    said = [join([one]).in_language("vi") for one in lines]
    assert ["che: nạn nhân" in said[0], "đã bỏ che: nạn nhân" in said[1]] == [True, True]


def test_a_guest_link_is_made_listed_and_revoked(run: Run, house: tuple[World, Path]) -> None:
    code, made, _ = run("guests", "add", "--hours", 6, "--event", REAL)
    assert (code, made["event_id"], made["holds"], made["made_by"]) == (0, REAL, True, "Quản trị")
    assert made["path"].startswith("/guest/") and made["expires_ns"] - made["made_ns"] == 6 * 3600 * 10**9
    (listed,) = run("guests", "list")[1]["guests"]
    assert listed["holds"] and "path" not in listed
    assert run("guests", "revoke", made["guest_id"])[1]["holds"] is False
    assert run("guests", "revoke", "guest-none")[0] == 3
    assert run("guests", "add", "--hours", 200)[0] == 2
    assert run("guests", "add", "--hours", "nan")[0] == 2
    assert run("guests", "add", "--hours", 1, "--event", "none")[0] == 3
    said = [line.what for line in house[0].workspace.catalog.audit.lines(limit=10_000)]
    assert said[-2:] == ["guest link", "guest revoked"]


def test_an_account_is_listed_and_taken_away(run: Run, house: tuple[World, Path]) -> None:
    workspace = house[0].workspace
    run("user", "add", "Tú", "--role", "admin")
    run("user", "add", "Hoa", "--role", "operator")
    guest, _ = invite_guest(workspace, 6.0, None, "Hoa")
    listed = {one["name"]: one for one in run("user", "list")[1]["accounts"]}
    assert (listed["Hoa"]["role"], listed["Tú"]["communes"]) == ("operator", [])
    assert "token" not in listed["Hoa"]
    code, gone, _ = run("user", "remove", "Hoa")
    assert (code, gone["name"], gone["guest_links"]) == (0, "Hoa", [guest.guest_id])
    assert set(listed) - {one["name"] for one in run("user", "list")[1]["accounts"]} == {"Hoa"}
    assert "flycam account list" in run("user", "remove", "Hoa")[2]
    assert run("user", "remove", "Tú")[0] == 3, "the last administrator"
    told = [(one.who, one.what, one.subject) for one in workspace.catalog.audit.lines(limit=10_000)]
    assert told[-2:] == [
        ("Quản trị", "user remove", "Hoa"),
        ("Quản trị", "guest revoked", guest.guest_id),
    ]


def test_an_account_is_for_communes_by_name_or_code(run: Run, house: tuple[World, Path]) -> None:
    names = house[0].workspace.catalog.boundaries.names()
    (first, name), (second, _) = list(names.items())[:2]
    code, made, _ = run("user", "add", "Xã", "--communes", f"{name}, {second}")
    assert (code, made["communes"]) == (0, [first, second])
    accounts = {one.name: one for one in house[0].workspace.catalog.accounts.all()}
    assert accounts["Xã"].communes == (first, second)
    assert run("user", "add", "Xã", "--role", "operator")[1]["communes"] == [first, second], "a new token"
    assert run("user", "add", "Xã", "--communes", "all")[1]["communes"] == []
    bare = to_search_key(name)
    for called in (bare, f"Xã {name}", f"XA {bare}"):
        assert run("user", "add", "Xã", "--communes", called)[1]["communes"] == [first]
    code, _, said = run("user", "add", "Khác", "--communes", f"{bare[:-1]}", language="vi_VN.UTF-8")
    assert code == 3 and f"gần nhất: {name}" in said
    assert run("user", "add", "Khác", "--communes", "Không có")[0] == 3
    assert run("user", "add", "Khác", "--communes", " , ")[0] == 2
    assert {one.name for one in house[0].workspace.catalog.accounts.all()} == set(accounts)
