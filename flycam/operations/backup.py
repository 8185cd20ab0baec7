"""Backup of a node into a folder: its catalogue, and every object it names.

    catalogue -> one file -> the objects it names, those not there yet -> list of hashes -> manifest

Objects that a flight replaced and evicted meanwhile cannot be copied any more: the catalogue is then saved
once more. The manifest is written last and atomically, so an interrupted backup leaves the previous one as it
was, and the same command resumes. Objects are immutable: intact ones are not copied again, and what the node
has lost meanwhile stays in the backup.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from io import BufferedReader, TextIOWrapper
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from flycam import __version__
from flycam.catalog.catalog import merge_wal, open_catalog
from flycam.concurrency import count_workers, map_ordered
from flycam.errors import (
    DataDamaged,
    DiskFull,
    FlightBusy,
    InputUnusable,
    ObjectMissing,
    SourceUnreadable,
    StorageFailed,
)
from flycam.messages import _, ngettext
from flycam.model.time import format_minute
from flycam.operations.inventory import (
    BLOCK_BYTES,
    REPLACEABLE_KINDS,
    Inventory,
    InventoryItem,
    InventoryKind,
    ProgressCounter,
    find_current_item,
    is_intact,
    was_purged,
)
from flycam.originals import stream_blocks
from flycam.storage import keys
from flycam.storage.files import (
    SCRATCH_NAME,
    compute_sha256,
    make_not_regular,
    make_write_error,
    move_into_place,
    open_regular,
    sync_path,
)
from flycam.storage.keys import check_key
from flycam.storage.stores import LocalStore
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Layout of a backup folder, its manifest and index ---------------------------------------------
#
# Format: docs/formats/backup.md.
#
#     manifest.json              what a restore goes by; written last, in one step
#     SHA256SUMS-<hash>          every file of the backup with its hash, as `sha256sum -c` reads it
#     catalogue-<hash>.sqlite    the catalogue at one moment
#     objects/<key>              the store's objects
#     index.sqlite               which objects were copied, for the next backup; no restore reads it
#
# Files that the manifest does not name are unfinished or obsolete.


MANIFEST = "manifest.json"
OBJECTS = "objects"
INDEX = "index.sqlite"
LOCK = ".lock"
FORMAT = "flycam-backup"
VERSION = 1
_INDEX_TAILS = ("-journal", "-wal", "-shm")
_WRITTEN_IN_PLACE = (
    OBJECTS,
    f"{OBJECTS}/{SCRATCH_NAME}",
    LOCK,
    *(INDEX + tail for tail in ("", *_INDEX_TAILS)),
)
_INDEX_SCHEMA = (
    "CREATE TABLE objects (key TEXT PRIMARY KEY, size INTEGER NOT NULL, "
    "sha256 TEXT NOT NULL, run INTEGER NOT NULL) WITHOUT ROWID"
)
_STRANGE_ROW = (
    "SELECT 1 FROM objects WHERE NOT (is_key(key) AND typeof(size) = 'integer' AND typeof(run) = 'integer' "
    "AND run BETWEEN 0 AND 1 << 32 AND length(sha256) = 64 AND NOT sha256 GLOB '*[^0-9a-f]*')"
)
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)\n")
_DIGITS = 16
_MANIFEST_BYTES = 64 << 20
_LINE_BYTES = 2048
"""More than a hash and the longest key of an object."""

_NAMED = re.compile(rf"SHA256SUMS-[0-9a-f]{{{_DIGITS}}}|catalogue-[0-9a-f]{{{_DIGITS}}}\.sqlite")


@dataclass(frozen=True, kw_only=True, slots=True)
class BackupManifest:
    """Manifest of a backup.

    catalogue, sums  file names
    audit_head       number and digest of the audit log's last line, or None
    missing          keys that the node had lost, and this backup does not have either
    outside          terrain files that are used in place, and are not in it
    """

    made_ns: int
    box: str
    flycam: str
    flights: int
    objects: int
    size: int
    catalogue: str
    sums: str
    sums_sha256: str
    audit_head: tuple[int, str] | None
    missing: tuple[str, ...]
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackedUpObject:
    """One object in a backup: bytes, and their SHA-256."""

    key: str
    size: int
    sha256: str


def require_no_links(folder: Path) -> None:
    """Raise InputUnusable if a file that a backup writes in place is a link."""
    for name in _WRITTEN_IN_PLACE:
        if (folder / name).is_symlink():
            raise _make_link_error(folder / name)


def resolve_object_path(objects: Path, key: str) -> Path:
    """Return an object's path in the folder of objects.

    Raises InputUnusable for links on the way.
    """
    for above in PurePosixPath(key).parents:
        if (objects / above).is_symlink():
            raise _make_link_error(objects / above)
    return objects / key


def _make_link_error(path: Path) -> InputUnusable:
    return InputUnusable(
        _(
            "{path}: is a link, and a backup would be written to wherever it leads; remove "
            "it, or name another folder",
            path=path,
        )
    )


def get_file_size(path: Path) -> int | None:
    """Return the bytes of a regular file; None for all else, or no file."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def compute_file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, "" if it cannot be read."""
    try:
        return compute_sha256(path)
    except SourceUnreadable:
        return ""


