"""Exercise made by a node without flights (`/api/drill`), in its own process.

Only where nothing real is registered: an exercise brings synthetic terrain and communes.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from flycam.errors import DiskFull, FeatureDisabled, RealDataPresent, SourceUnreadable
from flycam.geodata.dem import read_dem_tags
from flycam.http.commands import TERMINATE_TIMEOUT_S, run_command
from flycam.http.guards import AdminPrincipal, Principal, Services
from flycam.http.protocol import CROSS_SITE_REQUEST, Json, require_same_origin
from flycam.messages import Message, _, verbatim
from flycam.model.flight import DRILL_MARK, DRILL_TAG, EXERCISE_COMMUNE_CODES
from flycam.model.records import DemRecord
from flycam.mosaic.terrain import fetch_dem
from flycam.storage.files import SPARE_BYTES
from flycam.workspace import Workspace

# -- Guard that keeps an exercise's terrain and communes out of a node with real data --------------


# an exercise's terrain is a few kilometres wide: larger files need not be fetched
_MAX_EXTENT_DEG = 0.3


def is_exercise_dem(workspace: Workspace, dem: DemRecord, failure_ttl_s: float = 0.0) -> bool:
    """Return True if the terrain was written by an exercise, by the mark in its file.

    failure_ttl_s: as of `fetch_dem`. Raises StorageFailed where the file cannot be fetched.
    """
    west, south, east, north = dem.bounds_lonlat_deg
    if dem.key is None or max(east - west, north - south) > _MAX_EXTENT_DEG:
        return False
    try:
        tags = read_dem_tags(fetch_dem(workspace, dem, failure_ttl_s))
    except SourceUnreadable:
        return False
    return tags.get(DRILL_TAG) == DRILL_MARK


def require_no_real_data(workspace: Workspace) -> None:
    """Raise RealDataPresent if anything registered is no exercise's.

    That is a flight, terrain or commune. Raises StorageFailed.
    """
    catalog = workspace.catalog
    drills = {one.event_id for one in catalog.flights.events() if one.is_drill}
    if (
        any(one.event_id not in drills for one in catalog.flights.flights())
        or not EXERCISE_COMMUNE_CODES.issuperset(catalog.boundaries.codes())
        or not all(is_exercise_dem(workspace, dem) for dem in catalog.terrain.dems())
    ):
        raise RealDataPresent(
            _(
                "there are real flights, terrain or communes here, and a drill brings made-up "
                "terrain and communes with it; try it with another data folder: flycam demo "
                "--data FOLDER"
            )
        )


# -- Exercise made by the server, and its routes ---------------------------------------------------


router = APIRouter()

_ENDED = _(
    "the program that made the drill ended without a message; ask again, or run 'flycam demo --no-serve'"
)
_NO_REASON = verbatim("")
DRILL_BYTES = 512 << 20
"""More than its photos, originals and mosaics take, also while it is made."""
_LOG = logging.getLogger("flycam.serve")


class DrillState(StrEnum):
    """State of the exercise.

    NONE: none was requested since this server started; FAILED: `why` has the reason.
    """

    NONE = "none"
    MAKING = "making"
    MADE = "made"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class _DrillProgress:
    state: DrillState = DrillState.NONE
    why: Message = _NO_REASON


class DrillService:
    """Exercise that this server makes.

    `ask_to_stop` and `stop` after serving: the next run completes what is half done.
    """

    def __init__(self, services: Services) -> None:
        self._workspace = services.workspace
        self._command = services.drill_command
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._progress = _DrillProgress()

    @property
    def progress(self) -> _DrillProgress:
        """Progress of the exercise."""
        return self._progress

    def begin(self, visitor: Principal) -> None:
        """Make an exercise, unless one is being made.

        Raises RealDataPresent, FeatureDisabled, StorageFailed, DiskFull.
        """
        require_no_real_data(self._workspace)
        if not self._command:
            raise FeatureDisabled(_("this server makes no drill; run 'flycam demo --no-serve' on it"))
        with self._lock:
            if self._progress.state is DrillState.MAKING:
                return
            require_drill_space(self._workspace)
            self._workspace.catalog.audit.append(visitor.name, "drill asked", "")
            self._progress = _DrillProgress(DrillState.MAKING)
            self._thread = threading.Thread(target=self._run, args=(visitor.name,), name="drill", daemon=True)
            self._thread.start()

    def ask_to_stop(self) -> None:
        """Ask the work to end, without waiting for it."""
        self._stop.set()

    def stop(self) -> None:
        """End the work, and wait for it."""
        self.ask_to_stop()
        if self._thread is not None:
            self._thread.join(2 * TERMINATE_TIMEOUT_S)

    def _run(self, operator: str) -> None:
        try:
            ran = run_command(self._command, operator, self._workspace.power, self._stop)
            why = None if ran.code == 0 else ran.describe_failure(_ENDED)
        except Exception:  # noqa: BLE001  whatever it is, the page must hear that it is over
            _LOG.exception("drill")
            why = _ENDED
        self._progress = (
            _DrillProgress(DrillState.MADE) if why is None else _DrillProgress(DrillState.FAILED, why)
        )


def require_drill_space(workspace: Workspace) -> None:
    """Raise DiskFull, with the remedy, unless an exercise leaves room for flights."""
    place = workspace.find_fullest_disk()
    if place is None or place.free_bytes >= SPARE_BYTES + DRILL_BYTES:
        return
    gb, gb_free = (SPARE_BYTES + DRILL_BYTES) / 1e9, place.free_bytes / 1e9
    raise DiskFull(
        _(
            "{name}: {gb_free:.1f} GB are left and making a drill needs {gb:.1f} GB; free "
            "some there ('flycam collect'), or make it on another disk: flycam demo --data "
            "FOLDER",
            name=place.name,
            gb_free=gb_free,
            gb=gb,
        )
    )


def _get_drill_service(request: Request) -> DrillService:
    drilling: DrillService = request.app.state.drilling
    return drilling


DrillServiceHere = Annotated[DrillService, Depends(_get_drill_service)]


@router.post("/api/drill", status_code=202)
def start_drill(request: Request, drilling: DrillServiceHere, principal: AdminPrincipal) -> Json:
    """Begin to make a drill (administrators only); the same asked again while it is made is the same drill.
    409: a real flight, terrain or commune is here. 404: this server makes none. 507: no room for one."""
    require_same_origin(request, CROSS_SITE_REQUEST)
    drilling.begin(principal)
    return _describe_progress(drilling)


@router.get("/api/drill")
def get_drill_state(drilling: DrillServiceHere, _: AdminPrincipal) -> Json:
    """How far it is: none, making, made, failed (with `sentence`, `sentence_vi`)."""
    return _describe_progress(drilling)


def _describe_progress(drilling: DrillService) -> Json:
    current = drilling.progress
    return {"state": current.state.value, **current.why.to_fields()}
