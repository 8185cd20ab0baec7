"""A house (store address, database address) for the laws: a field box, one with an S3 server, a province."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class House:
    store_url: str
    database: str


LOCAL = "local"
S3 = pytest.param("s3", marks=pytest.mark.s3)
PROVINCE = pytest.param("s3+postgres", marks=[pytest.mark.s3, pytest.mark.postgres])


@pytest.fixture(params=[LOCAL, S3])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    store, _, database = request.param.partition("+")
    return House(
        f"file://{tmp_path}/store" if store == "local" else request.getfixturevalue("s3_url"),
        request.getfixturevalue("postgres_url") if database else f"sqlite:///{tmp_path}/catalog.db",
    )
