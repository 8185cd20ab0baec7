"""Audit of downloads: photos, videos and exports, each once a minute.

Many ranges of one file are then one line of the audit log.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from flycam.catalog.audit import Audit
from flycam.catalog.records import FrameRecord
from flycam.catalog.video_segments import VideoSegment

DOWNLOAD_WINDOW_S = 60.0
# an entry that is forgotten is logged twice, never left out
_MAX_REMEMBERED = 4096


class DownloadLog:
    """Downloads that this process logged in the last minute.

    Memory is bounded; safe to use from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._written: OrderedDict[tuple[str, str, str, str], float] = OrderedDict()

    def note(self, audit: Audit, who: str, frame: FrameRecord) -> None:
        """Log that `who` opens this photo, unless logged less than DOWNLOAD_WINDOW_S ago.

        Raises CatalogUnavailable when it cannot be written: then the photo must not be served.
        """
        self._once(audit, who, "photo opened", frame.frame_id, frame.header.provenance.source_name)

    def note_video(self, audit: Audit, who: str, piece: VideoSegment) -> None:
        """Log that `who` opens a flight's video at this segment.

        Further ranges within DOWNLOAD_WINDOW_S belong to it.
        """
        self._once(audit, who, "video opened", piece.flight_id, piece.sha256)

    def note_guest(self, audit: Audit, guest_id: str, address: str) -> None:
        """Log that a guest link was opened from an address."""
        self._once(audit, guest_id, "guest link opened", address, "")

    def note_export(self, audit: Audit, who: str, what: str, subject: str, detail: str) -> bool:
        """Log that `who` downloads an export; return True if it was not logged already.

        what: "changes exported", …. Raises as `note`.
        """
        return self._once(audit, who, what, subject, detail, beside=detail)

    def _once(
        self, audit: Audit, who: str, what: str, subject: str, detail: str, *, beside: str = ""
    ) -> bool:
        key = (who, what, subject, beside)
        with self._lock:
            now = self._clock()
            last = self._written.get(key)
            if last is not None and now - last < DOWNLOAD_WINDOW_S:
                return False
            audit.append(who, what, subject, detail)
            self._written[key] = now
            self._written.move_to_end(key)
            while len(self._written) > _MAX_REMEMBERED:
                self._written.popitem(last=False)
        return True
