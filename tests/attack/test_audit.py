"""An audit log that somebody changes on disk, behind the program's back: `audit verify` tells of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flycam.catalog.audit import _digest
from flycam.catalog.audit_key import AuditFault, AuditKey
from tests.attack.commands import Operator, Said

LINES = 6
CHANGED, FORGED, UNSIGNED, UNKNOWN = AuditFault
_COPY = "INSERT INTO audit_log SELECT seq + 1, at_ns, who, what, subject, detail, digest FROM audit_log"
_SWAP = "".join(f"UPDATE {{0}} SET seq = {new} WHERE seq = {old};" for old, new in ((2, 99), (3, 2), (99, 3)))


def _written(data: Path, number: int = LINES) -> Operator:
    """A house whose log has so many lines."""
    house = Operator(data, {})
    for one in range(number):
        assert house("user", "add", f"Lan {one}", "--role", "admin").exit_code == 0
    return house


@pytest.fixture
def house(operator: Operator) -> Operator:
    return _written(operator.data)


def _file(house: Operator) -> Path:
    return house.data / "catalog.sqlite"


def _execute(house: Operator, statements: str) -> None:
    with closing(sqlite3.connect(_file(house))) as database:
        database.executescript(statements)


def _verified(house: Operator, *words: str) -> Said:
    return house("audit", "verify", *words)


def _is_told(said: Said, first_bad: int, fault: AuditFault) -> bool:
    return (said.exit_code, said.json["first_bad"], said.json["fault"]) == (4, first_bad, fault)


@pytest.mark.parametrize(
    ("statements", "first_bad", "fault"),
    [
        *(
            (f"UPDATE audit_log SET {column} = {value} WHERE seq = 3", 3, CHANGED)
            for column in ("who", "what", "subject", "detail", "digest")
            for value in ("'khác'", "''", "7", "x'00ff'")
        ),
        *(
            (f"UPDATE audit_log SET at_ns = {value} WHERE seq = 3", 3, CHANGED)
            for value in ("at_ns + 1", "1e300", "'x'", "x'00'")
        ),
        ("DELETE FROM audit_log WHERE seq = 3", 3, CHANGED),
        ("DELETE FROM audit_log WHERE seq = 1", 1, CHANGED),
        (f"DELETE FROM audit_log WHERE seq = {LINES}", LINES, CHANGED),
        ("DELETE FROM audit_log", 1, CHANGED),
        (_SWAP.format("audit_log"), 2, CHANGED),
        (_SWAP.format("audit_log") + _SWAP.format("audit_signatures"), 2, CHANGED),
        (_SWAP.format("audit_signatures"), 2, FORGED),
        (f"{_COPY} WHERE seq = {LINES}", LINES + 1, CHANGED),
        ("UPDATE audit_log SET seq = seq + 1 WHERE seq = 6", LINES, CHANGED),
        ("UPDATE audit_log SET seq = -1 WHERE seq = 1", 1, CHANGED),
        ("DELETE FROM audit_signatures WHERE seq = 3", 3, UNSIGNED),
        ("DELETE FROM audit_signatures", 1, UNSIGNED),
        ("UPDATE audit_signatures SET signature = 'x' WHERE seq = 3", 3, FORGED),
        ("UPDATE audit_signatures SET signature = x'00' WHERE seq = 3", 3, FORGED),
        ("UPDATE audit_signatures SET signed_by = '' WHERE seq = 3", 3, FORGED),
        ("UPDATE audit_signatures SET signed_by = x'00' WHERE seq = 3", 3, FORGED),
    ],
)
def test_each_change_of_a_row_is_told(
    house: Operator, statements: str, first_bad: int, fault: AuditFault
) -> None:
    assert _verified(house).exit_code == 0
    _execute(house, statements)
    said = _verified(house)
    assert _is_told(said, first_bad, fault), said


def test_what_is_no_text_at_all_is_told_too(house: Operator) -> None:
    _execute(house, "UPDATE audit_log SET detail = CAST(x'ff' AS TEXT) WHERE seq = 3")
    said = _verified(house)
    assert (said.exit_code, said.json["error"]) == (4, "CatalogUnavailable")


def _rewrite(house: Operator, seq: int, key: AuditKey | None) -> None:
    """Give line `seq` another meaning, make the chain anew from there on, and sign it with a key."""
    with closing(sqlite3.connect(_file(house))) as database:
        rows = database.execute(
            "SELECT seq, at_ns, who, what, subject, detail, digest FROM audit_log ORDER BY seq"
        )
        before = "0" * 64
        for number, *values, kept in rows.fetchall():
            digest = kept
            if number >= seq:
                values[2:3] = ["nothing"] if number == seq else values[2:3]
                digest = _digest(before, number, *values)
                where = "WHERE seq = ?"
                database.execute(
                    f"UPDATE audit_log SET what = ?, digest = ? {where}", (values[2], digest, number)
                )
                if key is not None:
                    signer = key.get_or_create(0, "0" * 64)
                    new = (signer.public, signer.sign(number, digest), number)
                    database.execute(f"UPDATE audit_signatures SET signed_by = ?, signature = ? {where}", new)
            before = digest
        database.commit()


def test_a_chain_made_anew_is_told_with_and_without_signatures_of_a_stranger(
    house: Operator, tmp_path: Path
) -> None:
    _rewrite(house, 4, None)
    assert _is_told(_verified(house), 4, FORGED)
    _rewrite(house, 4, AuditKey(tmp_path / "stranger.key"))
    assert _is_told(_verified(house), 4, UNKNOWN)


TAILS = {
    "lines": (f"DELETE FROM audit_log WHERE seq > {LINES - 2}", LINES - 1),
    "lines and some signatures": (
        f"DELETE FROM audit_log WHERE seq >= {LINES - 1};"
        f"DELETE FROM audit_signatures WHERE seq = {LINES - 1}",
        LINES - 1,
    ),
}


@pytest.mark.parametrize("tail", TAILS)
def test_a_tail_that_is_cut_off_is_told_by_the_signatures_left(house: Operator, tail: str) -> None:
    statements, first_bad = TAILS[tail]
    _execute(house, statements)
    assert _is_told(_verified(house), first_bad, CHANGED)


def test_a_tail_cut_off_with_its_signatures_is_told_by_a_head_noted_elsewhere_alone(house: Operator) -> None:
    """What the log alone cannot tell, as docs/decisions/0024-signed-audit-log.md says."""
    head = _verified(house).json["head"]
    _execute(house, "".join(f"DELETE FROM {one} WHERE seq > 4;" for one in ("audit_log", "audit_signatures")))
    assert _verified(house).exit_code == 0
    assert _is_told(_verified(house, "--head", head), LINES, CHANGED)
    assert house("user", "add", "Kẻ gian", "--role", "admin").exit_code == 0
    assert house("user", "add", "Kẻ gian 2", "--role", "admin").exit_code == 0
    assert _verified(house).exit_code == 0 and _verified(house).json["lines"] == LINES
    assert _is_told(_verified(house, "--head", head), LINES, CHANGED), "written over, as many as there were"
    _execute(house, "DELETE FROM audit_log; DELETE FROM audit_signatures")
    assert _is_told(_verified(house, "--head", head), LINES, CHANGED), "and the whole log"


def test_an_older_copy_of_the_database_is_told_by_a_head_noted_elsewhere_alone(
    house: Operator, tmp_path: Path
) -> None:
    shutil.copy(_file(house), tmp_path / "older.sqlite")
    assert house("user", "add", "Hoa", "--role", "admin").exit_code == 0
    head = _verified(house).json["head"]
    shutil.copy(tmp_path / "older.sqlite", _file(house))
    assert _verified(house).exit_code == 0
    assert _is_told(_verified(house, "--head", head), LINES + 1, CHANGED)


def test_the_database_of_another_house_is_told(house: Operator, tmp_path: Path) -> None:
    other = _written(tmp_path / "other", LINES + 2)
    head = _verified(house).json["head"]
    shutil.copy(_file(other), _file(house))
    assert _is_told(_verified(house), 1, UNKNOWN)
    (house.data / "audit.key").unlink()
    assert _is_told(_verified(house, "--head", head), LINES, CHANGED), "also if the key is taken away"


def test_a_key_that_is_taken_away_or_replaced_is_told(house: Operator) -> None:
    """Without it nobody can tell whose an unknown key is, but who noted it, as `audit verify` prints it."""
    path, first = house.data / "audit.key", _verified(house).json
    kept = path.read_bytes()
    for spoilt in (b"", b"{}", kept[:-2], b"\xff"):
        path.write_bytes(spoilt)
        assert _verified(house).exit_code == 4
    path.unlink()
    said = _verified(house)
    assert (said.exit_code, said.json["key"], [one["known"] for one in said.json["signed_by"]]) == (
        0,
        None,
        [False],
    )
    _rewrite(house, 4, AuditKey(path))
    assert _is_told(_verified(house), 1, UNKNOWN), "the lines before are another's"
    _rewrite(house, 1, AuditKey(path))
    said = _verified(house)
    assert said.exit_code == 0, "who has the data folder is the node, see docs/security.md"
    assert said.json["key"] != first["key"]
    assert _is_told(_verified(house, "--head", first["head"]), LINES, CHANGED)
    path.write_text(json.dumps({**json.loads(path.read_text()), "after": LINES, "digest": "0" * 64}))
    assert _is_told(_verified(house), LINES, CHANGED), "a key pins the line that was last when it was made"
    path.write_text(json.dumps({**json.loads(path.read_text()), "after": LINES + 1}))
    assert _is_told(_verified(house), LINES + 1, CHANGED)