def write_backup_manifest(folder: Path, manifest: BackupManifest) -> None:
    """Write the manifest atomically, which makes this the current backup.

    Raises OSError.
    """
    values = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    fresh = folder / f"{MANIFEST}.new"
    fresh.unlink(missing_ok=True)
    # a new file: a link of this name is not followed
    with fresh.open("x", encoding="utf-8") as file:
        file.write(json.dumps(values, ensure_ascii=False, indent=1) + "\n")
    move_into_place(fresh, folder / MANIFEST)
    # the backup counts once its name is durable; a failure raises
    sync_path(folder)


def read_backup_manifest(folder: Path) -> BackupManifest | None:
    """Read a backup's manifest, None if there is none. Raises SourceUnreadable."""
    path = folder / MANIFEST
    try:
        with open_regular(path) as file:
            data = BufferedReader(file).read(_MANIFEST_BYTES + 1)
        if len(data) > _MANIFEST_BYTES:
            raise ValueError("too long")
        values: dict[str, Any] = json.loads(data)
        if (values.pop("format"), values.pop("version")) != (FORMAT, VERSION):
            raise ValueError("of another format or version")
        head = values["audit_head"]
        values["audit_head"] = None if head is None else (int(head[0]), str(head[1]))
        values |= {name: tuple(map(str, values[name])) for name in ("missing", "outside")}
        values |= {name: int(values[name]) for name in ("made_ns", "flights", "objects", "size")}
        for name in ("catalogue", "sums"):
            if Path(values[name]).name != values[name]:
                raise ValueError(f"{name} is no file of the folder")
        return BackupManifest(**values)
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise SourceUnreadable(
            _(
                "{path}: this version of flycam cannot read this backup ({error}); name another folder",
                path=path,
                error=error,
            )
        ) from error


def format_sums_name(sha256: str) -> str:
    """Format the name of a list of hashes from its own hash."""
    return f"SHA256SUMS-{sha256[:_DIGITS]}"


def format_catalogue_name(sha256: str) -> str:
    """Format the name of a saved catalogue."""
    return f"catalogue-{sha256[:_DIGITS]}.sqlite"


def _is_key(key: object) -> bool:
    try:
        check_key(str(key))
    except ValueError:
        return False
    return isinstance(key, str)


def is_named_file(path: Path) -> bool:
    """Return True if this is a list of hashes or a saved catalogue of some backup."""
    return _NAMED.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def write_sums(path: Path, lines: Iterable[tuple[str, str]]) -> None:
    """Write (SHA-256, path in the backup) in the format of coreutils. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        for sha256, name in lines:
            file.write(f"{sha256}  {name}\n")
    sync_path(path)


def read_sums(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (SHA-256, path in the backup) of every file.

    Raises DataDamaged for a malformed line, or a path that is no object's and no file's of the folder itself.
    """
    raw = BufferedReader(open_regular(path))
    with TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(iter(partial(file.readline, _LINE_BYTES), ""), start=1):
            found = _LINE.fullmatch(line)
            if found is None or not _is_key(found[2].removeprefix(f"{OBJECTS}/")):
                raise DataDamaged(
                    _("{path}: line {number} is damaged; use another backup", path=path, number=number)
                )
            yield found[1], found[2]


