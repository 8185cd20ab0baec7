"""Restore of a node from a backup, into an empty place.

    manifest -> list of hashes and catalogue verified -> objects -> catalogue, last and atomically

Every object is verified as it is copied; a damaged one is left out and reported, so that the rest of a backup
is restored, and `verify` can repair the rest. The catalogue comes last: until then the place appears empty,
and an interrupted restore is repeated over its own files, also where the catalogue was complete but the
restore not yet reported.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import IO

from flycam.catalog.catalog import has_rows_only
from flycam.concurrency import count_workers, map_ordered
from flycam.errors import DataDamaged, InputUnusable, ObjectMissing, SourceUnreadable
from flycam.messages import _, ngettext
from flycam.operations.backup import (
    INDEX,
    OBJECTS,
    BackupManifest,
    compute_file_digest,
    read_backup_manifest,
    read_sums,
)
from flycam.operations.inventory import BLOCK_BYTES
from flycam.originals import make_copy_error, stream_blocks
from flycam.storage.files import open_regular
from flycam.storage.keys import ObjectStore
from flycam.workspace import Progress, Workspace, ignore_progress

_NAMED = 5
_ACTION = "restore"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreReport:
    """Result of a restore.

    written     objects that were not there already from an interrupted restore
    unreadable  keys of objects that are damaged in the backup, and left out
    """

    folder: Path
    manifest: BackupManifest
    written: int
    unreadable: tuple[str, ...]
    seconds: float

    @property
    def error(self) -> DataDamaged | None:
        """Error for a backup that has lost objects since it was written."""
        if not self.unreadable:
            return None
        count, named = len(self.unreadable), _some_of(self.unreadable)
        return DataDamaged(
            ngettext(
                "{folder}: restored, but {count} object is left out, damaged in it ({names}); run "
                "'flycam verify', with --from another copy or the cards if there is one",
                "{folder}: restored, but {count} objects are left out, damaged in it ({names}); run "
                "'flycam verify', with --from another copy or the cards if there is one",
                count,
                folder=self.folder,
                names=named,
            )
        )


def restore_backup(workspace: Workspace, folder: Path, progress: Progress = ignore_progress) -> RestoreReport:
    """Restore a backup into this workspace, which must be empty, in the steps above.

    Raises SourceUnreadable (no backup), DataDamaged (its list of hashes or its catalogue is damaged: nothing
    is written), InputUnusable (the place is not empty), StorageFailed (run again: it resumes).
    """
    began_ns = workspace.clock_ns()
    manifest = require_manifest(folder)
    was_restored = _is_restored(workspace, manifest)
    if not was_restored:
        _require_empty(workspace, folder, manifest)
    sha256 = _listed_catalogue(folder, manifest)
    with _scratch(workspace, folder) as scratch:
        catalogue = _catalogue(folder, manifest, sha256, scratch)
        written, left_out = _put_objects(workspace.store, folder, manifest, scratch, progress)
        # objects are durable before the catalogue names them
        workspace.store.flush()
        if not was_restored:
            workspace.catalog.fill(catalogue)
    if not _is_restore_logged(workspace, manifest):
        workspace.catalog.audit.append(
            workspace.operator or workspace.box,
            _ACTION,
            str(folder),
            f"{manifest.objects - len(left_out)} of {manifest.objects} objects of {manifest.box}, "
            f"{_named_by(manifest)}",
            at_ns=workspace.clock_ns(),
        )
    seconds = (workspace.clock_ns() - began_ns) / 1e9
    return RestoreReport(
        folder=folder, manifest=manifest, written=written, unreadable=tuple(left_out), seconds=seconds
    )


def require_manifest(folder: Path) -> BackupManifest:
    """Read the manifest of a backup. Raises SourceUnreadable if there is none."""
    manifest = read_backup_manifest(folder)
    if manifest is None:
        raise SourceUnreadable(
            _(
                "{folder}: there is no backup here, or it was never completed; name the "
                "folder that 'flycam backup' was given",
                folder=folder,
            )
        )
    return manifest


def verify_backup(
    folder: Path, manifest: BackupManifest, progress: Progress = ignore_progress
) -> tuple[str, ...]:
    """Verify every file of a backup by its hash; return the names of damaged ones.

    Raises DataDamaged if the list of hashes or the catalogue is damaged: nothing can be restored then.
    """
    _listed_catalogue(folder, manifest)
    bad: list[str] = []
    files = read_sums(folder / manifest.sums)
    checks = map_ordered(partial(_checked, folder), files, count_workers(), 4 * count_workers())
    for count, (name, is_intact) in enumerate(checks, start=1):
        if not is_intact:
            bad.append(name)
        progress("verify", count, manifest.objects + 1)
    if manifest.catalogue in bad or not has_rows_only(folder / manifest.catalogue):
        raise _make_useless_error(folder, manifest.catalogue)
    return tuple(bad)


def make_backup_error(folder: Path, bad: Sequence[str]) -> DataDamaged | None:
    """Make the error for a backup with damaged files."""
    if not bad:
        return None
    named = _some_of(bad)
    return DataDamaged(
        ngettext(
            "{folder}: {count} file is damaged in this backup ({names}); remove {index} "
            "there and run 'flycam backup' again: it reads all of them, and copies again "
            "what the data folder has",
            "{folder}: {count} files are damaged in this backup ({names}); remove {index} "
            "there and run 'flycam backup' again: it reads all of them, and copies again "
            "what the data folder has",
            len(bad),
            folder=folder,
            names=named,
            index=INDEX,
        )
    )


def _checked(folder: Path, line: tuple[str, str]) -> tuple[str, bool]:
    sha256, name = line
    return name, compute_file_digest(folder / name) == sha256


def _listed_catalogue(folder: Path, manifest: BackupManifest) -> str:
    """Return the catalogue's SHA-256, once the list of hashes is verified.

    Raises DataDamaged.
    """
    if compute_file_digest(folder / manifest.sums) != manifest.sums_sha256:
        raise _make_useless_error(folder, manifest.sums)
    listed = [sha256 for sha256, name in read_sums(folder / manifest.sums) if name == manifest.catalogue]
    if not listed:
        raise _make_useless_error(folder, manifest.catalogue)
    return listed[0]


def _keys(folder: Path, manifest: BackupManifest) -> Iterator[tuple[str, str]]:
    """Yield (SHA-256, key) of the objects, by key."""
    for sha256, name in read_sums(folder / manifest.sums):
        if name.startswith(f"{OBJECTS}/"):
            yield sha256, name.removeprefix(f"{OBJECTS}/")


def _is_restored(workspace: Workspace, manifest: BackupManifest) -> bool:
    """Return True if the catalogue is this backup's, and unchanged since.

    Then a restore was interrupted before it was reported.
    """
    last = workspace.catalog.audit.last()
    if last is None:
        return False
    return manifest.audit_head == (last.seq, last.digest) or _is_restore_logged(workspace, manifest)


def _is_restore_logged(workspace: Workspace, manifest: BackupManifest) -> bool:
    """Return True if the last audit line is of the restore of this very backup."""
    last = workspace.catalog.audit.last()
    return last is not None and last.what == _ACTION and last.detail.endswith(_named_by(manifest))


def _named_by(manifest: BackupManifest) -> str:
    return f"{manifest.sums} {manifest.sums_sha256}"


def _require_empty(workspace: Workspace, folder: Path, manifest: BackupManifest) -> None:
    """Raise InputUnusable unless the place is empty.

    Objects of this very backup may be there. Those come from an interrupted restore.
    """
    if not workspace.catalog.is_empty():
        raise _make_not_empty_error(workspace.catalog.place)
    own_keys = (key for _, key in _keys(folder, manifest)) if (folder / manifest.sums).is_file() else iter(())
    own_key = next(own_keys, "")
    # both lists are sorted by key, so they are merged without holding either
    for key in workspace.store.list(""):
        while own_key and own_key < key:
            own_key = next(own_keys, "")
        if key != own_key:
            raise _make_not_empty_error(key)


def _put_objects(
    store: ObjectStore, folder: Path, manifest: BackupManifest, scratch: Path, progress: Progress
) -> tuple[int, list[str]]:
    """Write objects that the store lacks or has damaged.

    Returns (number written, keys damaged in the backup).
    """
    written, left_out = 0, []
    work = partial(_put, store, folder, scratch)
    puts = map_ordered(work, _keys(folder, manifest), count_workers(), 4 * count_workers())
    for count, (key, put) in enumerate(puts, start=1):
        written += put is _Put.WRITTEN
        if put is _Put.NOT_WHOLE:
            left_out.append(key)
        progress("restore", count, manifest.objects)
    return written, left_out


class _Put(Enum):
    WRITTEN = auto()
    WAS_THERE = auto()
    NOT_WHOLE = auto()


def _put(store: ObjectStore, folder: Path, scratch: Path, line: tuple[str, str]) -> tuple[str, _Put]:
    """Put one object by way of a scratch file.

    So the stored bytes are those that were hashed.
    """
    sha256, key = line
    if _stored(store, key) == sha256:
        return key, _Put.WAS_THERE
    with tempfile.NamedTemporaryFile(dir=scratch) as file:
        if _copied(folder / OBJECTS / key, file) != sha256:
            return key, _Put.NOT_WHOLE
        file.flush()
        store.put_file(key, Path(file.name))
    return key, _Put.WRITTEN


def _copied(path: Path, into: IO[bytes]) -> str:
    """Copy a file of the backup.

    Returns the SHA-256 of the copy, "" if it cannot be read to its end. Raises OSError if the copy cannot be
    written.
    """
    digest = hashlib.sha256()
    try:
        source = open_regular(path)
    except (OSError, SourceUnreadable):
        return ""
    with source:
        while block := _block_of(source):
            digest.update(block)
            into.write(block)
    return "" if block is None else digest.hexdigest()


def _block_of(file: IO[bytes]) -> bytes | None:
    """Read the next bytes, empty at the end; None on a read error."""
    try:
        return file.read(BLOCK_BYTES)
    except OSError:
        return None


def _stored(store: ObjectStore, key: str) -> str:
    digest = hashlib.sha256()
    try:
        for block in stream_blocks(store, key, BLOCK_BYTES):
            digest.update(block)
    except ObjectMissing:
        return ""
    return digest.hexdigest()


def _catalogue(folder: Path, manifest: BackupManifest, sha256: str, scratch: Path) -> Path:
    """Copy the catalogue and verify it. Raises DataDamaged.

    An older catalogue is migrated when it is opened, and a backup is never written.
    """
    copy = scratch / "catalogue.sqlite"
    with copy.open("wb") as file:
        if _copied(folder / manifest.catalogue, file) != sha256:
            raise _make_useless_error(folder, manifest.catalogue)
    if not has_rows_only(copy):
        raise _make_useless_error(folder, manifest.catalogue)
    return copy


@contextmanager
def _scratch(workspace: Workspace, folder: Path) -> Iterator[Path]:
    """Yield a folder for copies.

    Raises DiskFull, StorageFailed if they cannot be written.
    """
    try:
        workspace.cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=workspace.cache_dir) as name:
            yield Path(name)
    except OSError as error:
        raise make_copy_error(str(folder), workspace.cache_dir, error) from error


def _make_useless_error(folder: Path, name: str) -> DataDamaged:
    return DataDamaged(
        _(
            "{folder}: {name} of this backup is not as written, and the rest is of no use "
            "without it; nothing was restored: use another copy of it",
            folder=folder,
            name=name,
        )
    )


def _some_of(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _make_not_empty_error(what: str) -> InputUnusable:
    return InputUnusable(
        _(
            "{what}: a backup is restored into an empty place only; name a new folder with "
            "--data (and an empty FLYCAM_STORE and FLYCAM_DATABASE)",
            what=what,
        )
    )
