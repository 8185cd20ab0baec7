"""A house (store address, database address) for the laws: on the local store and on the S3 server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class House:
    store_url: str
    database: str


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    local = request.param == "local"
    store_url = f"file://{tmp_path}/store" if local else request.getfixturevalue("s3_url")
    return House(store_url, f"sqlite:///{tmp_path}/catalog.db")
