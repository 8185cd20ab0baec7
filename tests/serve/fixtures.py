"""One small house for the whole session, and a client on it; a test that changes things makes its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from flycam.http.guards import Services
from tests.serve.offering import VIEWER, Offering, make_offering
from tests.serve.running import running
from tests.serve.world import World, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two real flights, a drill, communes, a DEM; nobody changes it."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def address(world: World) -> Iterator[str]:
    """A server on the world, open because no account exists and it is bound to loopback."""
    with running(Services(workspace=world.workspace)) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as one:
        yield one


@pytest.fixture(scope="session")
def offering(tmp_path_factory: pytest.TempPathFactory) -> Offering:
    """A house with accounts and one of everything that is offered to other programs; nobody changes it."""
    return make_offering(tmp_path_factory.mktemp("offering"))


@pytest.fixture(scope="session")
def offered_at(offering: Offering) -> Iterator[str]:
    """A server on it, which one site may read from."""
    origins = frozenset({"https://gis.example.vn"})
    with running(Services(workspace=offering.workspace, origins=origins)) as url:
        yield url


@pytest.fixture
def reader(offered_at: str) -> Iterator[httpx.Client]:
    """A viewer's program."""
    with httpx.Client(base_url=offered_at, timeout=60, headers={"Authorization": f"Bearer {VIEWER}"}) as one:
        yield one
