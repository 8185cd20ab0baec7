"""Meeting packs that the page asks for: made one after the other, each by a process of its own.

asked for -> on record -> made in a folder of this machine -> its bytes in the store -> on record as made

A pack never changes. One that shows what was withdrawn, or covered by a mask, after it was begun is handed
out no more. The newest few drafts have a file, and as many approved packs: a draft never drives out what was
approved.
What was asked for, who approved it and what became of it stay on record. Decision 0037.
"""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from flycam.catalog.packs import Pack, PackState
from flycam.catalog.records import AuditEntry
from flycam.catalog.redacted_ground import (
    RedactedGroundCache,
    compute_nearby_redaction_fingerprints,
    compute_redaction_fingerprints,
)
from flycam.errors import DiskFull, NotFound, StorageFailed
from flycam.ingest.photo.photo_reader import compute_sha256
from flycam.messages import _
from flycam.report.pack_figures import has_one_signatory
from flycam.report.pack_texts import format_pack_text
from flycam.serve.auth.authenticator import Principal
from flycam.serve.command_process import TERMINATE_TIMEOUT_S, ReasonBilingual
from flycam.serve.http.errors import Refused
from flycam.serve.packs.pack_process import (
    PACK_STOPPED,
    PackResult,
    describe_pack_failure,
    make_pack,
    zip_folder,
)
from flycam.serve.services import Services
from flycam.store import keys
from flycam.store.disk_space import SPARE_BYTES, get_free_bytes

MAX_WAITING_PACKS = 8
"""Packs that wait for their turn, of all visitors."""
PACK_BYTES = 2 * (256 << 20)
"""What one of some hundred photos takes while it is made: its folder or the store's copy, and the ZIP."""
MAX_KEPT_PACKS = 8
"""Drafts that have a file, and approved packs."""
_LEFTOVER_TTL_S = 86_400.0
_RETRY_S = 2.0
_LOG = logging.getLogger("flycam.serve")


