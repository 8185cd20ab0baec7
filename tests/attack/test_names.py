"""Names that are made to reach a terminal, a log or another box: at every door, and in all that is said."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx
import numpy as np
import pytest
import shapely
from click.testing import CliRunner

from flycam.cli import flycam
from flycam.drill.photo_drill import DrillReport
from flycam.geodata.feature_file import FeatureLayer, write_features
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.text import is_printable
from tests.attack.commands import Operator
from tests.serve.running import running
from tests.serve.world import REAL, add_account, make_world

HOSTILE = ["\x1b]0;pwned\x07", "\x9b2J", "a\nflycam: all is well", "\u202egpj.exe"]
"""Of each kind one; all of them: tests/model/test_text_normalization.py."""
BLANK = ["\u3164", "\u2800 \uffa0", "\ufe0f", "\u0301"]
"""Draws nothing, so that a row of the list on the map has no name; all: as above."""
COMMANDS = {
    "ingest --name": ("ingest", "{card}", "--name", "{}"),
    "ingest --event": ("ingest", "{card}", "--event", "{}"),
    "live --name": ("live", "--video", "{card}", "--telemetry", "{card}", "--name", "{}"),
    "live --event": ("live", "--video", "{card}", "--telemetry", "{card}", "--event", "{}"),
    "flights rename": ("flights", "rename", "none", "{}"),
    "flights move": ("flights", "move", "none", "--event", "{}"),
    "layers add --name": ("layers", "add", "{communes}", "--kind", "other", "--name", "{}"),
    "restricted add --name": ("restricted", "add", "{communes}", "--name", "{}"),
    "user add": ("user", "add", "{}", "--role", "viewer"),
    "account token --label": ("account", "token", "Lan", "--label", "{}"),
}


@pytest.mark.parametrize("name", [*HOSTILE, *BLANK], ids=ascii)
def test_no_command_takes_such_a_name(operator: Operator, drill: DrillReport, name: str) -> None:
    places = {"card": drill.photos, "communes": drill.communes}
    assert operator("user", "add", "Lan", "--role", "admin").exit_code == 0
    for door, words in COMMANDS.items():
        typed = [name if word == "{}" else word.format(**places) for word in words]
        said = operator(*typed)
        assert said.exit_code in (2, 3), door
        assert said.json["error"] in ("InputUnusable", "OptionUnusable"), door
        assert is_printable(said.sentence) and all(map(is_printable, said.stderr.splitlines())), door
    assert operator.flights() == []


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    world = make_world(tmp_path)
    add_account(world.workspace, "Quản trị", Role.ADMIN, "admin-token")
    with running(Services(workspace=world.workspace, uploads_dir=tmp_path / "uploads")) as address:
        yield f"{address} {world.before}"


def test_no_address_takes_such_a_name(url: str) -> None:
    address, flight_id = url.split()
    headers = {"Authorization": "Bearer admin-token", "Content-Type": "application/json"}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        for name in (*HOSTILE, *BLANK, "\x00", "\ud800"):
            photo = {"path": "a.jpg", "size": 9, "modified_ms": 1}
            doors: list[tuple[str, str, dict[str, Any]]] = [
                ("POST", "/api/uploads", {"files": [photo], "name": name}),
                ("POST", "/api/uploads", {"files": [photo], "event": name}),
                ("POST", "/api/tokens", {"label": name}),
                ("PUT", f"/api/flights/{flight_id}/event", {"event": name}),
            ]
            if name not in BLANK:  # a file's name has its suffix
                doors += [("POST", "/api/uploads", {"files": [{**photo, "path": f"{name}.jpg"}]})]
            for method, path, body in doors:
                content = json.dumps(body).encode()  # half letters too, as JSON spells them
                answer = client.request(method, path, content=content)
                assert answer.status_code == 422, (name, path, answer.text)
                assert is_printable(answer.text), path


def test_no_answer_repeats_raw_what_was_asked_for(url: str) -> None:
    headers = {"Authorization": "Bearer admin-token"}
    with httpx.Client(base_url=url.split()[0], headers=headers, timeout=60) as client:
        for name in HOSTILE:
            for answer in (
                client.post("/api/login-links", json={"name": name}),
                client.delete(f"/api/guests/{quote(name, safe='')}"),
            ):
                assert answer.status_code in (400, 404, 422), (name, answer.text)
                assert is_printable(answer.text), name


def test_a_hostile_folder_gives_its_flight_a_name_that_is_plain(ready: Operator, card: Path) -> None:
    folder = card.rename(card.parent / "thẻ\x1b]0;x\x07\n\u202e 1")
    photo = sorted(folder.iterdir())[0]
    photo.rename(folder / "DJI\x1b[2J\n\u202e.JPG")
    said = ready("ingest", folder)
    assert said.exit_code == 0 and said.json["frames"]["used"] == 6, "no photo is lost by its name"
    assert is_printable(said.json["name"]) and said.json["name"].startswith("thẻ")
    assert all(map(is_printable, said.stderr.splitlines()))


TEXTS = {"flights", "events", "communes", "layers", "layer_features", "dems", "tokens", "withdrawals"}


def _hidden_everywhere(file: Path) -> int:
    """Put what is hostile into every text of people in a catalogue, as older houses may hold it."""
    changed = 0
    with sqlite3.connect(file) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
                if table in TEXTS and column in (
                    "name",
                    "owner",
                    "operator",
                    "label",
                    "note",
                    "reason",
                ):
                    query = f'UPDATE "{table}" SET "{column}" = "{column}" || ? WHERE "{column}" IS NOT NULL'
                    changed += database.execute(query, ("\x1b]0;x\x07\r\n\u202e\x9b",)).rowcount
    return changed


LISTS = [
    ("flights", "list"),
    ("layers", "list"),
    ("dem", "list"),
    ("restricted", "list"),
    ("restricted", "masks"),
    ("guests", "list"),
    ("user", "list"),
    ("account", "tokens"),
    ("marks", "list"),
    ("retention", "list"),
    ("retention", "due"),
    ("settlements", "list", REAL),
    ("verify", "--dry-run"),
    ("collect", "--dry-run"),
    ("doctor",),
    ("audit", "verify"),
]


def test_names_that_an_older_house_holds_are_shown_and_never_raw(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_account(world.workspace, "Quản trị", Role.ADMIN, "admin-token")
    world.workspace.catalog.close()
    assert _hidden_everywhere(tmp_path / "catalog.sqlite") > 5
    shown = ""
    for words in LISTS:
        for form in ([], ["--json"]):
            said = CliRunner(env={"LC_ALL": "C.UTF-8"}).invoke(
                flycam, [*words, "--data", str(tmp_path), *form]
            )
            assert said.exception is None or isinstance(said.exception, SystemExit), words
            lines = f"{said.stdout}{said.stderr}".rstrip("\n").split("\n")
            assert all(map(is_printable, lines)), words
            shown += said.stdout
    assert r"\x1b]0;x\x07" in shown and r"\u001b" in shown


def _leaves(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from _leaves(found, *path, name)
        else:
            yield (*path, name), found


_ENDLESS = {("serve",), ("demo",), ("worker",), ("sync",), ("drill",), ("upload-work",)}


@pytest.mark.parametrize(
    ("path", "leaf"),
    [one for one in _leaves(flycam) if one[0] not in _ENDLESS],
    ids=lambda one: str(one)[:40],
)
def test_no_command_repeats_raw_what_was_typed(
    path: tuple[str, ...], leaf: click.Command, tmp_path: Path
) -> None:
    """Each option and argument in its turn, and all arguments."""
    bad = "\x1b]0;x\x07\r\n\u202e\x9b\udcff"
    arguments = [bad for one in leaf.params if isinstance(one, click.Argument)]
    options = [one.opts[0] for one in leaf.params if isinstance(one, click.Option) and not one.is_flag]
    words = [[*arguments, option, bad] for option in options if option != "--data"]
    for more in ([], arguments, *words, [f"--{bad}"]):
        said = CliRunner().invoke(flycam, [*path, *more, "--data", str(tmp_path / "house"), "--json"])
        assert said.exception is None or isinstance(said.exception, SystemExit), more
        assert all(map(is_printable, said.output.rstrip("\n").split("\n"))), more


def test_a_log_and_a_trace_hold_no_hidden_sign() -> None:
    """As a real process writes them, whoever logs."""
    program = (
        "import logging, sys; from flycam.cli import flycam\n"
        "try: flycam(['--version'])\n"
        "except SystemExit: pass\n"
        "log = logging.getLogger('another.library'); bad = 'a\\x1b[2J\\r\\nflycam: fine\\u202e'\n"
        "log.warning('%s: odd', bad); log.warning(bad)\n"
        "try: raise ValueError(bad)\n"
        "except ValueError: log.exception('trace')\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    lines = said.stderr.decode().rstrip("\n").split("\n")
    assert all(map(is_printable, lines)) and sum("\\x1b[2J" in line for line in lines) == 3
    assert "flycam: fine" not in {line[:12] for line in lines[:2]}


def test_no_pipe_is_waited_for(operator: Operator, drill: DrillReport, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.fcb"
    os.mkfifo(pipe)
    for words in (
        ("bundle", "read", pipe),
        ("bundle", "write", tmp_path / "b.fcb", "--receipt", pipe),
        ("dem", "add", pipe),
        ("communes", "add", pipe),
        ("layers", "add", pipe, "--kind", "other"),
        ("restricted", "add", pipe),
        ("ingest", pipe),
        ("ingest", drill.photos, "--telemetry", pipe),
        ("ingest", drill.photos, "--camera", pipe),
        ("ingest", drill.photos, "--dem", pipe),
        ("inspect", drill.photos, "--aoi", pipe),
        ("live", "--video", pipe, "--telemetry", pipe),
        ("finish", "none", "--gcp", pipe),
        ("restore", pipe),
        ("verify", "--from", pipe),
        ("upload", pipe),
        ("bundle", "read", os.devnull),
    ):
        typed = [*words, "http://127.0.0.1:1"] if words[0] == "upload" else words
        said = operator(*typed)
        assert said.exit_code == 3, words
        assert said.json["error"] == "SourceUnreadable", words


def test_what_libraries_warn_of_is_escaped(tmp_path: Path) -> None:
    """GDAL repeats the name of a file whose version it does not know."""
    named = tmp_path / "xa\x1b[2J\u202e.gpkg"
    squares = np.array([shapely.box(105.0, 21.0, 106.0, 22.0)], dtype=object)
    layer = FeatureLayer(name="a", kind="Polygon", shapes=squares, fields={})
    write_features(tmp_path / "a.gpkg", [layer], crs="EPSG:4326")
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as package:
        package.execute("PRAGMA user_version = 99999")
    (tmp_path / "a.gpkg").rename(named)
    with zipfile.ZipFile(tmp_path / "communes.zip", "w") as archive:
        archive.write(named, named.name)
    words = ["layers", "add", tmp_path / "communes.zip", "--kind", "other", "--data", tmp_path / "data"]
    said = subprocess.run(
        [sys.executable, "-m", "flycam", *words],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert all(map(is_printable, said.stderr.decode().rstrip("\n").split("\n")))


def test_links_and_odd_names_cost_a_card_themselves_alone(
    ready: Operator, card: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("root:x")
    (card / "shadow.JPG").symlink_to(secret)
    first, second, *_ = sorted(path for path in card.iterdir() if not path.is_symlink())
    odd = os.fsdecode(b"DJI_\xff\x82.JPG")
    try:
        second.rename(card / odd)
    except OSError:
        pytest.skip("this file system holds no such name")
    os.mkfifo(card / "pipe.JPG")
    (card / "DJI_0009.JPG").symlink_to(first)
    for command in ("inspect", "ingest"):
        said = ready(command, card)
        assert said.exit_code == 0
        named = {one["name"] for one in said.json["rejections"]}
        assert named == {"pipe.JPG", "shadow.JPG", r"DJI_\udcff\udc82.JPG"}
        assert all(map(is_printable, said.stderr.splitlines()))
    assert said.json["frames"] == {"read": 8, "used": 5, "in_flight": 5, "rejected": {"unreadable": 3}}
