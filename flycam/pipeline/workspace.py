"""What every recipe works with: the store, the catalogue, and who this box is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.pipeline.power import Power, PowerMode

if TYPE_CHECKING:  # named here, made elsewhere: who opens no catalogue does not wait for its libraries
    from flycam.catalog.catalog import Catalog
    from flycam.pipeline.executor import Cluster
    from flycam.store.base import ObjectStore

Progress = Callable[[str, int, int], None]
"""Stage, how much of it is done, and of how much; 0 where nobody knows yet, as of a stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """The open house.

    box        this box's name in the tile log (`TileRecord.origin`)
    cache_dir  local files that can be thrown away at any time (terrain fetched from the store)
    operator   who is at work here, written into flights and the audit log
    clock_ns   UTC nanoseconds
    power      how this machine is powered, and whether its battery has to last
    cluster    who ingests and finishes with this process; None: nobody
    """

    store: ObjectStore
    catalog: Catalog
    box: str
    cache_dir: Path
    operator: str | None = None
    clock_ns: Callable[[], int] = time.time_ns
    power: Power = field(default_factory=lambda: Power(PowerMode.FULL))
    cluster: Cluster | None = None


def silent(_stage: str, _done: int, _total: int) -> None:
    """A progress listener that says nothing."""
