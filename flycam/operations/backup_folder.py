"""Layout of a backup folder, its manifest and index.

Format: docs/formats/backup.md.

    manifest.json              what a restore goes by; written last, in one step
    SHA256SUMS-<hash>          every file of the backup with its hash, as `sha256sum -c` reads it
    catalogue-<hash>.sqlite    the catalogue at one moment
    objects/<key>              the store's objects
    index.sqlite               which objects were copied, for the next backup; no restore reads it

Files that the manifest does not name are unfinished or obsolete.
"""

from __future__ import annotations

import json
import re
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from io import BufferedReader, TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Any

from flycam.errors import DataDamaged, DiskFull, InputUnusable, SourceUnreadable, StorageFailed
from flycam.messages import _
from flycam.storage.files import (
    SCRATCH_NAME,
    compute_sha256,
    make_write_error,
    move_into_place,
    open_regular,
    sync_path,
)
from flycam.storage.keys import check_key

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
                "{folder}: the backup cannot be written ({strerror}); free some space there, "
                "or name another folder, and run again: it goes on",
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
