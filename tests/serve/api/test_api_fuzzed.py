"""Whatever is sent to any operation of the API, the answer is no 5xx: wrong types, numbers that are huge or
none, places beyond the world, names in every script, bodies that are no bodies.

Values are made from the schema that the server itself tells, and spoiled at random; ids of the house are
among them, so that what is asked for is often there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from flycam.http.services import Services
from flycam.model.access import Role
from tests.serve.offering import Offering, make_offering
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, add_account

TOKEN = "fuzzing-admin"
_ENDLESS = {"/events"}
_DEEP = json.loads("[" * 60 + "]" * 60)

NUMBERS = st.sampled_from(
    [
        *(0, -0.0, -1, 1, 7, 18, 26, 27, 2**31, -(2**63), 2**63, 2**64, 10**400, 1e308, -1e308, 5e-324),
        *(float("nan"), float("inf"), float("-inf"), LON, LAT, -181, 91, -90, 180, 0.1 + 0.2),
    ]
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        *("", " ", "\x00", "a\x00b", "\ud800", "٣", "Nậm Lúc", "../../etc/passwd", "%2e%2e%2f", "\u202e"),
        *(
            "<script>alert(1)</script>",
            "'; DROP TABLE x; --",
            "x" * 5000,
            "null",
            "nan",
            "-1",
            "1e999",
            "0x1f",
        ),
        *("2024-09-10", "0001-01-01", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00Z"),
        *("104,21,105,22", "nan,nan,nan,nan", "1,2,3"),
    ]
)
_ODD = [None, True, False, [], {}, [[]], [None], {"": None}, _DEEP, [1e308] * 4, {"x": "y" * 3000}]
JUNK = NUMBERS | TEXTS | st.sampled_from(_ODD)
TUS = ("0", "-1", "1e3", "", "9" * 30, "filename eA==", "filename ===", "x,y z", "sha1 x")
RANGES = ("", "bytes=0-", "bytes=-1", "bytes=5-2", f"bytes={'9' * 40}-", "bytes=a-b", "items=1-2")
BROKEN = (b"", b"{", b"nul", b"\xff\xfe", b"[" * 5000, b'{"a":1e999}', b"\x00", b'"\\ud800"')
NAMES = ("flights", "marks", "communes", REAL, "99000", "mark-00000001", "step-00000001", "WebMercatorQuad")


@dataclass(frozen=True)
class Operation:
    """One of the API: its parameters by where they stand, the schema and the type of its body."""

    method: str
    path: str
    parameters: tuple[dict[str, Any], ...]
    body: dict[str, Any] | None
    body_type: str | None

    def named(self, where: str) -> list[dict[str, Any]]:
        return [one for one in self.parameters if one["in"] == where]


@dataclass(frozen=True)
class House:
    url: str
    offering: Offering
    operations: tuple[Operation, ...]
    schemas: dict[str, Any]
    ids: tuple[object, ...]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("fuzzed")
    offering = make_offering(root)
    add_account(offering.workspace, "Quản trị", Role.ADMIN, TOKEN)
    services = Services(
        workspace=offering.workspace,
        uploads_dir=root / "uploads",
        packs_dir=root / "packs",
        pack_command=(sys.executable, "-c", "raise SystemExit(3)"),
    )
    with running(services) as url:
        schema = httpx.get(f"{url}/api/openapi.json").json()
        yield House(url, offering, _operations(schema), schema["components"]["schemas"], _ids(offering))


def _ids(offering: Offering) -> tuple[object, ...]:
    world, frames = offering.world, offering.workspace.catalog.frames.list_for_flight(offering.world.after)
    photo = frames[0].header.provenance.source_sha256
    return (world.before, world.after, world.drill, offering.mosaic, offering.layer, photo, *NAMES)


def _operations(schema: dict[str, Any]) -> tuple[Operation, ...]:
    found = []
    for path, methods in schema["paths"].items():
        for method, told in methods.items():
            if path in _ENDLESS:
                continue
            content = told.get("requestBody", {}).get("content", {})
            kind = next(iter(content), None)
            found.append(
                Operation(
                    method=method,
                    path=path,
                    parameters=tuple(told.get("parameters", ())),
                    body=content[kind].get("schema") if kind else None,
                    body_type=kind,
                )
            )
    return tuple(found)


def fitting(schema: dict[str, Any], house: House, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that a schema asks for, one in six of them spoiled."""
    return st.integers(0, 5).flatmap(lambda n: JUNK if n == 0 else _right(schema, house, depth))


def _right(schema: dict[str, Any], house: House, depth: int) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _right(house.schemas[schema["$ref"].rpartition("/")[2]], house, depth)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return st.one_of(*(_right(one, house, depth) for one in schema[several]))
    if depth > 6:
        return JUNK
    kind = schema.get("type")
    if kind == "object":
        members = {name: fitting(one, house, depth + 1) for name, one in schema.get("properties", {}).items()}
        extra = schema.get("additionalProperties")
        if not members and isinstance(extra, dict):
            return st.dictionaries(_texts(house), fitting(extra, house, depth + 1), max_size=4)
        return st.fixed_dictionaries(members)
    if kind == "array":
        if "prefixItems" in schema:
            return st.tuples(*(fitting(one, house, depth + 1) for one in schema["prefixItems"])).map(list)
        least = min(schema.get("minItems", 0), 8)
        items = fitting(schema.get("items", {}), house, depth + 1)
        return st.lists(items, min_size=least, max_size=least + 3)
    if kind in ("number", "integer"):
        return _numbers(schema, is_whole=kind == "integer")
    if kind == "boolean":
        return st.booleans()
    return _texts(house)


