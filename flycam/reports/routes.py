"""Briefing packs and quality reports over HTTP, and the queue of requested packs.

A request for a briefing pack makes a draft of the requester's account. An analyst or administrator with an
account reviews and approves it: it is made anew with that name on the paper, the approval is in the audit
log, and from then on every account that may see all that is in it can download it.
"""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
import threading
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from flycam.access.policy import (
    RedactedGroundCache,
    build_withheld_error,
    compute_nearby_redaction_fingerprints,
    compute_redaction_fingerprints,
    find_visible_flight,
)
from flycam.catalog.catalog import Catalog
from flycam.catalog.packs import Pack, PackState
from flycam.errors import AccessDenied, DiskFull, NotFound, StorageFailed, StoreConflict, format_error
from flycam.http.commands import TERMINATE_TIMEOUT_S, run_command
from flycam.http.guards import (
    AnalystPrincipal,
    CatalogHere,
    DownloadLog,
    GuardedRoute,
    OperatorPrincipal,
    Principal,
    Services,
    ServicesHere,
    StoreHere,
    ViewerPrincipal,
    require_viewer,
)
from flycam.http.protocol import (
    Json,
    RangeHere,
    Refused,
    build_standalone_policy,
    build_unsatisfiable_response,
    format_iso_or_none,
    stream_object,
)
from flycam.messages import Message, _, pgettext, verbatim
from flycam.model.access import Role
from flycam.model.flight import Flight, Layer
from flycam.model.records import AuditEntry
from flycam.model.time import format_iso
from flycam.power import Power
from flycam.reports.briefing.figures import has_one_signatory
from flycam.reports.quality_report import get_report
from flycam.storage import keys
from flycam.storage.files import SPARE_BYTES, compute_sha256, get_free_bytes

# -- Queue of requested briefing packs, made one by one in their own processes ---------------------
#
# Packs are requested on the map page.
#
#     requested -> recorded -> made in a folder of this node -> its bytes in the store -> recorded as made
#
# A pack never changes. One that shows what was withdrawn or redacted after it was begun is not served any
# more. The newest few drafts keep their file, and as many approved packs: a draft never replaces an approved
# one. Requests, approvals and results stay on record. Decision 0037.


# -- Process that makes one briefing pack and its ZIP ----------------------------------------------


PACK_FILE = pgettext("file name", "meeting-pack")
PACK_STOPPED = _("the server stopped before this meeting pack was made: ask for it again")
PACK_ENDED = _(
    "the program that made the meeting pack ended without a message; ask again, or run 'flycam pack'"
)


@dataclass(frozen=True, slots=True)
class PackResult:
    """Hashes and classification of a written pack; "": none.

    flights_seen: all flights whose images it shows.
    """

    manifest_sha256: str = ""
    content_sha256: str = ""
    classification: str = ""
    flights_seen: tuple[str, ...] = ()


def make_pack(
    command: Sequence[str], pack: Pack, requested_by: str, out: Path, power: Power, stop: threading.Event
) -> PackResult | Message:
    """Write a pack into the folder `out`; return its result, or why it failed.

    A process of its own, ended once `stop` is set.
    """
    options = ["--out", str(out), "--language", pack.language, "--json", "--paper", pack.paper]
    options.append(f"--asked-by={requested_by}")
    if pack.approved_by:
        options += [f"--approved-by={pack.approved_by}", f"--of-draft={pack.content_sha256}"]
    if pack.account:
        options.append(f"--as={pack.account}")
    options = [*command, *options, "--", *pack.flights]
    ran = run_command(options, pack.owner, power, stop)
    if ran.code != 0:
        return ran.describe_failure(PACK_ENDED)
    answer = ran.json_answer
    return PackResult(
        manifest_sha256=str(answer.get("manifest_sha256", "")),
        content_sha256=str(answer.get("content_sha256", "")),
        classification=str(answer.get("classification", "")),
        flights_seen=tuple(map(str, answer.get("flights_seen", ()))),
    )