class PackQueue:
    """Packs as this server makes them. `start` before, `stop` after serving."""

    def __init__(self, services: Services) -> None:
        self._folder = services.packs_dir
        self._workspace = services.workspace
        self._known = services.workspace.catalog.packs
        self._masks = RedactedGroundCache(services.workspace.catalog)
        self._command = services.pack_command
        self._waiting: queue.Queue[Pack | None] = queue.Queue()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._holding = ExitStack()
        self._maker = ""

    def start(self) -> None:
        """Say what became of packs of servers that are gone, and begin to make what is asked for. Raises
        CatalogUnavailable."""
        if self._folder is None or not self._command:
            return
        self._maker = self._holding.enter_context(self._known.hold_maker_lock())
        for one in self._known.orphans(self._maker):
            self._known.mark_failed(one.pack_id, PACK_STOPPED, self._workspace.clock_ns())
        self._stop.clear()
        self._waiting = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(self._folder,), name="packs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the work; what was not made is told as ended, and has to be asked for again."""
        if self._thread is None:
            return
        self._stop.set()
        self._waiting.put(None)
        self._thread.join(2 * TERMINATE_TIMEOUT_S)
        self._thread = None
        try:
            for one in self._list_own_unfinished():
                self._known.mark_failed(one.pack_id, PACK_STOPPED, self._workspace.clock_ns())
        except StorageFailed:  # the next server says it
            _LOG.exception("packs that were not made")
        self._holding.close()

    def request_pack(
        self,
        visitor: Principal,
        flights: Sequence[str],
        language: str,
        paper: str = "a4",
        draft: Pack | None = None,
    ) -> Pack:
        """A pack of these flights, of what the visitor may see: the one that is on its way, or a new one, on
        record. draft: what the visitor approves; it becomes the final one.

        Raises StorageFailed (this server makes none), DiskFull, Refused 429 (too many wait), StoreConflict
        (the draft was approved already).
        """
        if self._thread is None or self._folder is None:
            raise StorageFailed(
                _("this server makes no meeting packs; start it with 'flycam serve', or run 'flycam pack'")
            )
        wanted = Pack(
            pack_id=secrets.token_hex(8),
            owner=visitor.name,
            flights=tuple(flights),
            language=language,
            asked_ns=self._workspace.clock_ns(),
            maker=self._maker,
            account=visitor.account.name if visitor.account else "",
            rules=visitor.access_policy.fingerprint,
            paper=paper,
            approved_by=visitor.name if draft else "",
            draft_id=draft.pack_id if draft else "",
            content_sha256=draft.content_sha256 if draft else "",
        )
        with self._lock:
            on_their_way = self._list_own_unfinished()
            for one in on_their_way:
                if _pack_identity(one) == _pack_identity(wanted):
                    return one
            if len(on_their_way) >= MAX_WAITING_PACKS:
                raise Refused(
                    429,
                    f"{MAX_WAITING_PACKS} meeting packs are waiting already: ask again when one is made",
                    f"đã có {MAX_WAITING_PACKS} gói họp đang chờ: hãy yêu cầu lại khi làm xong một gói",
                    {"Retry-After": "30"},
                )
            require_pack_space(self._folder)
            pack = self._known.add(wanted, _build_request_entry(wanted, draft))
            self._waiting.put(pack)
        return pack

    def all(self) -> list[Pack]:
        """Those that are told of and may be handed out, the newest first. Raises CatalogUnavailable."""
        told = self._known.all()
        gone = self._find_packs_showing_withheld(told)
        return [one for one in told if one.pack_id not in gone]

    def get(self, pack_id: str) -> Pack:
        """Raises NotFound."""
        pack = self._known.find(pack_id)
        if pack is None or pack.let_go_ns is not None:
            raise build_no_pack_error()
        return pack

    def file(self, pack: Pack) -> str:
        """Key of the ZIP of a pack that is made. Raises NotFound, also where what it shows was withdrawn, or
        covered by a mask, since it was begun: it is handed out, and approved, no more."""
        if pack.state is not PackState.MADE:
            raise build_no_pack_error()
        if self._find_packs_showing_withheld([pack]):
            raise NotFound(
                _(
                    "this meeting pack shows what was withdrawn, or covered by a mask, since: "
                    "ask for a new one"
                )
            )
        return keys.format_pack_key(pack.pack_id, pack.sha256)

    def find_requesters(self, packs: Sequence[Pack]) -> Mapping[str, str]:
        """By id, who asked for each pack, or for the draft that it was approved as."""
        owners = {one.pack_id: one.owner for one in packs}
        owners |= self._known.owners({one.draft_id for one in packs if one.draft_id} - set(owners))
        return {one.pack_id: owners.get(one.draft_id, one.owner) for one in packs}

    def _list_own_unfinished(self) -> list[Pack]:
        return [one for one in self._known.all() if one.is_pending and one.maker == self._maker]

    def _find_packs_showing_withheld(self, packs: Sequence[Pack]) -> set[str]:
        """Ids of those that show what is withheld now and was not when they were begun, whoever asks: frames
        that were withdrawn, ground that masks cover (decision 0028)."""
        made = [one for one in packs if one.state is PackState.MADE]
        masks, flights = self._masks.get_current(), self._workspace.catalog.flights.flights()
        boxes = {one.flight_id: one.bounds_lonlat_deg for one in flights}
        withdrawn = {name: self._find_withdrawn_frames([name]) for one in made for name in one.flights_seen}
        found: set[str] = set()
        for pack in made:
            known = set(pack.withheld)
            now = {one for name in pack.flights_seen for one in withdrawn[name]}
            if not compute_redaction_fingerprints(masks) <= known:
                now |= compute_nearby_redaction_fingerprints(
                    masks, filter(None, map(boxes.get, pack.flights_seen))
                )
            if not now <= known:
                found.add(pack.pack_id)
        return found

    def _find_withdrawn_frames(self, flights: Iterable[str]) -> set[str]:
        """Frames that were withdrawn from these flights."""
        frames = self._workspace.catalog.frames
        return {one.frame_id for name in flights for one in frames.withdrawals(name)}

    # -- the thread -----------------------------------------------------------------------------

    def _run(self, folder: Path) -> None:
        self._sweep()
        while (pack := self._waiting.get()) is not None and not self._stop.is_set():
            try:
                why = self._make_pack(folder, pack)
            except Exception as error:  # noqa: BLE001  one pack's trouble must not end the making of others
                _LOG.exception("pack %s", pack.pack_id)
                why = describe_pack_failure(error)
            if why is not None:
                self._record_failure(pack, why)

    def _make_pack(self, folder: Path, pack: Pack) -> ReasonBilingual | None:
        """Make one and keep it; why it could not be, in English and Vietnamese."""
        folder.mkdir(parents=True, exist_ok=True)
        self._clean_up(folder)
        require_pack_space(folder)  # others have written while it waited
        self._known.mark_making(pack.pack_id)
        withdrawn = {one.frame_id for one in self._workspace.catalog.frames.withdrawals()}
        masks = compute_redaction_fingerprints(self._masks.get_current())
        place = folder / pack.pack_id
        place.mkdir()
        inside = place / format_pack_text("file_pack", pack.language)
        try:
            asked_by = self.find_requesters([pack])[pack.pack_id]
            made = make_pack(self._command, pack, asked_by, inside, self._workspace.power, self._stop)
            if not isinstance(made, PackResult):
                return made
            zip_folder(inside, place / "pack.zip")
            # three times the bytes at once would be one too many
            shutil.rmtree(inside)
            beside = tuple(one for one in made.flights_seen if one not in pack.flights)
            shown = replace(pack, flights_beside=beside)
            withheld = masks | (withdrawn & self._find_withdrawn_frames(shown.flights_seen))
            self._store_pack(replace(shown, withheld=tuple(sorted(withheld))), made, place / "pack.zip")
            return None
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _store_pack(self, pack: Pack, made: PackResult, path: Path) -> None:
        """The bytes, and then the record that names them; older ones give way to one that is made."""
        size, sha256 = path.stat().st_size, compute_sha256(path)
        self._workspace.require_disk_space(size)
        key = keys.format_pack_key(pack.pack_id, sha256)
        self._workspace.store.put_file(key, path, durable=True)
        kept = replace(
            pack,
            ended_ns=self._workspace.clock_ns(),
            manifest_sha256=made.manifest_sha256,
            content_sha256=made.content_sha256,
            classification=made.classification,
            sha256=sha256,
            size_bytes=size,
        )
        if not self._known.mark_made(kept, self._build_audit_entry(kept, "pack kept")):
            self._workspace.store.delete(key)
            return
        self._delete_oldest(kept)

    def _record_failure(self, pack: Pack, why: ReasonBilingual) -> None:
        """On record, whenever the catalogue answers: else it would be told as being made for ever."""
        while True:
            try:
                said = PACK_STOPPED if self._stop.is_set() else why
                self._known.mark_failed(pack.pack_id, said, self._workspace.clock_ns())
                return
            except StorageFailed:
                if self._stop.wait(_RETRY_S):
                    return  # the next server says it

    def _delete_oldest(self, newest: Pack) -> None:
        """Let go of the oldest of its kind that are made, once the newest is on record: one that fails drives
        out none."""
        made = [one for one in self._known.all() if one.state is PackState.MADE]
        alike = [one for one in made if bool(one.approved_by) == bool(newest.approved_by)]
        for one in alike[MAX_KEPT_PACKS:]:
            self._delete_pack(one)

    def _clean_up(self, folder: Path) -> None:
        """Of the oldest that failed nothing is told any more; what a server left that is gone goes after a
        day."""
        told = self._known.all()
        for one in [one for one in told if one.state is PackState.FAILED][MAX_KEPT_PACKS:]:
            self._delete_pack(one)
        under_way = {one.pack_id for one in told if one.is_pending}
        for path in folder.iterdir():
            age_s = self._workspace.clock_ns() / 1e9 - path.stat().st_mtime
            if path.name not in under_way and age_s > _LEFTOVER_TTL_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _delete_pack(self, pack: Pack) -> None:
        """On record first: what is named by no record is deleted by whoever comes next."""
        had_file = pack.state is PackState.MADE
        told = self._build_audit_entry(pack, "pack let go") if had_file else None
        self._known.mark_deleted(pack.pack_id, self._workspace.clock_ns(), told)
        if had_file:
            self._workspace.store.delete(keys.format_pack_key(pack.pack_id, pack.sha256))

    def _sweep(self) -> None:
        """Delete bytes of packs that were given up or let go, which a kill left. What no record knows of is
        left alone: another catalogue may share the store."""
        try:
            for key in self._workspace.store.list(keys.format_pack_prefix()):
                pack = self._known.find(keys.parse_pack_key(key))
                if pack is not None and (pack.let_go_ns is not None or pack.state is PackState.FAILED):
                    self._workspace.store.delete(key)
        except StorageFailed:
            # what is left lies there until the next start
            _LOG.exception("bytes of old packs")

    def _build_audit_entry(self, pack: Pack, what: str) -> AuditEntry:
        return AuditEntry(
            who=self._workspace.box,
            what=what,
            subject=" ".join(pack.flights_seen),
            detail=f"{pack.pack_id}; SHA-256 {pack.sha256}",
            at_ns=self._workspace.clock_ns(),
        )


