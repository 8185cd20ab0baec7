"""Retry of a recipe whose store or database becomes unavailable while it runs.

A recipe resumes where it was cut: what was recorded is not made anew. So the whole recipe is called again,
once both respond, and needs no retry code of its own. Meanwhile it holds no lock. Only transient errors are
waited for, and only once the work has begun: a wrong address is reported at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from flycam.errors import CatalogUnavailable, PeerUnavailable, StoreUnavailable
from flycam.frame.timestamp import VIETNAM
from flycam.messages import Message, _
from flycam.pipeline.live.retry_policy import TRANSIENT_ERRORS, RetryPolicy
from flycam.pipeline.live.wait_notice import NoticeListener, ignore_notice
from flycam.pipeline.store_probe import check_store_writable
from flycam.pipeline.workspace import Progress, Workspace

MAX_OUTAGE_S = 3600.0
"""Longest wait for each outage; a longer one needs a person."""

_MAX_RETRIES, _LONG_S = 3, 60.0
"""Number of retries in a row that may fail within this time though both respond; beyond, the cause is
another.
"""

_PAUSE_S = 1.0

Report = TypeVar("Report")


def retry_on_outage(
    workspace: Workspace,
    work: Callable[[Progress], Report],
    progress: Progress,
    say: NoticeListener = ignore_notice,
    stopped: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Return what `work` reports, calling it again after each outage.

    Outages are of store or database.

    work     takes a progress listener; can be called again after it failed
    say      receives a notice when they become unavailable, and when work resumes
    stopped  polled during an outage: once True, only a few seconds more are waited

    Raises what `work` raises; StoreUnavailable and CatalogUnavailable before its first progress, after an
    hour, on a request to stop, and where both respond and it fails all the same; PeerUnavailable.
    """
    begun = ProgressProbe(progress)
    in_vain = 0
    while True:
        began_s = time.monotonic()
        try:
            return work(begun)
        except TRANSIENT_ERRORS as error:
            in_vain = 0 if time.monotonic() - began_s > _LONG_S else in_vain
            is_ours = not isinstance(error, PeerUnavailable)
            if not is_ours or not begun.is_so or in_vain >= _MAX_RETRIES or stopped():
                raise
            say(_describe_outage(workspace.clock_ns(), error))
        patience = RetryPolicy(workspace.clock_ns, stopped, MAX_OUTAGE_S)
        # a server that is shutting down may respond once more
        sleep(_PAUSE_S)
        patience(lambda: _probe_services(workspace))
        in_vain = 0 if patience.away_s else in_vain + 1
        say(
            _(
                "store and database answer again after {seconds:.0f} s: it goes on",
                seconds=patience.away_s + _PAUSE_S,
            )
        )


class ProgressProbe:
    """Progress listener that records whether any progress was reported.

    stage: only progress of this stage counts; None: of any.
    """

    def __init__(self, progress: Progress, stage: str | None = None) -> None:
        self._progress, self._stage, self.is_so = progress, stage, False

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.is_so |= self._stage in (None, stage)
        self._progress(stage, done, total)


def _probe_services(workspace: Workspace) -> None:
    workspace.catalog.flights.events()
    check_store_writable(workspace)


def _describe_outage(now_ns: int, error: StoreUnavailable | CatalogUnavailable) -> Message:
    since = datetime.fromtimestamp(now_ns / 1e9, UTC)
    utc, vietnam = f"{since:%H:%M:%S}", f"{since.astimezone(VIETNAM):%H:%M:%S}"
    return _(
        "store or database away since {since} UTC: what is done is kept, and it goes on once they are back "
        "({error})",
        since=utc,
        since_vi=vietnam,
        error=error.message,
    )
