"""The scrub: everything that the house holds is read back and held against its hash.

    holdings -> parts, the longest unread first -> read each object -> mend -> read again -> tick the part off

What can be made again is made again by the writers that made it; originals come back from a card, a folder or
a backup that still has them (`upkeep.verify_originals`). The rest is listed, each with its cure.
Killed anywhere, the next run reads what was not ticked off first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flycam.errors import NotFound, NotWhole, OptionUnusable
from flycam.messages import _, ngettext
from flycam.pipeline.collect import DAY_S
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.upkeep.audit import AuditProof, audit_trouble, prove_audit
from flycam.pipeline.upkeep.held import Held, Holdings, Kind, Part, was_let_go
from flycam.pipeline.upkeep.readback import Read, State, read_back
from flycam.pipeline.upkeep.tally import Tally
from flycam.pipeline.upkeep.verify_cures import Cure, cure_of
from flycam.pipeline.upkeep.verify_flights import FlightMender
from flycam.pipeline.upkeep.verify_ledger import Ledger
from flycam.pipeline.upkeep.verify_originals import Originals
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.store import keys


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRequest:
    """What is to be read, and what may be done.

    since_s  leave out what was read back whole within so many seconds; None: nothing
    share    of all parts (0 to 1), those that were not read for longest
    source   a card, a folder or a backup from which lost and damaged objects are put back
    mend     make again what can be made again
    """

    since_s: float | None = None
    share: float = 1.0
    source: Path | None = None
    mend: bool = True


EVERYTHING = VerifyRequest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """An object that was lost or damaged. flight: the name of its flight; cure: None once it is mended."""

    held: Held
    state: State
    flight: str
    cure: Cure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What was read, and how it was found.

    left       parts that were not read, because less was asked for
    let_go     originals that were let go here under a retention term: they are not lost
    catalogue  what the database found wrong with its own file
    """

    objects: int
    size: int
    parts: int
    left: int
    let_go: int
    damages: tuple[Damage, ...]
    catalogue: tuple[str, ...]
    audit: AuditProof
    seconds: float

    @property
    def standing(self) -> list[Damage]:
        """What is still lost or damaged."""
        return [one for one in self.damages if one.cure is not None]

    @property
    def trouble(self) -> NotWhole | None:
        """What there is to say to whoever waits for the exit code."""
        if self.standing:
            count, first = len(self.standing), self.standing[0].held.key
            return NotWhole(
                ngettext(
                    "{count} object is lost or damaged (the first: {first}); each is listed with its cure",
                    "{count} objects are lost or damaged (the first: {first}); each is listed with its cure",
                    count,
                    first=first,
                )
            )
        if self.catalogue:
            return NotWhole(
                _(
                    "the catalogue's file is damaged ({catalogue}); restore the last backup",
                    catalogue=self.catalogue[0],
                )
            )
        return audit_trouble(self.audit)


def verify(
    workspace: Workspace, request: VerifyRequest = EVERYTHING, progress: Progress = silent
) -> VerifyReport:
    """Read everything back, mend what can be mended, and say how the rest stands; see the recipe above.

    Memory: a few blocks of 4 MB, one tile a worker, and about 500 bytes a photo; mending takes what the
    writers take. Raises OptionUnusable, StorageTrouble (store or database do not answer; run again: it goes
    on).
    """
    began_ns = workspace.clock_ns()
    _check(request)
    catalogue, audit = tuple(workspace.catalog.check()), prove_audit(workspace)
    holdings = Holdings(workspace.catalog, workspace.store, workspace.box)
    ledger = Ledger(workspace.cache_dir, began_ns)
    every = holdings.parts()
    parts = _due(every, ledger, request, began_ns)
    originals = Originals(workspace, request.source)
    damages: list[Damage] = []
    tally = Tally("verify", sum(map(holdings.size_of, parts)), progress)
    for part in parts:
        bad, here = _found(_read(workspace, holdings.of(part), tally))
        if request.mend:  # of those that an older flycam put there nothing is noted yet
            workspace.catalog.kept_originals.note(here)
        found = _mended(workspace, part, bad, originals, request, progress)
        damages += found
        if all(one.cure is None for one in found):
            ledger.tick(part, workspace.clock_ns())
    tally.end()
    report = VerifyReport(
        objects=tally.done,
        size=tally.size,
        parts=len(parts),
        left=len(every) - len(parts),
        let_go=len(holdings.let_go),
        damages=tuple(damages),
        catalogue=catalogue,
        audit=audit,
        seconds=(workspace.clock_ns() - began_ns) / 1e9,
    )
    if damages and request.mend:
        _record(workspace, report)
    return report