def _pack_identity(pack: Pack) -> tuple[object, ...]:
    """What two packs are the same by."""
    return pack.owner, pack.flights, pack.language, pack.rules, pack.paper, pack.approved_by, pack.draft_id


def _build_request_entry(pack: Pack, draft: Pack | None) -> AuditEntry:
    """What the audit log tells of one that was asked for, or of the draft that was approved by asking."""
    if draft is None:
        what, detail = "pack asked", f"{pack.paper}, {pack.language}; {pack.pack_id}"
    else:
        known_by = draft.manifest_sha256 or draft.pack_id
        alone = ", who approves it alone" if has_one_signatory(draft.owner, pack.owner) else ""
        what, detail = "pack approved", f"draft {known_by} by {draft.owner}{alone}; {pack.pack_id}"
    subject = " ".join((draft or pack).flights_seen)
    return AuditEntry(who=pack.owner, what=what, subject=subject, detail=detail, at_ns=pack.asked_ns)


def build_no_pack_error() -> NotFound:
    """Whether it never was, is gone, or is another visitor's."""
    return NotFound(_("there is no such meeting pack here: ask for it again"))


def require_pack_space(folder: Path) -> None:
    """Raise DiskFull, with the cure, where a pack would take what is left free for flights."""
    free = get_free_bytes(folder)
    if free >= SPARE_BYTES + PACK_BYTES:
        return
    gb, gb_free = (SPARE_BYTES + PACK_BYTES) / 1e9, free / 1e9
    raise DiskFull(
        _(
            "the server has {gb_free:.1f} GB left and making a meeting pack needs {gb:.1f} "
            "GB; free some there ('flycam collect'), or write the pack to another disk with "
            "'flycam pack --out'",
            gb_free=gb_free,
            gb=gb,
        )
    )