def _numbers(schema: dict[str, Any], *, is_whole: bool) -> st.SearchStrategy[Any]:
    least = schema.get("minimum", schema.get("exclusiveMinimum", -200))
    most = schema.get("maximum", schema.get("exclusiveMaximum", 200))
    if is_whole:
        return st.integers(int(least), int(most))
    return st.floats(least, most, allow_nan=False) | st.sampled_from([LON, LAT])


def _texts(house: House) -> st.SearchStrategy[Any]:
    return st.sampled_from(house.ids) | TEXTS


def _spelled(value: object) -> bytes:
    """As it stands in an address: half letters too."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def ask(house: House, operation: Operation, data: st.DataObject) -> httpx.Request:
    """A request of an operation."""
    path = operation.path
    for one in operation.named("path"):
        value = data.draw(fitting(one.get("schema", {}), house), label=one["name"])
        path = path.replace(f"{{{one['name']}}}", quote(_spelled(value)[:2000], safe="") or "x")
    query = []
    for one in operation.named("query"):
        if one.get("required") or data.draw(st.booleans()):
            value = data.draw(fitting(one.get("schema", {}), house), label=one["name"])
            query.append((one["name"], _spelled(value)[:2000]))
    headers = {"Authorization": f"Bearer {TOKEN}", **_headers(operation, data)}
    content, kind = _body(house, operation, data)
    if kind:
        headers["Content-Type"] = kind
    address = f"{house.url}{path}?{urlencode(query)}"
    return httpx.Request(operation.method.upper(), address, headers=headers, content=content)


def _headers(operation: Operation, data: st.DataObject) -> dict[str, str]:
    if operation.path.startswith("/files"):
        names = ("Upload-Length", "Upload-Offset", "Upload-Metadata", "Upload-Checksum")
        said = {name: data.draw(st.sampled_from(TUS), label=name) for name in names}
        return {"Tus-Resumable": "1.0.0", **said}
    known = st.sampled_from(["", '"x"', "*"])
    return {
        "Range": data.draw(st.sampled_from(RANGES), label="Range"),
        "If-None-Match": data.draw(known, label="If-None-Match"),
    }


def _body(house: House, operation: Operation, data: st.DataObject) -> tuple[bytes, str | None]:
    if operation.body_type is None:
        return b"", None
    if operation.body_type != "application/json":
        kind = "image/png" if operation.body_type == "image/*" else operation.body_type
        return data.draw(st.binary(max_size=200), label="body"), kind
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(st.sampled_from(BROKEN) | st.binary(max_size=50), label="body"), "application/json"
    value = data.draw(fitting(operation.body or {}, house), label="body")
    return json.dumps(value).encode("utf-8", "surrogatepass"), "application/json"


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_operation_breaks(house: House, data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(house.operations), label="operation")
    request = ask(house, operation, data)
    with httpx.Client(timeout=60) as client:
        answer = client.send(request)
    assert answer.status_code < 500, (answer.status_code, answer.text[:300])
    event(f"answered {answer.status_code}")
    is_json = answer.headers.get("content-type") == "application/json"
    if is_json and answer.status_code in (400, 404, 409, 415, 422) and operation.method != "head":
        assert answer.json()["message"]


SQL = (
    *("' OR '1'='1", "' OR 1=1 --", "x' UNION SELECT name FROM accounts --"),
    *("'; DELETE FROM flights; --", "%", "_"),
)
NONE_SUCH = "zqxwzqxw"
"""A text that no name holds."""
_USUAL = {"lon": str(LON), "lat": str(LAT), "bounds": "104,21,105,22", "event": REAL, "kind": "volume"}


def _shape(told: Any) -> Any:
    """Of an answer: its members and how many there are of each, whatever they say."""
    if isinstance(told, dict):
        return {name: _shape(one) for name, one in told.items()}
    return [_shape(one) for one in told] if isinstance(told, list) else None


def _read(house: House, client: httpx.Client, operation: Operation, asked: dict[str, Any], text: str) -> Any:
    """What is answered where one parameter says this text and the others are usual ones."""
    path, query = operation.path, {}
    for one in operation.parameters:
        name = one["name"]
        value = text if one is asked else _USUAL.get(name, house.offering.world.after)
        if one["in"] == "path":
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        elif one["in"] == "query" and (one is asked or one.get("required")):
            query[name] = value
    return client.get(f"{path}?{urlencode(query)}")


def test_sql_in_an_address_finds_no_more_than_nonsense(house: House) -> None:
    """Every address that reads, each of its parameters in turn."""
    looked_at, answered = 0, 0
    by = {"Authorization": f"Bearer {TOKEN}"}
    catalog = house.offering.workspace.catalog
    flights, accounts = catalog.flights.flights(), catalog.accounts.all()
    with httpx.Client(base_url=house.url, headers=by, timeout=60) as client:
        for operation in house.operations:
            if operation.method != "get":
                continue
            for asked in (*operation.named("path"), *operation.named("query")):
                nonsense = _read(house, client, operation, asked, NONE_SUCH)
                for text in SQL:
                    found = _read(house, client, operation, asked, text)
                    where = (operation.path, asked["name"], text, found.status_code, nonsense.status_code)
                    looked_at += 1
                    if nonsense.status_code != 200:
                        assert 400 <= found.status_code < 500, where
                    elif found.status_code == 200 and "json" in found.headers["content-type"]:
                        assert _shape(found.json()) == _shape(nonsense.json()), where
                        answered += 1
    assert looked_at > 400 and answered > 20
    assert (catalog.flights.flights(), catalog.accounts.all()) == (flights, accounts)