def zip_folder(folder: Path, path: Path) -> None:
    """Write the folder as a ZIP, uncompressed, as its images are compressed already.

    Files dated 1970 are of 1980 in it, the first year that ZIP knows.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for one in sorted(folder.rglob("*")):
            archive.write(one, one.relative_to(folder.parent))


def describe_pack_failure(error: Exception) -> Message:
    """Describe the error that kept a pack from being made or stored."""
    if isinstance(error, StorageFailed):
        return format_error(error)
    if isinstance(error, OSError):
        return _(
            "the meeting pack could not be kept on the server ({reason}); free some space there",
            reason=error.strerror,
        )
    return PACK_ENDED


# -- Queue of the packs that a server makes --------------------------------------------------------


MAX_WAITING_PACKS = 8
"""Packs that wait for their turn, of all accounts."""
PACK_BYTES = 2 * (256 << 20)
"""Bytes that a pack of some hundred photos takes while it is made: its folder or the store's copy, and the
ZIP."""
MAX_KEPT_PACKS = 8
"""Drafts that keep a file, and approved packs that do."""
_LEFTOVER_TTL_S = 86_400.0
_RETRY_S = 2.0
_LOG = logging.getLogger("flycam.serve")


class PackQueue:
    """Queue of packs that this server makes. `start` before, `stop` after serving."""

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
        """Fail packs that gone servers left unmade, and start to make requested ones.

        Raises CatalogUnavailable.
        """
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
        """End the work; packs that were not made are failed, to be requested again."""
        if self._thread is None:
            return
        self._stop.set()
        self._waiting.put(None)
        self._thread.join(2 * TERMINATE_TIMEOUT_S)
        self._thread = None
        try:
            for one in self._list_own_unfinished():
                self._known.mark_failed(one.pack_id, PACK_STOPPED, self._workspace.clock_ns())
        except StorageFailed:
            # the next server marks them as failed
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
        """Request a pack of flights, as far as the principal sees them.

        Returns the same one if it is pending, else a new one, on record. draft: the pack that the principal
        approves; the new one is its final. Raises StorageFailed (this server makes none), DiskFull, Refused
        429 (too many wait), StoreConflict (the draft was approved already).
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
                    _(
                        "{count} meeting packs are waiting already: ask again when one is made",
                        count=MAX_WAITING_PACKS,
                    ),
                    {"Retry-After": "30"},
                )
            require_pack_space(self._folder)
            if draft is None:
                what, detail = "pack asked", f"{wanted.paper}, {wanted.language}; {wanted.pack_id}"
            else:
                known_by = draft.manifest_sha256 or draft.pack_id
                alone = ", who approves it alone" if has_one_signatory(draft.owner, wanted.owner) else ""
                what, detail = "pack approved", f"draft {known_by} by {draft.owner}{alone}; {wanted.pack_id}"
            subject = " ".join((draft or wanted).flights_seen)
            pack = self._known.add(
                wanted,
                AuditEntry(
                    who=wanted.owner, what=what, subject=subject, detail=detail, at_ns=wanted.asked_ns
                ),
            )
            self._waiting.put(pack)
        return pack

    def all(self) -> list[Pack]:
        """Return listed packs that may be served, newest first.

        Raises CatalogUnavailable.
        """
        packs = self._known.all()
        withheld_ids = self._find_packs_showing_withheld(packs)
        return [one for one in packs if one.pack_id not in withheld_ids]

    def get(self, pack_id: str) -> Pack:
        """Return a pack. Raises NotFound."""
        pack = self._known.find(pack_id)
        if pack is None or pack.let_go_ns is not None:
            raise build_no_pack_error()
        return pack

    def file(self, pack: Pack) -> str:
        """Return the key of a made pack's ZIP.

        Raises NotFound, also where what it shows was withdrawn or redacted since it was begun: then it is
        neither served nor approved.
        """
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
        """Return, by pack id, who requested each pack, or the draft of an approved one."""
        owners = {one.pack_id: one.owner for one in packs}
        owners |= self._known.owners({one.draft_id for one in packs if one.draft_id} - set(owners))
        return {one.pack_id: owners.get(one.draft_id, one.owner) for one in packs}

    def _list_own_unfinished(self) -> list[Pack]:
        return [one for one in self._known.all() if one.is_pending and one.maker == self._maker]

    def _find_packs_showing_withheld(self, packs: Sequence[Pack]) -> set[str]:
        """Return ids of packs that show what was withdrawn or redacted since.

        Since they were begun, for any principal: withdrawn frames, and redacted ground (decision 0028).
        """
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
        """Return ids of frames that were withdrawn from these flights."""
        frames = self._workspace.catalog.frames
        return {one.frame_id for name in flights for one in frames.withdrawals(name)}

    # -- Worker thread -----------------------------------------------------------------------------

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

    def _make_pack(self, folder: Path, pack: Pack) -> Message | None:
        """Make and store one pack; return None, or why it failed."""
        folder.mkdir(parents=True, exist_ok=True)
        # the oldest failed packs, and folders that a gone server left for a day
        packs = self._known.all()
        for one in [one for one in packs if one.state is PackState.FAILED][MAX_KEPT_PACKS:]:
            self._delete_pack(one)
        under_way = {one.pack_id for one in packs if one.is_pending}
        for path in folder.iterdir():
            age_s = self._workspace.clock_ns() / 1e9 - path.stat().st_mtime
            if path.name not in under_way and age_s > _LEFTOVER_TTL_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        # again: others have written while it waited
        require_pack_space(folder)
        self._known.mark_making(pack.pack_id)
        withdrawn = {one.frame_id for one in self._workspace.catalog.frames.withdrawals()}
        masks = compute_redaction_fingerprints(self._masks.get_current())
        place = folder / pack.pack_id
        place.mkdir()
        inside = place / PACK_FILE.in_language(pack.language)
        try:
            asked_by = self.find_requesters([pack])[pack.pack_id]
            made = make_pack(self._command, pack, asked_by, inside, self._workspace.power, self._stop)
            if not isinstance(made, PackResult):
                return made
            zip_folder(inside, place / "pack.zip")
            # at once, so that folder, ZIP and the store's copy never lie on the disk together
            shutil.rmtree(inside)
            further_flights = tuple(one for one in made.flights_seen if one not in pack.flights)
            shown = replace(pack, flights_beside=further_flights)
            withheld = masks | (withdrawn & self._find_withdrawn_frames(shown.flights_seen))
            self._store_pack(replace(shown, withheld=tuple(sorted(withheld))), made, place / "pack.zip")
            return None
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _store_pack(self, pack: Pack, made: PackResult, path: Path) -> None:
        """Store the bytes, then the record that names them, then delete older packs."""
        size, sha256 = path.stat().st_size, compute_sha256(path)
        self._workspace.require_disk_space(size)
        key = keys.format_pack_key(pack.pack_id, sha256)
        self._workspace.store.put_file(key, path, durable=True)
        made_pack = replace(
            pack,
            ended_ns=self._workspace.clock_ns(),
            manifest_sha256=made.manifest_sha256,
            content_sha256=made.content_sha256,
            classification=made.classification,
            sha256=sha256,
            size_bytes=size,
        )
        if not self._known.mark_made(made_pack, self._build_audit_entry(made_pack, "pack kept")):
            self._workspace.store.delete(key)
            return
        self._delete_oldest(made_pack)

    def _record_failure(self, pack: Pack, why: Message) -> None:
        """Record a failure, as soon as the catalogue answers.

        Otherwise the pack would be pending for ever.
        """
        while True:
            try:
                reason = PACK_STOPPED if self._stop.is_set() else why
                self._known.mark_failed(pack.pack_id, reason, self._workspace.clock_ns())
                return
            except StorageFailed:
                if self._stop.wait(_RETRY_S):
                    # the next server records it
                    return

    def _delete_oldest(self, newest: Pack) -> None:
        """Delete the oldest made packs of this kind, now that the newest is on record.

        A pack that fails drives out none.
        """
        made = [one for one in self._known.all() if one.state is PackState.MADE]
        same_kind = [one for one in made if bool(one.approved_by) == bool(newest.approved_by)]
        for one in same_kind[MAX_KEPT_PACKS:]:
            self._delete_pack(one)

    def _delete_pack(self, pack: Pack) -> None:
        """Delete a pack, its record first.

        Bytes without a record are deleted by the next `_sweep`.
        """
        had_file = pack.state is PackState.MADE
        entry = self._build_audit_entry(pack, "pack let go") if had_file else None
        self._known.mark_deleted(pack.pack_id, self._workspace.clock_ns(), entry)
        if had_file:
            self._workspace.store.delete(keys.format_pack_key(pack.pack_id, pack.sha256))

    def _sweep(self) -> None:
        """Delete the bytes of failed or deleted packs, which a kill left.

        Bytes that no record knows are left alone: another catalogue may share the store.
        """
        try:
            for key in self._workspace.store.list(keys.format_pack_prefix()):
                pack = self._known.find(keys.parse_pack_key(key))
                if pack is not None and (pack.let_go_ns is not None or pack.state is PackState.FAILED):
                    self._workspace.store.delete(key)
        except StorageFailed:
            # the bytes stay until the next start
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
    """Return what makes two requests the same pack."""
    return pack.owner, pack.flights, pack.language, pack.rules, pack.paper, pack.approved_by, pack.draft_id