@contextmanager
def translate_disk_errors(folder: Path) -> Iterator[None]:
    """Translate errors of the disk under a backup. Raises DiskFull, StorageFailed."""
    try:
        yield
    except OSError as error:
        raise make_write_error(
            error,
            _(
                "{folder}: the backup cannot be written ({strerror}); free some space there, or name "
                "another folder, and run again: it resumes",
                folder=folder,
                strerror=error.strerror or error,
            ),
        ) from error
    except sqlite3.Error as error:
        kind = DiskFull if "full" in str(error) else StorageFailed
        raise kind(
            _(
                "{folder}: cannot be used ({error}); free some space there, or remove that "
                "file, and run again",
                folder=folder / INDEX,
                error=error,
            )
        ) from error


class BackupIndex:
    """Index of the intact, synced objects in a backup, by run.

    run  number of the current run
    """

    def __init__(self, folder: Path) -> None:
        path = folder / INDEX
        # SQLite deletes the file that a planted journal names
        for tail in _INDEX_TAILS:
            path.with_name(INDEX + tail).unlink(missing_ok=True)
        try:
            self._database = self._opened(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # damaged: its contents are found again, object by object
            path.unlink()
            self._database = self._opened(path)
        self.run = 1 + int(self._database.execute("SELECT max(run) FROM objects").fetchone()[0] or 0)

    @staticmethod
    def _opened(path: Path) -> sqlite3.Connection:
        """Open an index that is intact and has valid rows only, or create it.

        Raises sqlite3.Error.
        """
        database = sqlite3.connect(path, isolation_level=None)
        try:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")  # a journal is looked for once only
            database.execute("PRAGMA synchronous=FULL")
            schema = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master LIMIT 2")]
            if not schema:
                database.execute(_INDEX_SCHEMA)
            database.create_function("is_key", 1, _is_key)
            if (
                schema not in ([], [_INDEX_SCHEMA])
                or database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
                or database.execute(_STRANGE_ROW).fetchone()
            ):
                raise sqlite3.DatabaseError("is no index, or was cut short")
        except sqlite3.Error:
            database.close()
            raise
        return database

    def restart(self) -> None:
        """Begin another run: objects noted so far count as noted by an earlier one."""
        self.run += 1

    def get(self, key: str) -> BackedUpObject | None:
        """Return an object as it was copied before."""
        row = self._database.execute("SELECT key, size, sha256 FROM objects WHERE key = ?", (key,)).fetchone()
        return None if row is None else BackedUpObject(*row)

    def put(self, objects: Iterable[BackedUpObject]) -> None:
        """Note objects that are there and synced; atomic."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
            [(one.key, one.size, one.sha256, self.run) for one in objects],
        )
        self._database.execute("COMMIT")

    def has_noted(self, key: str) -> bool:
        """Return True if this run noted an object."""
        query = "SELECT 1 FROM objects WHERE key = ? AND run = ?"
        return self._database.execute(query, (key, self.run)).fetchone() is not None

    def list_noted(self) -> Iterator[BackedUpObject]:
        """List the objects that this run noted, by key."""
        query = "SELECT key, size, sha256 FROM objects WHERE run = ? ORDER BY key"
        yield from (BackedUpObject(*row) for row in self._database.execute(query, (self.run,)))

    def totals(self) -> tuple[int, int]:
        """Return number and bytes of the objects that this run noted."""
        query = "SELECT count(*), total(size) FROM objects WHERE run = ?"
        count, size = self._database.execute(query, (self.run,)).fetchone()
        return int(count), int(size)

    def list_unnoted(self) -> list[str]:
        """List keys that earlier runs noted and this one did not."""
        query = "SELECT key FROM objects WHERE run <> ? ORDER BY key"
        return [key for (key,) in self._database.execute(query, (self.run,))]

    def forget(self, key: str) -> None:
        """Remove an object that is no longer there."""
        self._database.execute("DELETE FROM objects WHERE key = ?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


# -- Backup of a node into a folder: its catalogue, and every object it names ----------------------


# -- Objects of a backup run: found intact, copied, or reported missing ----------------------------
#
# Known from an earlier run: its file must have its size, and each run verifies another tenth of all files by
# hash, because disks rot. Unknown (the index was lost, a run was killed): an existing file is taken if it
# matches its key. All others are copied from the node and verified on the way.


RUNS_TO_READ_ALL = 10
"""Number of runs in which every file of a backup is verified by hash."""

_GROUP = 256
"""Objects between two commits of the index: a kill loses at most this many copies."""

_CopyWork = tuple[InventoryItem, BackedUpObject | None]


class BackupCopier:
    """Copies objects into a backup.

    new, new_bytes  objects copied
    missing         keys that neither the node nor the backup has intact
    replaced        keys in whose place the node has another object by now, or none
    """

    def __init__(
        self, workspace: Workspace, folder: Path, objects: LocalStore, index: BackupIndex, scratch: Path
    ) -> None:
        self._workspace = workspace
        self._store, self._catalog = workspace.store, workspace.catalog
        self._objects, self._index = objects, index
        self._folder, self._scratch = folder, scratch
        self._group: list[BackedUpObject] = []
        self._reads_due = True
        self.new = self.new_bytes = 0
        self.missing: list[str] = []
        self.replaced: list[str] = []

    def restart(self) -> None:
        """Start over for a newly saved catalogue.

        Copied objects are there and were verified.
        """
        self._index.restart()
        self._reads_due = False
        self.missing, self.replaced = [], []

    def copy_all(self, holdings: Inventory, cursors: Collection[str], progress: Progress) -> None:
        """Copy every object of every part.

        Of cursors (`keys.format_cursor_prefix`) only those given are copied.
        """
        parts = holdings.list_parts()
        tally = ProgressCounter("backup", sum(map(holdings.estimate_size, parts)), progress)
        for part in parts:
            wanted = (
                item
                for item in holdings.list_items(part)
                if not item.key.startswith(keys.format_cursor_prefix()) or item.key in cursors
            )
            for item, __, one, is_new in self._found(wanted):
                if one is not None:
                    self._note(one, is_new)
                # it may have been replaced since the catalogue was saved
                elif item.kind in REPLACEABLE_KINDS:
                    now = find_current_item(self._catalog, item)
                    is_so = now is not None and now.key == item.key
                    (self.missing if is_so else self.replaced).append(item.key)
                elif not was_purged(self._workspace, item):
                    self.missing.append(item.key)
                tally.count()
        tally.finish()
        self._commit()

    def carry_over(self, purged: Collection[str]) -> list[str]:
        """Keep originals and terrain that the node no longer names or lists.

        Returns the obsolete keys. The node may have lost those. Obsolete is what it can make again, or has
        purged.

        purged  keys of originals that the node deleted under a retention term
        """
        old: set[str] = set()
        kept: set[str] = set()
        for key in self._index.list_unnoted():
            if keys.is_permanent(key) and key not in purged:
                kept.add(key)
            else:
                old.add(key)
        # a new index does not know of them
        for key in chain.from_iterable(map(self._objects.list, keys.list_permanent_prefixes())):
            if key in purged:
                old.add(key)
            elif not self._index.has_noted(key):
                kept.add(key)
        already_missing = set(self.missing)
        for item, known, one, is_new in self._found(map(_kept, sorted(kept))):
            if one is not None:
                self._note(one, is_new)
            elif known is not None:
                self._index.forget(item.key)
                self.missing += [] if item.key in already_missing else [item.key]
        self._commit()
        return sorted(old)

    def _found(
        self, wanted: Iterable[InventoryItem]
    ) -> Iterator[tuple[InventoryItem, BackedUpObject | None, BackedUpObject | None, bool]]:
        """Yield (object, former record, intact copy, whether it was copied now).

        The copy is None if neither the node nor the backup has the object intact.
        """
        work = ((item, self._index.get(item.key)) for item in wanted)
        return map_ordered(self._find, work, count_workers(), 4 * count_workers())

    def _find(
        self, work: _CopyWork
    ) -> tuple[InventoryItem, BackedUpObject | None, BackedUpObject | None, bool]:
        item, known = work
        path = resolve_object_path(self._folder, item.key)
        there = (
            _find_uncatalogued(path, self._folder, item) if known is None else self._find_copied(path, known)
        )
        if there is not None:
            return item, known, there, False
        return item, known, self._fetched(item), True

    def _find_copied(self, path: Path, known: BackedUpObject) -> BackedUpObject | None:
        """Return the object as an earlier run copied it, if its file is unchanged."""
        if get_file_size(path) != known.size:
            return None
        is_due = (
            self._reads_due
            and int(known.sha256[:8], 16) % RUNS_TO_READ_ALL == self._index.run % RUNS_TO_READ_ALL
        )
        return None if is_due and compute_file_digest(path) != known.sha256 else known

    def _fetched(self, item: InventoryItem) -> BackedUpObject | None:
        """Copy the object from the node; None if it is not intact there either."""
        with tempfile.NamedTemporaryFile(dir=self._scratch) as file:
            digest, size = hashlib.sha256(), 0
            try:
                for block in stream_blocks(self._store, item.key, BLOCK_BYTES):
                    digest.update(block)
                    size += file.write(block)
            except ObjectMissing:
                return None
            file.flush()
            path = Path(file.name)
            if not is_intact(path, item):
                return None
            self._objects.put_file(item.key, path)
        return BackedUpObject(item.key, size, digest.hexdigest())

    def _note(self, one: BackedUpObject, is_new: bool) -> None:
        if is_new:
            self.new, self.new_bytes = self.new + 1, self.new_bytes + one.size
        self._group.append(one)
        if len(self._group) >= _GROUP:
            self._commit()

    def _commit(self) -> None:
        self._objects.flush()
        self._index.put(self._group)
        self._group.clear()


def _kept(key: str) -> InventoryItem:
    return InventoryItem(
        key, InventoryKind.TERRAIN if key.startswith(keys.format_terrain_prefix()) else InventoryKind.FILE
    )


def _find_uncatalogued(path: Path, objects: Path, item: InventoryItem) -> BackedUpObject | None:
    """Return an object that no index knows, if its file is intact.

    It is synced, as the run that wrote it may have been killed before.
    """
    size = get_file_size(path)
    if size is None:
        return None
    try:
        if not is_intact(path, item):
            return None
    except OSError:
        return None
    digest = compute_file_digest(path)
    if not digest:
        return None
    for one in (path, *path.parents):
        sync_path(one)
        if one == objects:
            break
    return BackedUpObject(item.key, size, digest)


# -- Backup run: catalogue, objects, manifest ------------------------------------------------------


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
                "{folder}: the backup is made, but {count} object is lost or damaged in the "
                "data folder (the first: {first}); run 'flycam verify', then back up again",
                "{folder}: the backup is made, but {count} objects are lost or damaged in the "
                "data folder (the first: {first}); run 'flycam verify', then back up again",
                len(missing),
                folder=self.folder,
                first=missing[0],
            )
        )


def save_backup(workspace: Workspace, folder: Path, progress: Progress = ignore_progress) -> BackupReport:
    """Back up the node into a folder that holds nothing else, in the steps above.

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
                "{folder}: holds the backup of another data folder ({box}, {made}), which "
                "would be deleted; name a folder of this data folder's own, or check that "
                "--data names the data folder that is meant",
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
    cursors = frozenset(workspace.store.list(keys.format_cursor_prefix()))
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
