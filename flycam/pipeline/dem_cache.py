"""Local files of registered terrain, and a short-lived record of failures to fetch them."""

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
"""A base map asks for a DEM at each of its tiles: a damaged file is fetched and hashed again only this often,
and a repaired one is found after this time.
"""

_LOG = logging.getLogger("flycam.terrain")
_DemKey = tuple[Path, str]

_clock_s = time.monotonic
_lock = threading.Lock()
_fetching: dict[_DemKey, Future[Path]] = {}
_failed: dict[_DemKey, tuple[float, DataDamaged]] = {}


def fetch_dem(workspace: Workspace, dem: DemRecord, failure_ttl_s: float = 0.0) -> Path:
    """Return a local file of registered terrain; concurrent callers share one fetch.

    failure_ttl_s  maximum age of a failure that is raised again without another look at the file

    Raises DataDamaged where its bytes are lost or damaged, and what the store raises. Thread-safe.
    """
    if dem.key is None:
        return Path(dem.path)
    which = workspace.cache_dir, dem.sha256
    with _lock:
        at_s, error = _failed.get(which, (0.0, None))
        if error is not None and _clock_s() - at_s < failure_ttl_s:
            # the traceback would grow each time it is raised
            raise error.with_traceback(None)
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
