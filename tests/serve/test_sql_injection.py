"""SQL in an address finds no more than nonsense does: every address that reads, each of its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from flycam.http.guards import Services
from flycam.model.access import Role
from tests.serve.offering import make_offering
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, add_account

_ENDLESS = {"/events"}
SQL = ("' OR '1'='1", "'; DELETE FROM flights; --", "%")
NONE_SUCH = "zqxwzqxw"
"""A text that no name holds."""
USUAL = {"lon": str(LON), "lat": str(LAT), "bounds": "104,21,105,22", "event": REAL, "kind": "volume"}


def shape(value: Any) -> Any:
    """Of an answer: its members and how many there are of each, whatever they say."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else None


def address(path: str, parameters: list[dict[str, Any]], changed: str, text: str, flight: str) -> str:
    """One parameter says this text, the others are usual ones."""
    query = {}
    for one in parameters:
        value = text if one["name"] == changed else USUAL.get(one["name"], flight)
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(value, safe=""))
        elif one["in"] == "query" and (one["name"] == changed or one.get("required")):
            query[one["name"]] = value
    return f"{path}?{urlencode(query)}"


def test_sql_in_an_address_finds_no_more_than_nonsense(tmp_path: Path) -> None:
    offering = make_offering(tmp_path)
    services = Services(
        workspace=offering.workspace, uploads_dir=tmp_path / "uploads", packs_dir=tmp_path / "packs"
    )
    catalog, flight = offering.workspace.catalog, offering.world.after
    add_account(offering.workspace, "Quản trị", Role.ADMIN, "admin-token")
    before = catalog.flights.flights(), catalog.accounts.all()
    tried, answered = 0, 0
    by = {"Authorization": "Bearer admin-token"}
    with (
        running(services) as url,
        httpx.Client(base_url=url, headers=by, timeout=60) as client,
    ):
        for path, methods in client.get("/api/openapi.json").json()["paths"].items():
            parameters = methods.get("get", {}).get("parameters", [])
            for one in [] if path in _ENDLESS else parameters:
                if one["in"] not in ("path", "query"):
                    continue
                nonsense = client.get(address(path, parameters, one["name"], NONE_SUCH, flight))
                for text in SQL:
                    found = client.get(address(path, parameters, one["name"], text, flight))
                    where = (path, one["name"], text, found.status_code, nonsense.status_code)
                    tried += 1
                    if nonsense.status_code != 200:
                        assert 400 <= found.status_code < 500, where
                    elif found.status_code == 200 and "json" in found.headers["content-type"]:
                        assert shape(found.json()) == shape(nonsense.json()), where
                        answered += 1
    assert tried > 200 and answered > 10
    assert (catalog.flights.flights(), catalog.accounts.all()) == before
