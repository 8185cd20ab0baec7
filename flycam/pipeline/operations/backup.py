"""Backup of a node into a folder: the catalogue at one moment, and every object that it names.

    catalogue -> one file -> the objects it names, those not there yet -> list of hashes -> manifest

Objects that a flight replaced and evicted meanwhile cannot be copied any more: the catalogue is then saved
once more. The manifest is written last and atomically, so an interrupted backup leaves the previous one as it
was, and the same command resumes. Objects are immutable: intact ones are not copied again, and what the node
has lost meanwhile stays in the backup.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from flycam import __version__
from flycam.catalog.catalog import open_catalog
from flycam.catalog.snapshot import merge_wal
from flycam.errors import DataDamaged, FlightBusy, InputUnusable
from flycam.frame.timestamp import format_minute
from flycam.ingest.photo.photo_reader import compute_sha256
from flycam.messages import _, ngettext
from flycam.pipeline.operations.backup_copy import BackupCopier
from flycam.pipeline.operations.backup_folder import (
    LOCK,
    OBJECTS,
    BackupIndex,
    BackupManifest,
    format_catalogue_name,
    format_sums_name,
    is_named_file,
    read_backup_manifest,
    require_no_links,
    resolve_object_path,
    translate_disk_errors,
    write_backup_manifest,
    write_sums,
)
from flycam.pipeline.operations.inventory import Inventory
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress
from flycam.store import keys
from flycam.store.fsync import sync_path
from flycam.store.local import LocalStore
from flycam.store.regular_file import make_not_regular

_MAX_PASSES = 3
"""Maximum number of times that the catalogue is saved; later passes copy only what is new."""

_SCRATCH = ".new-"
_SCRATCH_NAME = re.compile(re.escape(_SCRATCH) + "[a-z0-9_]{8}")  # the suffix that tempfile appends


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupReport:
    """Result of a backup.

    new, new_bytes  objects copied by this run
    removed         tiles, products, recordings and originals that the node has deleted
    """

    folder: Path
    manifest: BackupManifest
    new: int
    new_bytes: int
    removed: int
    seconds: float

    @property
    def error(self) -> DataDamaged | None:
        """Error for a backup of a node with lost or damaged objects."""
        missing = self.manifest.missing
        if not missing:
            return None
        return DataDamaged(
            ngettext(
                "{folder}: the backup is made, but {count} object is lost or damaged in the house (the "
                "first: {first}); run 'flycam verify', then back up again",
                "{folder}: the backup is made, but {count} objects are lost or damaged in the house (the "
                "first: {first}); run 'flycam verify', then back up again",
                len(missing),
                folder=self.folder,
                first=missing[0],
            )
        )


def save_backup(workspace: Workspace, folder: Path, progress: Progress = ignore_progress) -> BackupReport:
    """Back up the node into a folder that holds nothing else, by the recipe above.

    Resumable. Incremental; others may continue to work. Raises SourceUnreadable (another kind of manifest is
    there), FlightBusy (another backup into it), InputUnusable (a link is there, or the backup of another
    node), DiskFull, StorageFailed (run again: it resumes).
    """
    began_ns = workspace.clock_ns()
    with translate_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        require_no_links(folder)
        _require_its_own(workspace, folder, read_backup_manifest(folder))
        with (
            _alone(folder),
            closing(LocalStore(folder / OBJECTS)) as objects,
            closing(BackupIndex(folder)) as index,
        ):
            _sweep(folder)
            with tempfile.TemporaryDirectory(dir=folder, prefix=_SCRATCH) as name:
                scratch = Path(name)
                copying = BackupCopier(workspace, folder / OBJECTS, objects, index, scratch)
                frozen = _save_consistent(workspace, scratch, copying, progress)
                old = copying.carry_over(frozen.purged)
                manifest = _written(workspace, folder, frozen, index, copying)
            _delete_obsolete(folder, objects, index, old, manifest)
    _record(workspace, folder, manifest)
    return BackupReport(
        folder=folder,
        manifest=manifest,
        new=copying.new,
        new_bytes=copying.new_bytes,
        removed=len(old),
        seconds=(workspace.clock_ns() - began_ns) / 1e9,
    )


def _require_its_own(workspace: Workspace, folder: Path, before: BackupManifest | None) -> None:
    """Raise InputUnusable if the folder holds the backup of another node.

    Its tiles and catalogue would be deleted. A node is identified by its audit log, which only grows; without
    one by its name.
    """
    if before is None:
        return
    head = before.audit_head
    if head is None:
        is_its_own = before.box == workspace.box
    else:
        lines = workspace.catalog.audit.lines(since=head[0] - 1, limit=1)
        is_its_own = [(one.seq, one.digest) for one in lines] == [head]
    if not is_its_own:
        made = format_minute(before.made_ns)
        raise InputUnusable(
            _(
                "{folder}: holds the backup of another house ({box}, {made}), which would be "
                "deleted; name a folder of this house's own, or look whether --data names "
                "the house that is meant",
                folder=folder,
                box=before.box,
                made=made,
            )
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _CatalogueSnapshot:
    """Catalogue at one moment, with data for the manifest.

    purged: keys of purged originals.
    """

    path: Path
    flights: int
    audit_head: tuple[int, str] | None
    outside: tuple[str, ...]
    purged: frozenset[str]


def _save_consistent(
    workspace: Workspace, scratch: Path, copying: BackupCopier, progress: Progress
) -> _CatalogueSnapshot:
    """Save the catalogue and copy what it names, until nothing changed meanwhile."""
    for __ in range(_MAX_PASSES - 1):
        frozen = _save_once(workspace, scratch, copying, progress)
        if not copying.replaced:
            return frozen
        frozen.path.unlink()
        copying.restart()
    frozen = _save_once(workspace, scratch, copying, progress)
    copying.missing += copying.replaced  # a restored node lacks them
    return frozen


def _save_once(
    workspace: Workspace, scratch: Path, copying: BackupCopier, progress: Progress
) -> _CatalogueSnapshot:
    """Save the catalogue first, then copy what it names.

    Objects are written before the records that name them, so all of them are there. Cursors of an exchange
    are written after the lines that they refer to, and are listed before the catalogue is saved: one ahead of
    its catalogue would keep a restored node from ever asking for those lines again.
    """
    path = scratch / "catalogue.sqlite"
    cursors = frozenset(key for prefix in keys.list_cursor_prefixes() for key in workspace.store.list(prefix))
    workspace.catalog.save(path)
    with open_catalog(f"sqlite:///{path}") as catalog:
        holdings = Inventory(catalog, workspace.store, workspace.box)
        copying.copy_all(holdings, cursors, progress)
        head = catalog.audit.last()
        frozen = _CatalogueSnapshot(
            path=path,
            flights=len(catalog.flights.flights()),
            audit_head=None if head is None else (head.seq, head.digest),
            outside=tuple(dem.path for dem in catalog.terrain.dems() if dem.key is None),
            purged=holdings.let_go,
        )
    merge_wal(path)
    return frozen


def _written(
    workspace: Workspace, folder: Path, frozen: _CatalogueSnapshot, index: BackupIndex, copying: BackupCopier
) -> BackupManifest:
    """Write the files that the manifest names, and then the manifest."""
    catalogue_sha256 = compute_sha256(frozen.path)
    catalogue = format_catalogue_name(catalogue_sha256)
    sums = frozen.path.with_name("sums")
    lines = ((one.sha256, f"{OBJECTS}/{one.key}") for one in index.list_noted())
    write_sums(sums, chain([(catalogue_sha256, catalogue)], lines))
    sums_sha256 = compute_sha256(sums)
    sync_path(frozen.path)
    frozen.path.replace(folder / catalogue)
    sums.replace(folder / format_sums_name(sums_sha256))
    # the manifest's name must not survive a power cut without theirs
    sync_path(folder)
    count, size = index.totals()
    manifest = BackupManifest(
        made_ns=workspace.clock_ns(),
        box=workspace.box,
        flycam=__version__,
        flights=frozen.flights,
        objects=count,
        size=size,
        catalogue=catalogue,
        sums=format_sums_name(sums_sha256),
        sums_sha256=sums_sha256,
        audit_head=frozen.audit_head,
        missing=tuple(copying.missing),
        outside=frozen.outside,
    )
    # last: until then the previous backup counts
    write_backup_manifest(folder, manifest)
    return manifest


def _delete_obsolete(
    folder: Path, objects: LocalStore, index: BackupIndex, old: Sequence[str], manifest: BackupManifest
) -> None:
    """Delete what the previous backup needed and this one does not."""
    for path in folder.iterdir():
        if is_named_file(path) and path.name not in (manifest.sums, manifest.catalogue):
            path.unlink()
    for key in old:
        resolve_object_path(folder / OBJECTS, key)  # raises where a link leads out
        objects.delete(key)
    # files that the index forgot before would never be deleted
    objects.flush()
    for key in old:
        index.forget(key)


def _sweep(folder: Path) -> None:
    """Delete what a killed run left behind."""
    for path in folder.glob(f"{_SCRATCH}*"):
        if _SCRATCH_NAME.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    # O_NONBLOCK: opening a pipe must not hang
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(folder / LOCK, flags, 0o666), "rb", buffering=0) as lock:
        if not stat.S_ISREG(os.fstat(lock.fileno()).st_mode):
            raise make_not_regular(folder / LOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FlightBusy(
                _("{folder}: another backup is being written here; wait for it and run again", folder=folder)
            ) from error
        yield


def _record(workspace: Workspace, folder: Path, manifest: BackupManifest) -> None:
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "backup",
        str(folder),
        f"{manifest.objects} objects, {manifest.size} bytes, {manifest.sums} {manifest.sums_sha256}",
        at_ns=workspace.clock_ns(),
    )
