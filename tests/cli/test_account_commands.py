"""`account` as it is called, and what `serve` and `doctor` say where there is no account yet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from flycam.catalog.catalog import open_catalog
from flycam.cli import flycam
from flycam.model.records import AuditEntry
from tests.ports import free_port
from tests.waiting import START_S, until

Run = Callable[..., tuple[int, dict[str, Any], str]]
CODE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){2}\b")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("FLYCAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLYCAM_OPERATOR", "Quản trị")

    def call(*words: str, language: str = "C.UTF-8") -> tuple[int, dict[str, Any], str]:
        monkeypatch.setenv("LC_ALL", language)
        result = CliRunner().invoke(flycam, [*words, "--data", str(tmp_path), "--json"])
        lines = result.stdout.strip().splitlines()
        return result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr

    return call


def audit(data: Path) -> list[tuple[str, str]]:
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog:
        return [(one.who, one.what) for one in catalog.audit.lines()]


def test_tokens_are_made_listed_and_revoked_one_by_one(run: Run, tmp_path: Path) -> None:
    code, account, aside = run("account", "add", "Lan", "--role", "admin")
    assert code == 0 and len(account["token"]) == 43 and account["token"] not in aside, "once is enough"
    code, made, aside = run("account", "token", "Lan", "--label", "QGIS", "--scope", "map", "--days", "30")
    assert made["token"] not in aside
    assert (code, made["label"], made["scope"], len(made["token"])) == (0, "QGIS", "map", 43)
    assert run("account", "token", "Lan", "--label", "trạm", "--for-ever")[1]["expires"] is None
    listed = run("account", "tokens", "Lan")[1]["tokens"]
    assert [one["label"] for one in listed] == ["", "QGIS", "trạm"]
    assert made["token"] not in json.dumps(listed)
    assert run("account", "revoke", made["token_id"])[1]["label"] == "QGIS"
    assert [one["label"] for one in run("account", "tokens")[1]["tokens"]] == ["", "trạm"]
    assert "account tokens" in run("account", "revoke", made["token_id"])[2]
    assert "flycam account list" in run("account", "token", "Tú", "--label", "x")[2]
    assert run("account", "token", "Lan", "--label", "x", "--days", "0")[0] == 2
    assert "phải có nhãn" in run("account", "token", "Lan", "--label", " ", language="vi_VN.UTF-8")[2]
    again = run("user", "add", "Lan", "--role", "admin")
    assert again[0] == 0 and len(run("account", "tokens")[1]["tokens"]) == 1, "a new first token ends all"
    assert audit(tmp_path) == [
        ("Quản trị", "user add"),
        ("Quản trị", "token"),
        ("Quản trị", "token"),
        ("Quản trị", "token revoked"),
        ("Quản trị", "user add"),
    ]


def test_what_ends_with_a_token_is_listed_before_and_told_after(run: Run, tmp_path: Path) -> None:
    run("account", "add", "Lan", "--role", "admin")
    run("account", "add", "Tú", "--role", "viewer")
    lost = run("account", "token", "Lan", "--label", "máy bị mất")[1]
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as catalog:
        (held,) = [one for one in catalog.tokens.list_valid(0) if one.token_id == lost["token_id"]]
        made = replace(held, token_id="token-b", account="Tú", secret_hash="b", made_with=lost["token_id"])
        catalog.tokens.put(made, AuditEntry(who="Lan", what="token", subject="token-b", detail="", at_ns=1))
    code, listed, _ = run("account", "tokens")
    assert {one["token_id"] for one in listed["tokens"] if one["ends_with_it"]["tokens"] == ["token-b"]} == {
        lost["token_id"]
    }
    text = CliRunner().invoke(flycam, ["account", "tokens", "Lan", "--data", str(tmp_path)])
    assert code == text.exit_code == 0 and "token-b" in text.stdout
    revoked = run("account", "revoke", lost["token_id"])[1]
    assert revoked["ends_with_it"] == {"tokens": ["token-b"], "guests": []}
    assert {one["account"] for one in run("account", "tokens")[1]["tokens"]} == {"Lan", "Tú"}
    assert len(run("account", "tokens")[1]["tokens"]) == 2, "the first tokens hold"


def test_codes_of_nobody_are_for_a_house_without_accounts(run: Run, tmp_path: Path) -> None:
    assert CODE.fullmatch(run("account", "code")[1]["code"])
    _, checks, _ = run("doctor")
    (said,) = [one for one in checks["checks"] if one["name"] == "accounts"]
    assert (
        said["ok"] and "flycam account code" in said["sentence"] and said["sentence_vi"] != said["sentence"]
    )
    assert run("account", "code", "Lan")[0] == 3
    run("user", "add", "Lan", "--role", "admin")
    assert CODE.fullmatch(run("account", "code", "Lan")[1]["code"])
    assert run("account", "code")[0] == 2


def test_a_server_that_others_reach_prints_the_code_that_lets_somebody_in(run: Run, tmp_path: Path) -> None:
    """With nothing but what it prints somebody comes in, once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLYCAM_")}
    port = free_port()
    words = ["serve", "--host", "0.0.0.0", "--port", str(port), "--data", str(tmp_path)]
    log = tmp_path / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen([sys.executable, "-m", "flycam", *words], env=environment, stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        until(lambda: _answers(f"{address}/healthz"), log.read_text, within_s=START_S, of=server)
        found = CODE.search(log.read_text(encoding="utf-8"))
        assert found is not None
        setup = {"code": found[0], "name": "Lan"}
        assert [httpx.post(f"{address}/api/setup", json=setup).status_code for _ in range(2)] == [200, 403]
    finally:
        server.terminate()
        server.wait(90)
    assert [one["name"] for one in run("user", "list")[1]["accounts"]] == ["Lan"]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
