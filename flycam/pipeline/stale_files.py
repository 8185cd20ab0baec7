"""Search for files that interrupted runs leave behind: stage files, copies of photos, tiles of revisions that
are no longer shown. Found here, deleted by `flycam.pipeline.garbage_collection`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from flycam.catalog.records import RevisionRecord, RevisionState
from flycam.pipeline.cache_layout import LIVE_DIR_PREFIX, ORIGINALS_DIR, PERMANENT_ENTRIES, STAGES_DIR
from flycam.pipeline.workspace import Workspace


def find_retirement_times(
    workspace: Workspace, mosaic_id: str, last_line_ns: Mapping[int, int]
) -> Mapping[int, int]:
    """Find since when (UTC ns) retired revisions are not shown, by number.

    last_line_ns  when the last log line of each revision was written

    A revision retired by a withdrawal: since that withdrawal. An abandoned one was never shown: since its
    last log line.
    """
    withdrawn = {}
    flight_id = workspace.catalog.tiles.mosaic(mosaic_id).flight_id
    for one in workspace.catalog.frames.withdrawals(flight_id):
        withdrawn[one.frame_id] = one.withdrawn_ns
    return {
        record.revision: _retired_ns(workspace, record, withdrawn, last_line_ns)
        for record in workspace.catalog.revisions.list_for_mosaic(mosaic_id)
        if record.state is RevisionState.RETIRED
    }


def _retired_ns(
    workspace: Workspace,
    record: RevisionRecord,
    withdrawn: Mapping[str, int],
    last_line_ns: Mapping[int, int],
) -> int:
    frames = workspace.catalog.revisions.frames(record.mosaic_id, record.revision)
    gone = (withdrawn.get(frame.frame_id, 0) for frame in frames)
    return max(record.made_ns, last_line_ns.get(record.revision, 0), *gone, 0)


def find_stale_stage_folders(workspace: Workspace, flight_id: str, old_ns: int) -> Iterator[Path]:
    """Find stage files of runs of `finish` that nobody resumed since `old_ns`.

    Call only while the flight's finish lock is held.
    """
    yield from _older(workspace.cache_dir / STAGES_DIR / flight_id, old_ns)


def find_stale_copies(workspace: Workspace, old_ns: int) -> Iterator[Path]:
    """Find local copies of photos fetched before `old_ns`, and partial files.

    Partial files are of killed processes. Copies of registered terrain are read often and stay, and so do
    video and telemetry of live flights that are not stored yet.
    """
    in_use = {record.sha256 for record in workspace.catalog.terrain.dems()}
    for folder in _older(workspace.cache_dir / ORIGINALS_DIR, old_ns):
        if folder.name not in in_use:
            yield folder
    for path in _older(workspace.cache_dir, old_ns):
        if path.name not in PERMANENT_ENTRIES and not path.name.startswith(LIVE_DIR_PREFIX):
            yield path


def _older(folder: Path, old_ns: int) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if _newest_ns(path) <= old_ns)


def _newest_ns(path: Path) -> int:
    """Return the newest modification time of a path or anything below it, UTC ns.

    Files that disappear meanwhile do not count.
    """
    newest = 0
    for one in (path, *path.rglob("*")):
        try:
            newest = max(newest, one.stat().st_mtime_ns)
        except FileNotFoundError:
            continue
    return newest


def measure_disk_usage(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def delete_path(path: Path) -> int:
    """Delete a file or a folder; return its bytes.

    What cannot be deleted stays for the next time.
    """
    size = measure_disk_usage(path)
    if path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
    return size
