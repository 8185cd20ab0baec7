"""All works by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flycam.drill.photo_drill import DrillReport
from tests.faults.works import Work, finishing, ingesting, withdrawing
from tests.faults.works_between import reading, receiving, uploading, writing
from tests.faults.works_kept import comparing, filming, restoring, saving, verifying

WORKS: dict[str, Callable[[DrillReport, Path], Work]] = {
    "ingest": ingesting,
    "upload": uploading,
    "sync receive": receiving,
    "bundle read": reading,
    "bundle write": writing,
    "withdraw": withdrawing,
    "finish": finishing,
    "live": filming,
    "compare": comparing,
    "verify": verifying,
    "backup": saving,
    "restore": restoring,
}
"""Each of a rehearsal flight and a folder for what it needs besides its house."""
