"""A house put back from a backup, into an empty place.

    manifest -> every file read against its hash -> objects -> catalogue, last and in one step

Nothing is written before the whole backup has been read and found whole. The catalogue comes last: until then
the place is empty to everybody, and a restore that was cut short is done again over what it had put there.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flycam.errors import InputUnusable, NotWhole, ObjectMissing, SourceUnreadable
from flycam.ingest.photos import sha256_of
from flycam.pipeline.backup_place import OBJECTS, Manifest, read_manifest, read_sums
from flycam.pipeline.evidence import blocks
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.readback import BLOCK_BYTES
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.store.base import ObjectStore

_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreReport:
    """written: objects that were not there already, of a restore that was cut short before."""

    folder: Path
    manifest: Manifest
    written: int
    seconds: float


def restore(workspace: Workspace, folder: Path, progress: Progress = silent) -> RestoreReport:
    """Put the house of a backup into this workspace, which is empty; see the recipe above.

    Raises SourceUnreadable (no backup), NotWhole (the backup is damaged: nothing is written), InputUnusable
    (the place is not empty), StorageTrouble (run again: it goes on).
    """
    began_ns = workspace.clock_ns()
    manifest = manifest_of(folder)
    _require_empty(workspace, folder, manifest)
    check_backup(folder, manifest, progress)
    written = _put_objects(workspace.store, folder, manifest, progress)
    workspace.store.flush()
    _fill_catalogue(workspace, folder, manifest)
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "restore",
        str(folder),
        f"{manifest.objects} objects of {manifest.box}, {manifest.sums} {manifest.sums_sha256}",
        at_ns=workspace.clock_ns(),
    )
    seconds = (workspace.clock_ns() - began_ns) / 1e9
    return RestoreReport(folder=folder, manifest=manifest, written=written, seconds=seconds)


def manifest_of(folder: Path) -> Manifest:
    """The manifest of the backup in a folder. Raises SourceUnreadable where there is none."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise SourceUnreadable(
            f"{folder}: there is no backup here, or it was never completed; name the folder that 'flycam "
            "backup' was given",
            vi=f"{folder}: ở đây không có bản sao lưu, hoặc chưa sao lưu xong; hãy ghi thư mục đã dùng với "
            "'flycam backup'",
        )
    return manifest


def check_backup(folder: Path, manifest: Manifest, progress: Progress = silent) -> None:
    """Read every file of a backup against its hash; memory does not grow with it. Raises NotWhole, naming
    the first that are not as they were written."""
    if _digest(folder / manifest.sums) != manifest.sums_sha256:
        raise _not_whole(folder, [manifest.sums])
    bad: list[str] = []
    files = read_sums(folder / manifest.sums)
    checks = ordered_map(partial(_checked, folder), files, workers_here(), 4 * workers_here())
    for count, (name, whole) in enumerate(checks, start=1):
        if not whole:
            bad.append(name)
        progress("verify", count, manifest.objects + 1)
    if bad:
        raise _not_whole(folder, bad)


def _checked(folder: Path, line: tuple[str, str]) -> tuple[str, bool]:
    sha256, name = line
    return name, _digest(folder / name) == sha256


def _digest(path: Path) -> str:
    """SHA-256 of a file, "" where it cannot be read."""
    try:
        return sha256_of(path)
    except SourceUnreadable:
        return ""


def _keys(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(SHA-256, key) of the objects, by key."""
    for sha256, name in read_sums(folder / manifest.sums):
        if name.startswith(f"{OBJECTS}/"):
            yield sha256, name.removeprefix(f"{OBJECTS}/")


def _require_empty(workspace: Workspace, folder: Path, manifest: Manifest) -> None:
    """Objects of this very backup may lie there already: a restore that was cut short put them there."""
    if not workspace.catalog.is_empty():
        raise _not_empty(workspace.catalog.place)
    ours = (key for _, key in _keys(folder, manifest)) if (folder / manifest.sums).is_file() else iter(())
    mine = next(ours, "")
    for key in workspace.store.list(""):
        while mine and mine < key:
            mine = next(ours, "")
        if key != mine:
            raise _not_empty(key)


def _put_objects(store: ObjectStore, folder: Path, manifest: Manifest, progress: Progress) -> int:
    """Write the objects that the store has not whole; how many."""
    written = 0
    work = partial(_put, store, folder)
    puts = ordered_map(work, _keys(folder, manifest), workers_here(), 4 * workers_here())
    for count, was_written in enumerate(puts, start=1):
        written += was_written
        progress("restore", count, manifest.objects)
    return written


def _put(store: ObjectStore, folder: Path, line: tuple[str, str]) -> bool:
    sha256, key = line
    if _stored(store, key) == sha256:
        return False
    store.put_file(key, folder / OBJECTS / key)
    return True


def _stored(store: ObjectStore, key: str) -> str:
    digest = hashlib.sha256()
    try:
        for block in blocks(store, key, BLOCK_BYTES):
            digest.update(block)
    except ObjectMissing:
        return ""
    return digest.hexdigest()


def _fill_catalogue(workspace: Workspace, folder: Path, manifest: Manifest) -> None:
    """From a copy: an older catalogue is widened when it is opened, and a backup is never written."""
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.cache_dir) as scratch:
        copy = Path(scratch) / "catalogue.sqlite"
        shutil.copyfile(folder / manifest.catalogue, copy)
        workspace.catalog.fill(copy)


def _not_whole(folder: Path, bad: list[str]) -> NotWhole:
    named = ", ".join(bad[:_NAMED]) + (", …" if len(bad) > _NAMED else "")
    return NotWhole(
        f"{folder}: {len(bad)} files of this backup are not as they were written ({named}); nothing was "
        "restored: use another copy of it",
        vi=f"{folder}: {len(bad)} tệp trong bản sao lưu không còn như lúc ghi ({named}); chưa khôi phục gì: "
        "hãy dùng bản sao khác",
    )


def _not_empty(what: str) -> InputUnusable:
    return InputUnusable(
        f"{what}: a house is restored into an empty place only; name a new folder with --data (and an empty "
        "FLYCAM_STORE and FLYCAM_DATABASE)",
        vi=f"{what}: chỉ khôi phục vào chỗ trống; hãy ghi thư mục mới bằng --data (cùng FLYCAM_STORE và "
        "FLYCAM_DATABASE trống)",
    )