def build_no_pack_error() -> NotFound:
    """Return the error for a pack that is unknown, deleted or another account's."""
    return NotFound(_("there is no such meeting pack here: ask for it again"))


def require_pack_space(folder: Path) -> None:
    """Raise DiskFull, with the remedy, unless a pack leaves room for flights."""
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


# -- HTTP routes of briefing packs and quality reports ---------------------------------------------


# -- Quality report of a finished flight, as HTML or PDF -------------------------------------------


quality_router = APIRouter(dependencies=[Depends(require_viewer)])

_MEDIA_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}


@quality_router.get("/api/flights/{ref}/report", response_class=Response)
def get_quality_report(
    services: ServicesHere,
    ref: str,
    principal: ViewerPrincipal,
    kind: Literal["html", "pdf"] = "html",
    language: Literal["vi", "en"] = "vi",
    layer: Layer | None = None,
    revision: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Return the report of the published revision, or of the one named."""
    flight = find_visible_flight(services.workspace.catalog, ref, principal.access_policy)
    if principal.access_policy.touches_box(flight.bounds_lonlat_deg):
        raise build_withheld_error(flight.name, principal.name)
    data = get_report(services.workspace, ref, language, kind, revision, layer)
    name = quote(f"flycam-{ref}-{language}.{kind}")
    return Response(
        data,
        media_type=_MEDIA_TYPES[kind],
        headers={
            "Content-Disposition": f"inline; filename*=UTF-8''{name}",
            "Content-Security-Policy": build_standalone_policy(data if kind == "html" else b""),
            "Cache-Control": "private, no-cache",
        },
    )


# -- Briefing packs: request, review, approval, and download as one ZIP ----------------------------


router = APIRouter(route_class=GuardedRoute)

_MAX_FLIGHTS = 20


class PackRequestBody(BaseModel):
    """Flights (ids or names) of a pack, its language, and its quick report's paper."""

    flights: Annotated[
        list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=_MAX_FLIGHTS)
    ]
    language: Literal["vi", "en"] = "vi"
    paper: Literal["a4", "a3"] = "a4"


