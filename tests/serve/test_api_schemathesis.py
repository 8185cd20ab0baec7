"""Schemathesis over the whole API, for everybody who may stand at the door: what is right by the schema the
server tells, what is just not right, and ids of the house among them. The answer is no 5xx.

It keeps near to the schema, so that writes come through, too. A few hundred requests in `make test`, many
thousands in `make soak`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from flycam.access.accounts import invite_guest, make_token
from flycam.http.guards import GUEST_COOKIE, Services
from flycam.model.access import ACCOUNT_ROLES, Role, Scope
from tests.serve.offering import OPEN_MARK, make_offering
from tests.serve.running import running
from tests.serve.world import REAL, add_account

_ENDLESS = {"/events"}
_STRANGER = "nobody"
_READS = {"get", "head"}
_MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
CALLERS = [_STRANGER, *(role.value for role in Role), *(f"scope {one.value}" for one in Scope)]


@dataclass(frozen=True)
class House:
    """A server, what it says it does, what lets each caller in, and ids that are there."""

    url: str
    operations: tuple[Any, ...]
    headers: dict[str, dict[str, str]]
    ids: tuple[str, ...]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("schemathesis")
    offering = make_offering(root)
    workspace, world = offering.workspace, offering.world
    headers: dict[str, dict[str, str]] = {_STRANGER: {}}
    for role in ACCOUNT_ROLES:
        add_account(workspace, f"người {role.value}", role, f"token-{role.value}")
        headers[role.value] = {"Authorization": f"Bearer token-{role.value}"}
    for scope in Scope:
        _, token = make_token(workspace, f"người {Role.ADMIN.value}", scope.value, scope, None, "test")
        headers[f"scope {scope.value}"] = {"Authorization": f"Bearer {token}"}
    guest, secret = invite_guest(workspace, 6.0, None, f"người {Role.ADMIN.value}")
    headers[Role.GUEST.value] = {"Cookie": f"{GUEST_COOKIE}={secret}"}
    frames = workspace.catalog.frames.list_for_flight(world.after)
    photo = frames[0].header.provenance.source_sha256
    ids = (
        *(world.before, world.after, world.drill, offering.mosaic, offering.layer, photo, REAL, OPEN_MARK),
        *("flights", "99000", "WebMercatorQuad", guest.guest_id),
    )
    services = Services(
        workspace=workspace,
        uploads_dir=root / "uploads",
        packs_dir=root / "packs",
        sync_dir=root / "sync",
        pack_command=(sys.executable, "-c", "raise SystemExit(3)"),
    )
    with running(services) as url:
        told = httpx.get(f"{url}/api/openapi.json").json()
        told["paths"] = {path: said for path, said in told["paths"].items() if path not in _ENDLESS}
        _know_media_types(told)
        schema = schemathesis.openapi.from_dict(told)
        operations = tuple(one.ok() for one in schema.get_all_operations())
        assert len(operations) == sum(len(one) for one in told["paths"].values())
        yield House(url, operations, headers, ids)


def _as_bytes(_context: object, value: object) -> bytes:
    """A body that is no JSON, of whatever was drawn for it."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _know_media_types(told: dict[str, Any]) -> None:
    """Those of bodies that are pictures and bytes: schemathesis sends only what it was told how to."""
    for methods in told["paths"].values():
        for said in methods.values():
            for kind in said.get("requestBody", {}).get("content", {}):
                if kind != "application/json":
                    schemathesis.serializer(kind)(_as_bytes)


def ask(house: House, caller: str, data: st.DataObject) -> None:
    """One request of a caller, and what must hold for its answer."""
    changes = data.draw(st.integers(0, 2), label="changes something") > 0
    among = [one for one in house.operations if (one.method.lower() not in _READS) is changes]
    operation = data.draw(st.sampled_from(among), label="operation")
    mode = data.draw(st.sampled_from(_MODES), label="mode")
    case = data.draw(operation.as_strategy(generation_mode=mode), label="case")
    for name in case.path_parameters or {}:
        if data.draw(st.booleans(), label=f"{name} is of the house"):
            case.path_parameters[name] = data.draw(st.sampled_from(house.ids), label=name)
    answer = case.call(base_url=house.url, headers=house.headers[caller], timeout=60.0, allow_redirects=False)
    event(f"{caller} {operation.method} {answer.status_code // 100}xx")
    assert answer.status_code < 500, (answer.status_code, answer.text[:300])


@pytest.mark.parametrize("caller", CALLERS)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_operation_breaks(house: House, caller: str, data: st.DataObject) -> None:
    ask(house, caller, data)


@pytest.mark.soak
@pytest.mark.parametrize("caller", CALLERS)
@settings(max_examples=3000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_operation_breaks_for_long(house: House, caller: str, data: st.DataObject) -> None:
    ask(house, caller, data)
