"""Names of kinds of field marks and of their states."""

from __future__ import annotations

from flycam.frame.mark import MarkKind, MarkStatus
from flycam.messages import pgettext

MARK_KIND_NAMES = {
    MarkKind.RESCUE: pgettext("field mark", "people to rescue"),
    MarkKind.BLOCKED: pgettext("field mark", "road blocked"),
    MarkKind.CRACK: pgettext("field mark", "crack"),
    MarkKind.LANDING: pgettext("field mark", "landing place"),
    MarkKind.ASSEMBLY: pgettext("field mark", "assembly point"),
    MarkKind.OTHER: pgettext("field mark", "other"),
    MarkKind.SECTOR: pgettext("field mark", "search sector"),
}
MARK_STATUS_NAMES = {
    MarkStatus.OPEN: pgettext("field mark", "reported, not verified"),
    MarkStatus.DOING: pgettext("field mark", "being dealt with"),
    MarkStatus.DONE: pgettext("field mark", "done"),
    MarkStatus.REMOVED: pgettext("field mark", "removed"),
}