def _get_pack_queue(request: Request) -> PackQueue:
    packing: PackQueue = request.app.state.packing
    return packing


PackQueueHere = Annotated[PackQueue, Depends(_get_pack_queue)]


@router.put("/api/packs", status_code=202)
def request_pack(
    body: PackRequestBody, catalog: CatalogHere, packing: PackQueueHere, principal: OperatorPrincipal
) -> Json:
    """Request a pack. The same request, repeated while it is made, is the same pack."""
    flights = [_require_visible_flight(catalog, ref, principal).flight_id for ref in body.flights]
    pack = packing.request_pack(principal, list(dict.fromkeys(flights)), body.language, body.paper)
    return _describe_one_pack(packing, pack, principal)


@router.get("/api/packs")
def list_packs(catalog: CatalogHere, packing: PackQueueHere, principal: ViewerPrincipal) -> list[Json]:
    """List the packs that the account may download or approve, newest first.

    One's own, approved ones, and for analysts and administrators the drafts of others.
    """
    packs = packing.all()
    askers, approved = packing.find_requesters(packs), _find_approved_drafts(packs)
    return [
        _describe_pack(one, askers[one.pack_id], principal, has_final=one.pack_id in approved)
        for one in packs
        if _can_reach(catalog, one, principal)
    ]


