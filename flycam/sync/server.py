"""Receiving end of a connection: answers, import of whole steps, and spool.

Queries are answered with the objects missing here, and the cursors; a step is spooled until it is complete,
then imported.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flycam.catalog.retention import select_active_purges
from flycam.errors import FlightBusy, SourceUnreadable, StorageFailed
from flycam.messages import _, pgettext
from flycam.mosaic.tiles.peers import list_previewed_tiles, read_peer_cursors
from flycam.storage import keys
from flycam.storage.disk_space import RESERVED_BYTES, SPARE_BYTES, get_free_bytes, require_free_space
from flycam.storage.files import move_into_place
from flycam.sync.exchange_import import expand_deltas, import_exchange
from flycam.sync.exchange_merge import ApplyHooks, ApplyReport
from flycam.sync.manifest import (
    DIGEST_PREFIX_DIGITS,
    ObjectKind,
    require_exchange_format,
    require_hex_digits,
    require_key_segment,
    require_text,
)
from flycam.sync.node import Node, iterate_objects
from flycam.sync.offer import HEAD_DIGITS, find_missing_heads
from flycam.sync.record_import import UnreadableFlight
from flycam.sync.step_planner import read_step_manifest

NodeNameCheck = Callable[[str], None]
"""Raises AccessDenied if the account does not act for the node of this name."""

_BLOCK = 1 << 20
_MAX_QUERY_NAMES = 1 << 16
_MAX_HEAD_MOSAICS = 16
"""In one query: nodes ask about one, and each is a read of all its tiles."""
_SHA256_DIGITS = 64


def answer_inventory_query(
    node: Node,
    question: Mapping[str, Any],
    feed_state: str,
    check_node_name: NodeNameCheck = lambda _box: None,
) -> dict[str, Any]:
    """Return the queried objects missing here, and the cursors in the node's logs.

    feed_state  of the reference data that there are for the node

    Raises SourceUnreadable for a node of another version, or with this one's name, and what
    `check_node_name` raises.
    """
    require_exchange_format(question.get("format"), node.box)
    try:
        box = require_text(question["box"])
        # a query about heads names no records: none that are stored here are deleted by it
        records = (
            None
            if "heads" in question
            else [require_hex_digits(one) for one in _require_bounded_list(question["records"])]
        )
        originals = [require_hex_digits(one) for one in _require_bounded_list(question["originals"])]
        terrain, mosaics = (
            [require_key_segment(one) for one in _require_bounded_list(question[name])]
            for name in ("terrain", "mosaics")
        )
        heads = {
            require_key_segment(one): [
                require_hex_digits(each, HEAD_DIGITS) for each in _require_bounded_list(some)
            ]
            for one, some in _require_bounded_list(
                list(dict(question.get("heads", {})).items()), _MAX_HEAD_MOSAICS
            )
        }
    except (KeyError, TypeError, ValueError) as error:
        raise SourceUnreadable(
            _("what the node asks does not read ({error}); bring both nodes to the same version", error=error)
        ) from error
    if box == node.box:
        raise SourceUnreadable(
            _("{box}: both nodes carry this name; give one a name of its own with FLYCAM_BOX", box=box)
        )
    check_node_name(box)
    taken, logs = read_peer_cursors(node.store, box), {keys.derive_log_id(box, one) for one in mosaics}
    return {
        "box": node.box,
        "taken": {one: [taken[one].seq, taken[one].digest] for one in mosaics if one in taken},
        "records": [] if records is None else _list_missing_records(node, box, records),
        "terrain": [one for one in terrain if not node.store.exists(keys.format_terrain_key(one))],
        "originals": _list_missing_originals(node, originals),
        "heads": {one: find_missing_heads(node, one, some) for one, some in heads.items()},
        "views": [digest[:DIGEST_PREFIX_DIGITS] for digest in list_previewed_tiles(node.store, logs)],
        "common": feed_state,
    }


def import_step(
    node: Node,
    path: Path,
    hooks: ApplyHooks,
    account: str = "",
    check_node_name: NodeNameCheck = lambda _box: None,
) -> ApplyReport:
    """Import a complete step from a file; importing it again changes nothing.

    account  that sent it, for the audit log

    Raises SourceUnreadable, RecordsMissing, StoreConflict (nodes of one name), FlightBusy, StorageFailed,
    and what `check_node_name` raises.
    """
    manifest, start = read_step_manifest(path, "line")
    check_node_name(manifest.box)
    source, manifest = expand_deltas(node, _StepFile(path, manifest.box), manifest, start)
    taken = import_exchange(
        node, source, manifest, start, hooks, lambda _stage, _done, _total: None, account=account
    )
    unread = {one.sha256 for one in taken.conflicts if isinstance(one, UnreadableFlight)}
    for item, at in iterate_objects(manifest, start):
        if item.kind is ObjectKind.RECORDS and item.sha256 not in unread:
            node.store.put(
                keys.format_peer_records_key(manifest.box, item.sha256), source.read(at, item.size_bytes)
            )
    return taken


def _require_bounded_list(names: list[Any], max_count: int = _MAX_QUERY_NAMES) -> list[Any]:
    """Return the queried names; ValueError if too many, for no answer is partial."""
    if len(names) > max_count:
        raise ValueError(f"{len(names)} at once")
    return names


def _list_missing_records(node: Node, box: str, names: list[str]) -> list[str]:
    """Return the records missing here; delete those that are no longer named."""
    prefix = keys.format_peer_records_prefix(box)
    here = {key.removeprefix(prefix): key for key in node.store.list(prefix)}
    for sha256 in here.keys() - set(names):
        node.store.delete(here[sha256])
    return [one for one in names if one not in here and len(one) == _SHA256_DIGITS]


def _list_missing_originals(node: Node, names: list[str]) -> list[str]:
    """Return the originals that are missing here and were not purged."""
    purge = select_active_purges(node.catalog.retention.list_for_originals(names))
    return [one for one in names if one not in purge and not node.store.exists(keys.format_original_key(one))]


class _StepFile:
    """Bytes of a step; path: the node they are from, which errors name."""

    def __init__(self, file: Path, box: str) -> None:
        self._file = file
        self._size = file.stat().st_size
        self.path = Path(box)

    def read(self, start: int, length: int) -> bytes:
        return b"".join(self.blocks(start, length))

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        if start + length > self._size:
            raise self._build_truncated_error()
        with self._file.open("rb") as file:
            file.seek(start)
            while length:
                data = file.read(min(length, _BLOCK))
                if not data:  # cut short while it is read
                    raise self._build_truncated_error()
                yield data
                length -= len(data)

    def _build_truncated_error(self) -> SourceUnreadable:
        return SourceUnreadable(
            _("{path}: what came over the line ends early; it is sent again", path=self.path)
        )


# -- Spool of incoming steps: one step a sender, kept between attempts -----------------------------
#
#     SHA256.part   what came so far; its length is where the sender resumes
#     SHA256.done   the answer, once the step was imported: the sender may have missed it
#
# Nothing here is the only copy: a step is acknowledged when it was imported, and until then its sender has
# it. So the bytes are not synced; what a power cut leaves is compared with the SHA-256 and sent again if it
# differs. An answer is synced before the bytes are deleted, and an unreadable one counts as none: the step is
# sent again, and importing it again changes nothing.


_SMALL_BYTES = 8 << 20
"""Steps up to this size are accepted while there is any room: records, among them withdrawals and
redactions, are in such.
"""


class Spool:
    """One sender's folder. Thread-safe; only the latest attempt may write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._turn = 0
        self._left_free = SPARE_BYTES
        self._taking = threading.Lock()

    @contextmanager
    def lock_for_import(self) -> Iterator[None]:
        """Hold while a step of this sender is imported: meanwhile no other begins.

        Nor does this one begin again. Raises FlightBusy at once if one is held: senders retry by
        themselves, and hold no thread here.
        """
        if not self._taking.acquire(blocking=False):
            raise _build_busy_error()
        try:
            yield
        finally:
            self._taking.release()

    def offset(self, sha256: str, size: int) -> int:
        """Return the byte at which the step resumes; `size` if all came."""
        if self.find_answer(sha256) is not None:
            return size
        try:
            at = self._part(sha256).stat().st_size
        except FileNotFoundError:
            return 0
        return at if at <= size else 0

    def begin(self, sha256: str, at: int, size: int = 0) -> int | None:
        """Take the turn to add bytes from `at` on; None if the step resumes elsewhere.

        Other steps of this sender are deleted.

        size  of the whole step, bytes

        Raises FlightBusy if that would delete bytes that are being imported, DiskFull if the rest of it
        would leave less room than flights need (a small one: than the catalogue needs), StorageFailed.
        """
        with self._lock, _storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            left_free = RESERVED_BYTES if size <= _SMALL_BYTES else SPARE_BYTES
            self._require_room(size - at, left_free)
            part = self._part(sha256)
            here = part.stat().st_size if part.exists() else 0
            if self._taking.locked() and (at == 0 or not here):
                raise _build_busy_error()
            for other in self._folder.iterdir():
                if other.name.partition(".")[0] != sha256:
                    other.unlink(missing_ok=True)
            if at not in (here, 0):
                return None
            if at == 0:
                part.write_bytes(b"")
            self._turn, self._left_free = self._turn + 1, left_free
            return self._turn

    def add(self, turn: int, sha256: str, data: bytes) -> bool:
        """Add bytes; False if a later attempt has the turn.

        Raises DiskFull, StorageFailed.
        """
        with self._lock, _storage_errors(self._folder):
            if turn != self._turn:
                return False
            self._require_room(len(data), self._left_free)
            with self._part(sha256).open("ab") as file:
                file.write(data)
            return True

    def find_complete(self, sha256: str) -> Path | None:
        """Return the step's file if it matches its name; else delete it and return None."""
        part = self._part(sha256)
        with _storage_errors(self._folder):
            try:
                # without the lock, for hashing gigabytes would delay other requests
                with part.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                        return part
            except FileNotFoundError:
                return None
            with self._lock:
                part.unlink(missing_ok=True)
            return None

    def find_answer(self, sha256: str) -> dict[str, Any] | None:
        """Return the answer given when the step was imported; None if it was not."""
        try:
            answer = json.loads(self._done(sha256).read_bytes())
        except (OSError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None

    def finish(self, sha256: str, answer: dict[str, Any]) -> None:
        """Store the answer and delete the bytes.

        An answer with conflicts is not stored: the next may differ, for the conflict may be resolved
        meanwhile.
        """
        if answer.get("apart"):
            self.forget(sha256)
            return
        with self._lock, _storage_errors(self._folder):
            done = self._done(sha256)
            fresh = done.with_name(f"{done.name}.new")
            fresh.write_text(json.dumps(answer), encoding="utf-8")
            move_into_place(fresh, done)
            self._part(sha256).unlink(missing_ok=True)

    def forget(self, sha256: str) -> None:
        """Delete a step that cannot be imported."""
        with self._lock, suppress(OSError):
            self._part(sha256).unlink(missing_ok=True)

    def require_free_bytes(self, more_bytes: int) -> None:
        """Raise DiskFull if a step's contents would leave less room than flights need."""
        with _storage_errors(self._folder):
            self._require_room(more_bytes, SPARE_BYTES)

    def _require_room(self, more_bytes: int, left_free: int) -> None:
        if more_bytes > 0:
            free = get_free_bytes(self._folder)
            require_free_space(
                self._folder, free, more_bytes, pgettext("sending", "resumes by itself"), left_free
            )

    def _part(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.part"

    def _done(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.done"


def _build_busy_error() -> FlightBusy:
    return FlightBusy(_("what this node sent before is still being taken in; it resumes by itself"))


class _storage_errors:  # noqa: N801  used as a function
    """Context manager that turns OSError into StorageFailed naming the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise StorageFailed(
                _(
                    "{folder}: incoming data cannot be stored ({strerror}); free some space there",
                    folder=self._folder,
                    strerror=error.strerror,
                )
            ) from error
