"""A house put back from a backup, into an empty place.

    manifest -> list of hashes and catalogue found whole -> objects -> catalogue, last and in one step

Every object is read against its hash as it is copied; one that is not as it was written is left out and told,
so that what is left of a backup comes back, and `verify` can mend the rest. The catalogue comes last: until
then the place is empty to everybody, and a restore that was cut short is done again over what it had put,
also where the catalogue was there already and nobody had been told.
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

from flycam.catalog.snapshot import has_rows_only
from flycam.errors import DataDamaged, InputUnusable, ObjectMissing, SourceUnreadable
from flycam.messages import _, ngettext
from flycam.pipeline.executor import count_workers, map_ordered
from flycam.pipeline.operations.backup_folder import (
    INDEX,
    OBJECTS,
    BackupManifest,
    compute_file_digest,
    read_backup_manifest,
    read_sums,
)
from flycam.pipeline.operations.object_check import BLOCK_BYTES
from flycam.pipeline.original_store import make_copy_error, stream_blocks
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress
from flycam.store.base import ObjectStore
from flycam.store.regular_file import open_regular

_NAMED = 5
_ACTION = "restore"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreReport:
    """written: objects that were not there already, of a restore that was cut short before; left_out: keys
    of those that the backup has not as they were written."""

    folder: Path
    manifest: BackupManifest
    written: int
    unreadable: tuple[str, ...]
    seconds: float

    @property
    def error(self) -> DataDamaged | None:
        """What there is to say of a backup that has lost objects since it was written."""
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
    """Put the house of a backup into this workspace, which is empty; see the recipe above.

    Raises SourceUnreadable (no backup), DataDamaged (its list of hashes or its catalogue is damaged: nothing
    is
    written), InputUnusable (the place is not empty), StorageFailed (run again: it goes on).
    """
    began_ns = workspace.clock_ns()
    manifest = require_manifest(folder)
    stands = _is_restored(workspace, manifest)
    if not stands:
        _require_empty(workspace, folder, manifest)
    sha256 = _listed_catalogue(folder, manifest)
    with _scratch(workspace, folder) as scratch:
        catalogue = _catalogue(folder, manifest, sha256, scratch)
        written, left_out = _put_objects(workspace.store, folder, manifest, scratch, progress)
        workspace.store.flush()
        if not stands:
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
    """The manifest of the backup in a folder. Raises SourceUnreadable where there is none."""
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
    """Read every file of a backup against its hash: the objects' that are not as they were written.

    Raises DataDamaged where the list of hashes or the catalogue is not: nothing can be restored then.
    """
    _listed_catalogue(folder, manifest)
    bad: list[str] = []
    files = read_sums(folder / manifest.sums)
    checks = map_ordered(partial(_checked, folder), files, count_workers(), 4 * count_workers())
    for count, (name, whole) in enumerate(checks, start=1):
        if not whole:
            bad.append(name)
        progress("verify", count, manifest.objects + 1)
    if manifest.catalogue in bad or not has_rows_only(folder / manifest.catalogue):
        raise _make_useless_error(folder, manifest.catalogue)
    return tuple(bad)


def make_backup_error(folder: Path, bad: Sequence[str]) -> DataDamaged | None:
    """What there is to say of a backup with files that are not as they were written."""
    if not bad:
        return None
    named = _some_of(bad)
    return DataDamaged(
        ngettext(
            "{folder}: {count} file is damaged in this backup ({names}); remove {index} there and run "
            "'flycam backup' again: it reads all of them, and copies anew what the house has",
            "{folder}: {count} files are damaged in this backup ({names}); remove {index} there and run "
            "'flycam backup' again: it reads all of them, and copies anew what the house has",
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
    """The catalogue's SHA-256, once the list of hashes was found whole. Raises DataDamaged."""
    if compute_file_digest(folder / manifest.sums) != manifest.sums_sha256:
        raise _make_useless_error(folder, manifest.sums)
    listed = [sha256 for sha256, name in read_sums(folder / manifest.sums) if name == manifest.catalogue]
    if not listed:
        raise _make_useless_error(folder, manifest.catalogue)
    return listed[0]


def _keys(folder: Path, manifest: BackupManifest) -> Iterator[tuple[str, str]]:
    """(SHA-256, key) of the objects, by key."""
    for sha256, name in read_sums(folder / manifest.sums):
        if name.startswith(f"{OBJECTS}/"):
            yield sha256, name.removeprefix(f"{OBJECTS}/")


def _is_restored(workspace: Workspace, manifest: BackupManifest) -> bool:
    """Whether the catalogue is this backup's already, and nothing was done since: a restore was cut short
    before anybody was told of it."""
    last = workspace.catalog.audit.last()
    if last is None:
        return False
    return manifest.audit_head == (last.seq, last.digest) or _is_restore_logged(workspace, manifest)


def _is_restore_logged(workspace: Workspace, manifest: BackupManifest) -> bool:
    """Whether the last line of the audit log is of the restore of this very backup."""
    last = workspace.catalog.audit.last()
    return last is not None and last.what == _ACTION and last.detail.endswith(_named_by(manifest))


def _named_by(manifest: BackupManifest) -> str:
    return f"{manifest.sums} {manifest.sums_sha256}"


def _require_empty(workspace: Workspace, folder: Path, manifest: BackupManifest) -> None:
    """Objects of this very backup may lie there already: a restore that was cut short put them there."""
    if not workspace.catalog.is_empty():
        raise _make_not_empty_error(workspace.catalog.place)
    ours = (key for _, key in _keys(folder, manifest)) if (folder / manifest.sums).is_file() else iter(())
    mine = next(ours, "")
    for key in workspace.store.list(""):
        while mine and mine < key:
            mine = next(ours, "")
        if key != mine:
            raise _make_not_empty_error(key)


def _put_objects(
    store: ObjectStore, folder: Path, manifest: BackupManifest, scratch: Path, progress: Progress
) -> tuple[int, list[str]]:
    """Write the objects that the store has not whole: how many, and those that the backup has not whole."""
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
    """By way of a scratch file, so that what is put is what was hashed."""
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
    """Copy a file of the backup; the SHA-256 of what was copied, "" where it cannot be read to its end.

    Raises OSError where it cannot be written.
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
    """The next bytes, none at the end; None where the disk does not give them."""
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
    """A copy: an older catalogue is widened when it is opened, and a backup is never written."""
    copy = scratch / "catalogue.sqlite"
    with copy.open("wb") as file:
        if _copied(folder / manifest.catalogue, file) != sha256:
            raise _make_useless_error(folder, manifest.catalogue)
    if not has_rows_only(copy):
        raise _make_useless_error(folder, manifest.catalogue)
    return copy


@contextmanager
def _scratch(workspace: Workspace, folder: Path) -> Iterator[Path]:
    """A folder for copies. Raises DiskFull, StorageFailed where they cannot be written."""
    try:
        workspace.cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=workspace.cache_dir) as name:
            yield Path(name)
    except OSError as error:
        raise make_copy_error(str(folder), workspace.cache_dir, error) from error


def _make_useless_error(folder: Path, name: str) -> DataDamaged:
    return DataDamaged(
        _(
            "{folder}: {name} of this backup is not as it was written, and the rest is of no "
            "use without it; nothing was restored: use another copy of it",
            folder=folder,
            name=name,
        )
    )


def _some_of(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _make_not_empty_error(what: str) -> InputUnusable:
    return InputUnusable(
        _(
            "{what}: a house is restored into an empty place only; name a new folder with "
            "--data (and an empty FLYCAM_STORE and FLYCAM_DATABASE)",
            what=what,
        )
    )