@router.get("/api/packs/{pack_id}")
def get_pack_state(
    pack_id: str, catalog: CatalogHere, packing: PackQueueHere, principal: ViewerPrincipal
) -> Json:
    """Return a pack with its state: waiting, making, made or failed.

    A failed one has the reason in `sentence` and `sentence_vi`.
    """
    return _describe_one_pack(packing, _find_reachable_pack(catalog, packing, pack_id, principal), principal)


@router.put("/api/packs/{pack_id}/approved", status_code=202)
def approve_pack(
    pack_id: str, catalog: CatalogHere, packing: PackQueueHere, principal: AnalystPrincipal
) -> Json:
    """Approve a draft that is made, under the name of one's account.

    Begins to make the final pack (409: the draft is not made, or approved already). The audit log records
    what was approved by the draft's hash; where the content has changed since, the final pack fails with that
    reason. The requester may approve it too (decision 0039): then the log, the list and the paper state that
    it was one person.
    """
    draft = _find_reachable_pack(catalog, packing, pack_id, principal)
    if principal.account is None:
        raise AccessDenied(
            _(
                "a pack is approved by somebody with a name: make an account ('flycam account "
                "add NAME --role analyst'), sign in and approve it again"
            )
        )
    if draft.state is not PackState.MADE or draft.approved_by:
        raise StoreConflict(_("this meeting pack is not a finished draft: look at the list of packs again"))
    # raises NotFound: a pack that is no longer served is not approved either
    packing.file(draft)
    final = packing.request_pack(principal, draft.flights, draft.language, draft.paper, draft)
    return _describe_one_pack(packing, final, principal)


@router.get("/api/packs/{pack_id}/file", response_class=Response)
def get_pack_file(
    pack_id: str,
    request: Request,
    catalog: CatalogHere,
    store: StoreHere,
    packing: PackQueueHere,
    principal: ViewerPrincipal,
    part: RangeHere,
) -> Response:
    """Download the pack as one ZIP; ranges are honoured.

    The download is written to the audit log.
    """
    pack = _find_reachable_pack(catalog, packing, pack_id, principal)
    # again: more may be withheld by now
    for flight_id in pack.flights_seen:
        _require_visible_flight(catalog, flight_id, principal)
    _require_same_rules(pack, principal)
    key = packing.file(pack)
    size = store.size(key)
    start, stop = part.resolve(size, pack.sha256)
    if start >= stop:
        return build_unsatisfiable_response(size)
    openings: DownloadLog = request.app.state.openings
    openings.note_export(catalog.audit, principal.name, "pack fetched", " ".join(pack.flights_seen), pack_id)
    return stream_object(
        store,
        key,
        size,
        (start, stop),
        name=f"{PACK_FILE.in_language(pack.language)}-{pack.flights[0]}-{pack.language}.zip",
        etag=pack.sha256,
        media_type="application/zip",
        is_saved=True,
    )


