"""Local files of registered terrain, and, for a while, what kept one from being made."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from flycam.catalog.records import DemRecord
from flycam.errors import DataDamaged, ObjectMissing
from flycam.messages import _
from flycam.pipeline.original_store import fetch_local_copy
from flycam.pipeline.workspace import Workspace

FAILURE_TTL_S = 300.0
"""A base map asks for each of its tiles: for that a damaged file is fetched and hashed again only so often,
and one that was mended is seen again after this."""

_LOG = logging.getLogger("flycam.terrain")
_DemKey = tuple[Path, str]

_clock_s = time.monotonic
_lock = threading.Lock()
_fetching: dict[_DemKey, Future[Path]] = {}
_failed: dict[_DemKey, tuple[float, DataDamaged]] = {}


def fetch_dem(workspace: Workspace, dem: DemRecord, failure_ttl_s: float = 0.0) -> Path:
    """The file to read registered terrain from; one fetches it, others that ask meanwhile take what it found.

    failure_ttl_s  what was found of a damaged file at most so long ago is said again without looking
    Raises DataDamaged where its bytes are lost or damaged, and what the store raises. Safe to use from
    several
    threads.
    """
    if dem.key is None:
        return Path(dem.path)
    which = workspace.cache_dir, dem.sha256
    with _lock:
        at_s, error = _failed.get(which, (0.0, None))
        if error is not None and _clock_s() - at_s < failure_ttl_s:
            raise error.with_traceback(None)  # which would grow with each time that it is raised
        asked = _fetching.get(which)
        mine = _fetching.setdefault(which, Future())
    if asked is not None:
        return asked.result()
    try:
        path = _fetched(workspace, dem)
    except BaseException as found:
        mine.set_exception(found)
        if isinstance(found, DataDamaged):
            _failed[which] = _clock_s(), found
            _LOG.warning("no ground is made of %s: %s", dem.name, found)
        raise
    else:
        mine.set_result(path)
        _failed.pop(which, None)
        return path
    finally:
        with _lock:
            del _fetching[which]


def _fetched(workspace: Workspace, dem: DemRecord) -> Path:
    try:
        return fetch_local_copy(workspace, dem.sha256, dem.name)
    except ObjectMissing as error:
        raise DataDamaged(
            _(
                "{name}: the store has its bytes no more; put them back with: flycam verify "
                "--from FOLDER, or take it off the list with: flycam dem remove {dem_id}",
                name=dem.name,
                dem_id=dem.dem_id,
            )
        ) from error
