"""Acts that decide who may come in and see what: each is on disk together with its line of the audit log."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError

from flycam.access.accounts import add_user, invite_guest, revoke_guest, revoke_token
from flycam.access.restrictions import add_restricted_area, remove_restricted_area, set_layer_classification
from flycam.board.layers import LayerRequest, add_layer, refresh_layer, remove_layer
from flycam.model.access import Role
from flycam.model.board import LayerKind
from flycam.model.flight import Classification
from flycam.workspace import Workspace
from tests.serve.world import add_account, make_workspace

Act = Callable[[Workspace, Path], object]

ACTS: dict[str, Act] = {
    "user add": lambda house, _: add_user(house, "Tú", "admin"),
    "user add, of one who is there": lambda house, _: add_user(house, "Lan", "admin"),
    "token revoked": lambda house, _: revoke_token(house, _token_of_lan(house), "Minh"),
    "guest link": lambda house, _: invite_guest(house, 1.0, None, "Lan"),
    "guest revoked": lambda house, _: revoke_guest(house, house.catalog.guests.all()[0].guest_id, "Lan"),
    "restricted add": lambda house, files: add_restricted_area(
        house, files / "area.geojson", "admin", "Kho", "Minh"
    ),
    "restricted remove": lambda house, _: remove_restricted_area(house, "Doanh trại", "Minh"),
    "classify": lambda house, _: set_layer_classification(house, "masts", Classification.RESTRICTED, "Minh"),
    "layer add": lambda house, files: add_layer(house, _asked(files, "more"), "Minh"),
    "layer refresh": lambda house, files: refresh_layer(
        house, "masts", "Minh", source=str(files / "two.geojson")
    ),
    "layer remove": lambda house, _: remove_layer(house, "masts", "Minh"),
}


@pytest.fixture
def house(tmp_path: Path) -> Workspace:
    """With an account, a link of its, an area and a layer."""
    made = make_workspace(tmp_path)
    add_account(made, "Lan", Role.OPERATOR, "lan")
    invite_guest(made, 1.0, None, "Lan")
    box = [[104.3, 22.4], [104.31, 22.4], [104.31, 22.41], [104.3, 22.41], [104.3, 22.4]]
    _write(tmp_path / "area.geojson", {"type": "Polygon", "coordinates": [box]})
    _write(tmp_path / "one.geojson", {"type": "Point", "coordinates": [104.3, 22.4]})
    _write(tmp_path / "two.geojson", {"type": "MultiPoint", "coordinates": [[104.3, 22.4], [104.4, 22.4]]})
    add_restricted_area(made, tmp_path / "area.geojson", "analyst", "Doanh trại", "Minh")
    add_layer(made, _asked(tmp_path, "masts"), "Minh")
    return made


def _write(path: Path, geometry: dict[str, object]) -> None:
    path.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": geometry}))


def _asked(files: Path, name: str) -> LayerRequest:
    return LayerRequest(source=str(files / "one.geojson"), kind=LayerKind.MAST, name=name)


def _token_of_lan(house: Workspace) -> str:
    return next(
        one.token_id for one in house.catalog.tokens.list_valid(house.clock_ns()) if one.account == "Lan"
    )


def _rows(tmp_path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(tmp_path / "catalog.sqlite") as catalog:
        names = catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: catalog.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names}


@pytest.mark.parametrize("what", ACTS)
def test_where_the_line_cannot_be_written_nothing_was_done(
    house: Workspace, tmp_path: Path, what: str
) -> None:
    """As where the machine dies between the two."""
    before = _rows(tmp_path)
    with sqlite3.connect(tmp_path / "catalog.sqlite") as catalog:
        catalog.execute(
            "CREATE TRIGGER dies BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'died here'); END"
        )
    with pytest.raises(DatabaseError, match="died here"):
        ACTS[what](house, tmp_path)
    assert _rows(tmp_path) == before
    with sqlite3.connect(tmp_path / "catalog.sqlite") as catalog:
        catalog.execute("DROP TRIGGER dies")
    ACTS[what](house, tmp_path)
    told = house.catalog.audit.lines()[len(before["audit_log"]) :]
    assert told[0].what == what.partition(",")[0]
    assert house.catalog.audit.verify() is None
    after = _rows(tmp_path)
    assert {name for name in before if before[name] != after[name]} - {"audit_log", "audit_signatures"}