def _require_visible_flight(catalog: Catalog, ref: str, principal: Principal) -> Flight:
    """Return a flight of which nothing is withheld: a pack shows whole flights.

    Raises NotFound, AccessDenied.
    """
    flight = find_visible_flight(catalog, ref, principal.access_policy)
    if principal.access_policy.touches_box(flight.bounds_lonlat_deg):
        raise build_withheld_error(flight.name, principal.name)
    return flight


def _require_same_rules(pack: Pack, principal: Principal) -> None:
    """Raise NotFound if the access policy differs from the one a pack was made under."""
    policy = principal.access_policy
    if not policy.is_nothing and policy.fingerprint != pack.rules:
        raise NotFound(_("what you may see has changed since this meeting pack was made: ask for a new one"))


def _find_reachable_pack(catalog: Catalog, packing: PackQueue, pack_id: str, principal: Principal) -> Pack:
    """Return a pack that the principal may know of.

    Raises NotFound, and AccessDenied for a draft where the principal makes none.
    """
    pack = packing.get(pack_id)
    if not _can_reach(catalog, pack, principal):
        if not principal.has_role(Role.OPERATOR) and not pack.approved_by:
            raise AccessDenied(
                _(
                    "{name}: this meeting pack is a draft; it can be fetched once it is approved",
                    name=principal.name,
                )
            )
        raise build_no_pack_error()
    return pack


def _can_reach(catalog: Catalog, pack: Pack, principal: Principal) -> bool:
    """Return True if a pack is visible to the principal.

    One's own; for administrators all; for others who see all that is in it: approved packs, and for those who
    may approve them drafts.
    """
    if pack.owner == principal.name or principal.has_role(Role.ADMIN):
        return True
    is_shown = bool(pack.approved_by) and pack.state is PackState.MADE
    if not is_shown and not principal.has_role(Role.ANALYST):
        return False
    try:
        for flight_id in pack.flights_seen:
            _require_visible_flight(catalog, flight_id, principal)
        _require_same_rules(pack, principal)
    except (NotFound, AccessDenied):
        return False
    return True


def _describe_one_pack(packing: PackQueue, pack: Pack, principal: Principal) -> Json:
    has_final = pack.pack_id in _find_approved_drafts(packing.all())
    return _describe_pack(pack, packing.find_requesters([pack])[pack.pack_id], principal, has_final=has_final)


def _find_approved_drafts(packs: Sequence[Pack]) -> set[str]:
    """Return ids of drafts whose final pack is among these, made or pending."""
    return {one.draft_id for one in packs if one.draft_id and one.state is not PackState.FAILED}


def _describe_pack(pack: Pack, requested_by: str, principal: Principal, *, has_final: bool) -> Json:
    """Describe a pack for JSON.

    `has_final`: of a draft: it was approved, and its final pack is made or pending. `is_one_person`: the
    requester approved it too; of a draft, would approve it if that is the principal.
    """
    return {
        "pack_id": pack.pack_id,
        "state": pack.state.value,
        "flights": list(pack.flights),
        "language": pack.language,
        "paper": pack.paper,
        "owner": pack.owner,
        "asked_by": requested_by,
        "approved_by": pack.approved_by or None,
        "has_final": has_final,
        "is_one_person": has_one_signatory(requested_by, pack.approved_by or principal.name),
        "asked": format_iso(pack.asked_ns),
        "made": format_iso_or_none(pack.ended_ns if pack.state is PackState.MADE else None),
        "size": pack.size_bytes,
        **(verbatim("") if pack.why is None else pack.why).to_fields(),
    }
