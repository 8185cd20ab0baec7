"""`/api/drill`: a house without flights makes itself a drill to look at, by a process of its own.

Only where nothing real is registered: a drill brings made-up ground and communes with it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from flycam.errors import DiskFull, NotOffered
from flycam.messages import _
from flycam.pipeline.made_up import require_nothing_real
from flycam.pipeline.workspace import Workspace
from flycam.serve.answering.own_page import ASKED, require_own_page
from flycam.serve.answering.wording import Json
from flycam.serve.command_process import END_S, Why, run
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Admin
from flycam.serve.services import Services
from flycam.store.room import SPARE_BYTES

router = APIRouter()

_ENDED: Why = (
    "the program that made the drill ended without a word; ask again, or run 'flycam demo --no-serve'",
    "chương trình lập bản diễn tập dừng đột ngột; hãy thử lại, hoặc chạy 'flycam demo --no-serve'",
)
ROOM_BYTES = 512 << 20
"""More than its photos, their originals in the store and its maps take, also while it is made."""
_LOG = logging.getLogger("flycam.serve")


class DrillState(StrEnum):
    """NONE: nobody asked for one since this server started; FAILED: `why` says why not."""

    NONE = "none"
    MAKING = "making"
    MADE = "made"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class _Standing:
    state: DrillState = DrillState.NONE
    why: Why = ("", "")


class Drilling:
    """The drill that this server makes. `ask_to_stop` and `stop` after serving: what is half done the next
    one completes."""

    def __init__(self, services: Services) -> None:
        self._workspace = services.workspace
        self._command = services.drill_command
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._standing = _Standing()

    @property
    def standing(self) -> _Standing:
        """How far it is."""
        return self._standing

    def begin(self, visitor: Visitor) -> None:
        """Make one, if none is on its way. Raises RealDataHere, NotOffered, StorageTrouble, DiskFull."""
        require_nothing_real(self._workspace)
        if not self._command:
            raise NotOffered(_("this server makes no drill; run 'flycam demo --no-serve' on it"))
        with self._lock:
            if self._standing.state is DrillState.MAKING:
                return
            require_room(self._workspace)
            self._workspace.catalog.audit.append(visitor.name, "drill asked", "")
            self._standing = _Standing(DrillState.MAKING)
            self._thread = threading.Thread(target=self._run, args=(visitor.name,), name="drill", daemon=True)
            self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the work end, without waiting for it."""
        self._stop.set()

    def stop(self) -> None:
        """End the work."""
        self.ask_to_stop()
        if self._thread is not None:
            self._thread.join(2 * END_S)

    def _run(self, operator: str) -> None:
        try:
            why = self._make(operator)
        except Exception:  # noqa: BLE001  whatever it is, the page must hear that it is over
            _LOG.exception("drill")
            why = _ENDED
        self._standing = _Standing(DrillState.MADE) if why is None else _Standing(DrillState.FAILED, why)

    def _make(self, operator: str) -> Why | None:
        ran = run(self._command, operator, self._workspace.power, self._stop)
        return None if ran.code == 0 else ran.why(_ENDED)


def require_room(workspace: Workspace) -> None:
    """Raise DiskFull, with the cure, where a drill would take what is left free for flights."""
    place = workspace.scarcest()
    if place is None or place.free_bytes >= SPARE_BYTES + ROOM_BYTES:
        return
    gb, gb_free = (SPARE_BYTES + ROOM_BYTES) / 1e9, place.free_bytes / 1e9
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


def _drilling(request: Request) -> Drilling:
    drilling: Drilling = request.app.state.drilling
    return drilling


DrillingHere = Annotated[Drilling, Depends(_drilling)]


@router.post("/api/drill", status_code=202)
def begin(request: Request, drilling: DrillingHere, visitor: Admin) -> Json:
    """Begin to make a drill (administrators only); the same asked again while it is made is the same drill.
    409: a real flight, terrain or commune is here. 404: this server makes none. 507: no room for one."""
    require_own_page(request, ASKED)
    drilling.begin(visitor)
    return _said(drilling)


@router.get("/api/drill")
def state(drilling: DrillingHere, _: Admin) -> Json:
    """How far it is: none, making, made, failed (with `sentence`, `sentence_vi`)."""
    return _said(drilling)


def _said(drilling: Drilling) -> Json:
    standing = drilling.standing
    return {"state": standing.state.value, "sentence": standing.why[0], "sentence_vi": standing.why[1]}
