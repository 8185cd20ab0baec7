"""Meeting packs that the page asks for: made one after the other, each by a process of its own.

A pack is a file for a while, not a record: the newest few lie in a folder of this server and go with newer
ones. That one was made, and by whom, is in the audit log.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import secrets
import shutil
import subprocess
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from flycam.errors import DiskFull, NotFound, StorageTrouble
from flycam.outcomes import sentence
from flycam.serve.door import Visitor
from flycam.serve.failures import Refused
from flycam.serve.services import Services
from flycam.store.room import SPARE_BYTES, free_bytes

MOST_WAITING = 8
"""Packs that wait for their turn, of all visitors."""
ROOM_BYTES = 2 * (256 << 20)
"""What one of some hundred photos takes while it is made: its folder, and the ZIP of it."""
_KEPT = 8
_MOST_S = 3600.0  # one that hangs must not bar the others
_END_S = 5.0
_LEFT_S = 86_400.0
_LOG = logging.getLogger("flycam.serve")
_NAME = "goi-hop"


class PackState(StrEnum):
    """MADE: there is a file to fetch; FAILED: `Pack.why` says why not."""

    WAITING = "waiting"
    MAKING = "making"
    MADE = "made"
    FAILED = "failed"


@dataclass(slots=True)
class Pack:
    """One that was asked for.

    account    by whose eyes it is made; "": by those of whoever sits at this machine
    rules      what is withheld from them, when it was asked for (`Withholding.fingerprint`)
    paper      of its quick report: "a4", "a3"
    approved_by  the account that approved the draft of which it is the final one; "": it is a draft
    digest     SHA-256 of its manifest; "": not known yet
    why        sentences in English and Vietnamese
    size       of the file, bytes
    withdrawn  how many frames of its flights were withdrawn when it was begun
    """

    pack_id: str
    owner: str
    flights: tuple[str, ...]
    language: str
    account: str = ""
    rules: str = ""
    paper: str = "a4"
    approved_by: str = ""
    digest: str = ""
    state: PackState = PackState.WAITING
    why: tuple[str, str] = ("", "")
    size: int = 0
    withdrawn: int = 0


class Packing:
    """Packs of one server. `start` before, `stop` after serving."""

    def __init__(self, services: Services) -> None:
        self._folder = services.packs_dir
        self._clock_ns = services.workspace.clock_ns
        self._power = services.workspace.power
        self._frames = services.workspace.catalog.frames
        self._command = services.pack_command
        self._packs: dict[str, Pack] = {}
        self._waiting: queue.Queue[Pack | None] = queue.Queue()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to make what is asked for."""
        if self._folder is None or not self._command:
            return
        self._stop.clear()
        self._waiting = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(self._folder,), name="packs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the work; what was not made has to be asked for again."""
        self._stop.set()
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(2 * _END_S)
            self._thread = None

    def ask(
        self,
        visitor: Visitor,
        flights: Sequence[str],
        language: str,
        paper: str = "a4",
        approved_by: str = "",
    ) -> Pack:
        """A pack of these flights, of what the visitor may see: the one that is on its way, or a new one.

        Raises StorageTrouble (this server makes none), DiskFull, Refused 429 (too many wait).
        """
        if self._thread is None or self._folder is None:
            raise StorageTrouble(
                "this server makes no meeting packs; start it with 'flycam serve', or run 'flycam pack'",
                vi="máy chủ này không lập gói họp; hãy chạy bằng 'flycam serve', hoặc dùng 'flycam pack'",
            )
        rules = visitor.withholding.fingerprint
        with self._lock:
            on_their_way = [
                one for one in self._packs.values() if one.state in (PackState.WAITING, PackState.MAKING)
            ]
            wanted = (visitor.name, tuple(flights), language, rules, paper, approved_by)
            for one in on_their_way:
                kind = (one.owner, one.flights, one.language, one.rules, one.paper, one.approved_by)
                if kind == wanted:
                    return one
            if len(on_their_way) >= MOST_WAITING:
                raise Refused(
                    429,
                    f"{MOST_WAITING} meeting packs are waiting already: ask again when one is made",
                    f"đã có {MOST_WAITING} gói họp đang chờ: hãy yêu cầu lại khi làm xong một gói",
                    {"Retry-After": "30"},
                )
            require_room(self._folder)
            pack = Pack(
                pack_id=secrets.token_hex(8),
                owner=visitor.name,
                flights=tuple(flights),
                language=language,
                account=visitor.account.name if visitor.account else "",
                rules=rules,
                paper=paper,
                approved_by=approved_by,
            )
            self._packs[pack.pack_id] = pack
            self._waiting.put(pack)
        return pack

    def all(self) -> list[Pack]:
        """Those that are remembered, the newest first."""
        with self._lock:
            return list(reversed(self._packs.values()))

    def states(self) -> list[str]:
        """Of every pack that is remembered."""
        return [one.state.value for one in self.all()]

    def get(self, pack_id: str) -> Pack:
        """Raises NotFound."""
        with self._lock:
            pack = self._packs.get(pack_id)
        if pack is None:
            raise no_such_pack()
        return pack

    def file(self, pack_id: str) -> Path:
        """The ZIP of a pack that is made. Raises NotFound, also where what it shows was withdrawn since."""
        pack = self.get(pack_id)
        if pack.state is not PackState.MADE or self._folder is None:
            raise no_such_pack()
        path = self._folder / f"{pack.pack_id}.zip"
        if self._withdrawn(pack) != pack.withdrawn:
            with self._lock:
                self._packs.pop(pack_id, None)
            path.unlink(missing_ok=True)
            raise NotFound(
                "this meeting pack shows pictures that were withdrawn since and is gone: ask for a new one",
                vi="gói họp này có ảnh đã bị rút sau khi lập nên đã xoá: hãy yêu cầu gói mới",
            )
        return path

    def _withdrawn(self, pack: Pack) -> int:
        return sum(len(self._frames.withdrawals(flight_id)) for flight_id in pack.flights)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self, folder: Path) -> None:
        while (pack := self._waiting.get()) is not None and not self._stop.is_set():
            pack.state = PackState.MAKING
            try:
                pack.why = self._make(folder, pack) or pack.why
                pack.state = PackState.FAILED if pack.why[0] else PackState.MADE
            except Exception as error:  # noqa: BLE001  one pack's trouble must not end the making of others
                _LOG.exception("pack %s", pack.pack_id)
                pack.why = _why_not(error)
                pack.state = PackState.FAILED

    def _make(self, folder: Path, pack: Pack) -> tuple[str, str] | None:
        """Make one and pack its folder up; why it could not be, in English and Vietnamese."""
        folder.mkdir(parents=True, exist_ok=True)
        self._make_room(folder)
        require_room(folder)  # others have written while it waited
        pack.withdrawn = self._withdrawn(pack)
        place = folder / pack.pack_id
        place.mkdir()
        try:
            why = self._made_by_process(pack, place / _NAME)
            if why is None:
                part = place / "pack.zip"
                _zip(place / _NAME, part)
                pack.size = part.stat().st_size
                part.replace(folder / f"{pack.pack_id}.zip")
            return why
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _made_by_process(self, pack: Pack, out: Path) -> tuple[str, str] | None:
        command = [*self._command, "--out", str(out), "--language", pack.language, "--json"]
        command += ["--paper", pack.paper]
        if pack.approved_by:
            command.append(f"--approved-by={pack.approved_by}")
        if pack.account:
            command.append(f"--as={pack.account}")
        # what it says to people is Vietnamese, its JSON is English: so both are known
        environment = {**os.environ, "LC_ALL": "vi_VN.UTF-8", "FLYCAM_OPERATOR": pack.owner}
        process = subprocess.Popen(  # noqa: S603  our own
            [*command, "--", *pack.flights],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
        self._power.let_go(process.pid)
        ends_s, is_asked_to_end = time.monotonic() + _MOST_S, False
        try:
            while True:
                try:
                    said, told = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    late_s = time.monotonic() - ends_s
                    if is_asked_to_end and late_s > _END_S:
                        process.kill()
                    elif not is_asked_to_end and (self._stop.is_set() or late_s > 0.0):
                        process.terminate()
                        ends_s, is_asked_to_end = time.monotonic(), True
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            return _why(said, told)
        pack.digest = _digest(said)
        return None

    def _make_room(self, folder: Path) -> None:
        """Forget the oldest packs; what a server left that is gone goes after a day."""
        with self._lock:
            done = [one for one in self._packs.values() if one.state in (PackState.MADE, PackState.FAILED)]
            for old in done[: max(len(done) - _KEPT + 1, 0)]:
                del self._packs[old.pack_id]
                (folder / f"{old.pack_id}.zip").unlink(missing_ok=True)
            known = set(self._packs)
        for path in folder.iterdir():
            age_s = self._clock_ns() / 1e9 - path.stat().st_mtime
            if path.name.removesuffix(".zip") not in known and age_s > _LEFT_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def no_such_pack() -> NotFound:
    """Whether it never was, is gone, or is another visitor's."""
    return NotFound(
        "there is no such meeting pack here: ask for it again",
        vi="không có gói họp này ở đây: hãy yêu cầu lại",
    )


def _zip(folder: Path, path: Path) -> None:
    """The folder as one file; its pictures are packed already. Files of a clock at 1970 are of 1980 in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for one in sorted(folder.rglob("*")):
            archive.write(one, one.relative_to(folder.parent))


def _digest(said: str) -> str:
    """Of the manifest that a command wrote, from its JSON."""
    try:
        return str(json.loads(said.strip().splitlines()[-1])["manifest_sha256"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def _why(said: str, told: str) -> tuple[str, str]:
    """The sentence of a command that failed, from its JSON and from what it told people."""
    try:
        english = str(json.loads(said.strip().splitlines()[-1])["sentence"])
    except (IndexError, ValueError, KeyError, TypeError):
        return _ENDED
    lines = [line for line in told.splitlines() if line.startswith("flycam: ")]
    return english, lines[-1].removeprefix("flycam: ") if lines else english


def require_room(folder: Path) -> None:
    """Raise DiskFull, with the cure, where a pack would take what is left free for flights."""
    free = free_bytes(folder)
    if free >= SPARE_BYTES + ROOM_BYTES:
        return
    gb, gb_free = (SPARE_BYTES + ROOM_BYTES) / 1e9, free / 1e9
    raise DiskFull(
        f"the server has {gb_free:.1f} GB left and making a meeting pack needs {gb:.1f} GB; free some there "
        "('flycam collect'), or write the pack to another disk with 'flycam pack --out'",
        vi=f"máy chủ còn {gb_free:.1f} GB, lập gói họp cần {gb:.1f} GB; hãy giải phóng bớt chỗ trên máy chủ "
        "('flycam collect'), hoặc ghi gói ra ổ đĩa khác bằng 'flycam pack --out'",
    )


def _why_not(error: Exception) -> tuple[str, str]:
    if isinstance(error, DiskFull):
        return sentence(error), sentence(error, "vi")
    return _disk_trouble(error) if isinstance(error, OSError) else _ENDED


def _disk_trouble(error: OSError) -> tuple[str, str]:
    return (
        f"the meeting pack could not be kept on the server ({error.strerror}); make room there",
        "không lưu được gói họp trên máy chủ; hãy giải phóng bớt ổ đĩa",
    )


_ENDED = (
    "the program that made the meeting pack ended without a word; ask again, or run 'flycam pack'",
    "chương trình lập gói họp dừng đột ngột; hãy thử lại, hoặc dùng lệnh 'flycam pack'",
)