def _read(workspace: Workspace, objects: Iterable[Held], tally: Tally) -> Iterator[Read]:
    """Read objects back in several threads, a bounded number of them at a time."""
    workers = workers_here()
    for read in ordered_map(partial(read_back, workspace.store), objects, workers, 4 * workers):
        tally.one(read.size)
        yield read


def _found(reads: Iterable[Read]) -> tuple[list[Read], list[str]]:
    """What is lost or damaged, and of which photos (SHA-256) bytes are here."""
    bad: list[Read] = []
    here: list[str] = []
    for read in reads:
        if read.state is not State.WHOLE:
            bad.append(read)
        if read.held.kind is Kind.PHOTO and read.state is not State.LOST:
            here.append(keys.hash_in(read.held.key))
    return bad, here


def _check(request: VerifyRequest) -> None:
    if not 0.0 < request.share <= 1.0:
        raise OptionUnusable(_("--share {share:g}: give a part of 1, such as 0.1", share=request.share))
    if request.since_s is not None and not request.since_s >= 0.0:
        raise OptionUnusable(
            _("--since {since_s:g}: give a number of days, 0 or more", since_s=request.since_s / DAY_S)
        )
    if request.source is not None and not request.source.is_dir():
        raise OptionUnusable(
            _(
                "--from {source}: there is no such folder; give a card, a folder or a backup",
                source=request.source,
            )
        )


def _due(parts: Sequence[Part], ledger: Ledger, request: VerifyRequest, now_ns: int) -> list[Part]:
    """The parts to be read, those that were not for longest; originals before what is made of them."""
    due = ledger.oldest_first(parts)
    if request.since_s is not None:
        old_ns = now_ns - int(request.since_s * 1e9)
        due = [part for part in due if ledger.read_ns(part) < old_ns]
    return sorted(due[: math.ceil(request.share * len(parts))], key=lambda part: part.flight is not None)


def _mended(
    workspace: Workspace,
    part: Part,
    bad: Sequence[Read],
    originals: Originals,
    request: VerifyRequest,
    progress: Progress,
) -> list[Damage]:
    """What was found bad in a part, each mended or with its cure."""
    bad = [read for read in bad if not was_let_go(workspace, read.held)]
    if not bad:
        return []
    busy: frozenset[str] = frozenset()
    left = list(bad)
    if request.mend:
        left = [read for read in left if not originals.put_back(read)]
        if part.flight is not None and left:
            mender = FlightMender(workspace, part.flight, originals, progress)
            left = mender.mend(left)
            busy = mender.busy
    cures = {
        read.held.key: cure_of(read.held, is_busy=read.held.key in busy, was_tried=request.mend)
        for read in left
    }
    return [
        Damage(
            held=read.held,
            state=read.state,
            flight=_flight_name(workspace, read.held),
            cure=cures.get(read.held.key),
        )
        for read in bad
    ]


def _flight_name(workspace: Workspace, held: Held) -> str:
    try:
        return workspace.catalog.flights.flight(held.flight_id).name if held.flight_id else ""
    except NotFound:
        return held.flight_id


def _record(workspace: Workspace, report: VerifyReport) -> None:
    mended = len(report.damages) - len(report.standing)
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "verify",
        workspace.box,
        f"{mended} objects made again or put back, {len(report.standing)} still lost or damaged",
        at_ns=workspace.clock_ns(),
    )
