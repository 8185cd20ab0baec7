"""Cluster runs: workers, tasks, tile blocks, fencing and serialization.

A worker opens the workspace, checks that it is the same, and processes tasks. A task names its input; bytes
are read from the store and written back. The common input of a job (poses, terrain, a plan) is in the store
too, under its hash: a worker that can read it has the right store.

No two workers write the same tile (tile blocks), and a worker that was thought dead writes nothing (`Fence`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
import platform
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import zstandard
from numpy.typing import NDArray

import flycam
from flycam.catalog.catalog import Catalog
from flycam.concurrency import Cluster
from flycam.errors import (
    ClusterUnavailable,
    FlightBusy,
    NotFound,
    ObjectMissing,
    StoreDenied,
    WorkerIncompatible,
)
from flycam.geodata.raster_source import list_library_versions
from flycam.geometry.grid import TileId, order_along_morton_curve
from flycam.messages import _
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.writer import repair_parents
from flycam.storage import keys
from flycam.storage.files import make_write_error
from flycam.storage.keys import ObjectStore
from flycam.workspace import Workspace

# -- Fencing of workers whose task was given to another --------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskAttempt:
    """One attempt at a task.

    number  of the attempt, from 1
    key     where the number of a later attempt is written before it is given out
    """

    key: str
    number: int


def note_attempt(store: ObjectStore, attempt: TaskAttempt) -> None:
    """Record a later attempt, for the worker that has an earlier one.

    Raises StorageFailed.
    """
    if attempt.number > 1:
        store.put(attempt.key, str(attempt.number).encode())


class Fence:
    """Check between the making of tiles and the log line that names them.

    An append is refused if a head moved since its group was made, and the group is then made anew and checks
    here again: so between this check and the append no later writer can be overwritten.

    input_key  key of the run's input, which is deleted when the run ends
    """

    def __init__(self, store: ObjectStore, input_key: str, attempt: TaskAttempt) -> None:
        self._store, self._given, self._turn = store, input_key, attempt

    def require_current(self) -> None:
        """Raise FlightBusy unless this attempt is the latest."""
        if not self._store.exists(self._given) or self._latest() != self._turn.number:
            raise FlightBusy(
                _(
                    "this piece of work was given to another worker, or its run has ended: nothing is "
                    "written by this one; start 'flycam worker' again if nothing moves"
                )
            )

    def _latest(self) -> int:
        try:
            return int(self._store.get(self._turn.key))
        except ObjectMissing:
            return 1


# -- Serialization of frozen values: dataclasses, arrays, tuples, mappings and enums, exactly ------
#
#     magic "FCST1\n" · length of the tree (8 bytes, little endian) · tree (JSON) · arrays · SHA-256
#
# The tree holds the structure of the values, followed by the arrays as they are in memory. Reading trusts
# nothing: a file that is cut off, changed, of another format or of unexpected classes is None, never an
# error, because the caller can make the values again.


MAGIC = b"FCST1\n"
_LENGTH_BYTES = 8
_DIGEST_BYTES = 32
_ALIGNED = 16
_PLAIN = (bool, int, float, str, type(None))


def write_serialized(file: BinaryIO, value: Any, stamp: str) -> None:
    """Write a value.

    `stamp` names its inputs; `read_serialized` must be given the same. Raises TypeError for an unsupported
    value, OSError as the file does.
    """
    arrays: list[NDArray[Any]] = []
    body = _to_tree(value, arrays)
    shapes = [[array.dtype.str, list(array.shape)] for array in arrays]
    tree = json.dumps({"stamp": stamp, "arrays": shapes, "value": body}, ensure_ascii=False).encode()
    digest = hashlib.sha256()
    for part in _parts(tree, arrays):
        digest.update(part)
        file.write(part)
    file.write(digest.digest())


def read_serialized(data: bytes | bytearray, kinds: Iterable[type], stamp: str) -> Any | None:
    """Read the value that was written.

    None if the data are incomplete or of another stamp.

    kinds  the dataclasses and enums it may be made of

    Arrays are views of `data`: writable if that is.
    """
    end = len(data) - _DIGEST_BYTES
    start = len(MAGIC) + _LENGTH_BYTES
    if end < start or bytes(data[: len(MAGIC)]) != MAGIC:
        return None
    if hashlib.sha256(memoryview(data)[:end]).digest() != bytes(data[end:]):
        return None
    stop = start + int.from_bytes(data[len(MAGIC) : start], "little")
    tree = json.loads(bytes(data[start:stop]))
    if tree["stamp"] != stamp:
        return None
    arrays, at = [], _aligned(stop)
    for dtype, shape in tree["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        flat = np.frombuffer(data, dtype=dtype, count=count, offset=at)
        arrays.append(flat.reshape(shape))
        at = _aligned(at + flat.nbytes)
    try:
        return _from_tree(tree["value"], arrays, {kind.__name__: kind for kind in kinds})
    except (KeyError, TypeError, ValueError):
        # written by another version of these classes
        return None


def _parts(tree: bytes, arrays: Iterable[NDArray[Any]]) -> Iterable[bytes | memoryview]:
    head = MAGIC + len(tree).to_bytes(_LENGTH_BYTES, "little") + tree
    yield head
    at = len(head)
    for array in arrays:
        yield bytes(_aligned(at) - at)
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        at = _aligned(at) + array.nbytes


def _aligned(at: int) -> int:
    return -(-at // _ALIGNED) * _ALIGNED


def _to_tree(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "is": value.value}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of Python objects cannot be kept")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, (tuple, list)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_to_tree(one, arrays) for one in value]}
    if isinstance(value, Mapping):
        return {"map": [[_to_tree(k, arrays), _to_tree(v, arrays)] for k, v in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return {
            "class": type(value).__name__,
            "with": {name: _to_tree(one, arrays) for name, one in fields.items()},
        }
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _from_tree(tree: Any, arrays: list[NDArray[Any]], kinds: Mapping[str, Callable[..., Any]]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "tuple" in tree:
        return tuple(_from_tree(one, arrays, kinds) for one in tree["tuple"])
    if "list" in tree:
        return [_from_tree(one, arrays, kinds) for one in tree["list"]]
    if "map" in tree:
        return {_from_tree(k, arrays, kinds): _from_tree(v, arrays, kinds) for k, v in tree["map"]}
    if "enum" in tree:
        return kinds[tree["enum"]](tree["is"])
    return kinds[tree["class"]](**{k: _from_tree(v, arrays, kinds) for k, v in tree["with"].items()})


# -- Version of the software that decides the bytes of tiles ---------------------------------------


@cache
def describe_software() -> str:
    """Return the versions of flycam, its code, Python and libraries, as loaded.

    The libraries are those that decide the bytes of tiles; the code is given by its hash. Cached: a process
    calls this first, before anybody can install another version beside the loaded one.
    """
    digest = hashlib.sha256()
    root = Path(flycam.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    libraries = {
        "numpy": np.__version__,
        "OpenCV": cv2.__version__,
        # from its metadata: an ingest does not load it
        "scipy": version("scipy"),
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        **list_library_versions(),
    }
    versions = ", ".join(f"{name} {version}" for name, version in libraries.items())
    return f"flycam {flycam.__version__} ({digest.hexdigest()[:12]}), Python {python}, {versions}"


# -- Tile blocks: the unit of work of a cluster ----------------------------------------------------
#
# A block is a tile some zooms above the base, with all below it. Its worker writes its base tiles and their
# ancestors up to the block's root; ancestors of several blocks are made by the process that gave out the
# work.


# 8×8 base tiles: about what a photo of 20 megapixels wins
_ZOOMS_ABOVE = 3
# blocks whose common ancestors are made at once
_BATCH_BLOCKS = 16


def choose_block_zoom(mosaic: MosaicInfo) -> int:
    """Return the zoom of a mosaic's tile blocks."""
    return max(mosaic.base_zoom - _ZOOMS_ABOVE, mosaic.min_zoom)


def find_block(tile: TileId, zoom: int) -> TileId:
    """Return the block that holds a tile."""
    up = tile.z - zoom
    return TileId(z=zoom, x=tile.x >> up, y=tile.y >> up)


def sort_blocks(squares: Iterable[TileId]) -> list[TileId]:
    """Sort blocks so that neighbours come together: they need the same photos."""
    found = list(squares)
    order = order_along_morton_curve(
        np.array([one.y for one in found], dtype=np.int64), np.array([one.x for one in found], dtype=np.int64)
    )
    return [found[number] for number in order]


class BlockAncestors:
    """Updates the ancestors of written blocks, some blocks at a time."""

    def __init__(self, workspace: Workspace, mosaic: MosaicInfo) -> None:
        self._workspace = workspace
        self._mosaic = mosaic
        self._waiting: set[TileId] = set()

    def mark_written(self, square: TileId) -> None:
        """Mark a block as written; one where no frame won a pixel has no log line."""
        self._waiting.add(square)
        if len(self._waiting) >= _BATCH_BLOCKS:
            self.update()

    def update(self) -> None:
        """Update the ancestors of the marked blocks.

        Raises StoreConflict if another process writes there, and what the store raises.
        """
        mosaic, tiles = self._mosaic, self._workspace.catalog.tiles
        logged = tiles.get_heads(mosaic.mosaic_id, mosaic.revision, sorted(self._waiting))
        parents = {square.parent() for square in logged if square.z > mosaic.min_zoom}
        if parents:
            repair_parents(
                self._workspace.store,
                self._workspace.catalog.tiles,
                self._mosaic,
                parents,
                origin=self._workspace.box,
                now_ns=self._workspace.clock_ns(),
            )
        self._waiting.clear()


def update_all_ancestors(workspace: Workspace, mosaic: MosaicInfo) -> None:
    """Update the ancestors of all blocks of a mosaic.

    The previous run may have been killed before it did. Reads a 64th of the tiles.
    """
    above = BlockAncestors(workspace, mosaic)
    for head in workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=choose_block_zoom(mosaic)):
        above.mark_written(head.tile_id)
    above.update()


# -- Worker process and its tasks ------------------------------------------------------------------


Work = Callable[[Any, Fence], Any]
"""Processes a task; the fence is checked before any write that a later attempt would not undo."""

Job = Callable[[Workspace, Any], Work]
"""Makes the work from a worker's workspace and the job's input; a module-level function or class."""

LogLine = tuple[int, str]
"""Number and digest of a line of an audit log."""

_MAX_JOBS = 2  # each holds photos and terrain in memory
_WORKSPACES: list[Workspace] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """Common part of the tasks of one job.

    software       of the process that gave it (`describe_software`)
    line           of that process's audit log, which must be in the worker's; None if the log is empty
    flight_id      that must be in the worker's catalogue
    box, operator  in whose name tiles are written
    key, sha256    pickled input of the job in the store
    """

    software: str
    line: LogLine | None
    flight_id: str
    box: str
    operator: str | None
    job: Job
    key: str
    sha256: str


def describe_process() -> str:
    """Describe this process so that an operator can find it."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def initialise_worker(workspace: Workspace) -> None:
    """Set the workspace of this worker process, and fix its software version."""
    describe_software()
    _WORKSPACES[:] = [workspace]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerInfo:
    """Reply of a worker to the initial check.

    who       its host and process
    software  as of `describe_software`
    found     what its store has under the key; None: nothing
    has_line  its audit log has the line
    """

    who: str
    software: str
    found: bytes | None
    has_line: bool


def inspect_worker(key: str, line: LogLine) -> WorkerInfo:
    """Check a worker's store and audit log, see `WorkerInfo`. Raises StorageFailed."""
    with _named():
        workspace = _house()
        try:
            found = workspace.store.get(key)
        except ObjectMissing:
            found = None
        return WorkerInfo(
            who=describe_process(),
            software=describe_software(),
            found=found,
            has_line=has_audit_line(workspace.catalog, line),
        )


def run_task(order: JobOrder, task: Any, attempt: TaskAttempt) -> Any:
    """Process one task.

    Raises WorkerIncompatible, StorageFailed, and what the task raises.
    """
    with _named():
        return _jobs.of(order)(task, Fence(_house().store, order.key, attempt))


@contextmanager
def _named() -> Iterator[None]:
    """Turn an OSError into a StorageFailed that names this machine and the cause.

    An OSError would look to the scheduler like a lost connection, as if the machine were gone.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        cause = f"{type(error).__name__}: {what}"
        raise make_write_error(
            error,
            _(
                "{who_here}: {reason}; look at that machine's disk, memory and network, then "
                "run again. What is done is kept",
                who_here=describe_process(),
                reason=cause,
            ),
        ) from error


def require_same_software(who: str, worker_software: str, command_software: str) -> None:
    """Raise WorkerIncompatible unless the software is the same.

    Tiles would differ in their bytes.
    """
    if worker_software != command_software:
        raise WorkerIncompatible(
            _(
                "{who}: runs {theirs}, and this command {ours}; install the same on every "
                "machine and start 'flycam worker' again",
                who=who,
                theirs=worker_software,
                ours=command_software,
            )
        )


def make_other_store_error(who: str) -> WorkerIncompatible:
    """Make the error for a worker that does not find what was written for it."""
    return WorkerIncompatible(
        _(
            "{who}: does not see this store; give it the same FLYCAM_STORE. A folder is good "
            "only where every worker has the very same one, otherwise use S3",
            who=who,
        )
    )


def make_other_catalog_error(who: str) -> WorkerIncompatible:
    """Make the error for a worker that uses another catalogue."""
    return WorkerIncompatible(
        _(
            "{who}: does not see this catalogue; give it the same FLYCAM_DATABASE "
            "(PostgreSQL where the machines are several)",
            who=who,
        )
    )


def has_audit_line(catalog: Catalog, line: LogLine) -> bool:
    """Return True if a catalogue's audit log has this very line.

    Its digest covers all lines before it: a catalogue of another node never has it, nor an earlier copy.
    """
    seq, digest = line
    return any(one.digest == digest for one in catalog.audit.lines(since=seq - 1, limit=1))


def read_last_audit_line(catalog: Catalog) -> LogLine | None:
    """Return the last line of a catalogue's audit log."""
    last = catalog.audit.last()
    return None if last is None else (last.seq, last.digest)


def _house() -> Workspace:
    if not _WORKSPACES:
        raise ClusterUnavailable(
            _(
                "{who_here}: this worker was not started by 'flycam worker' and has no data "
                "folder; start it so",
                who_here=describe_process(),
            )
        )
    return _WORKSPACES[0]


class _Jobs:
    """The latest few jobs in this process: photos in memory serve many tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[JobOrder, Work] = OrderedDict()

    def of(self, order: JobOrder) -> Work:
        with self._lock:
            if order not in self._jobs:
                self._jobs[order] = _begun(order)
            self._jobs.move_to_end(order)
            while len(self._jobs) > _MAX_JOBS:
                self._jobs.popitem(last=False)
            return self._jobs[order]


def _begun(order: JobOrder) -> Work:
    who = describe_process()
    require_same_software(who, describe_software(), order.software)
    workspace = replace(_house(), box=order.box, operator=order.operator, cluster=None)
    try:
        data = workspace.store.get(order.key)
    except ObjectMissing as error:
        raise make_other_store_error(who) from error
    if hashlib.sha256(data).hexdigest() != order.sha256:
        raise make_other_store_error(who)
    if order.line is not None and not has_audit_line(workspace.catalog, order.line):
        raise make_other_catalog_error(who)
    try:
        workspace.catalog.flights.flight(order.flight_id)
    except NotFound as error:
        raise make_other_catalog_error(who) from error
    return order.job(workspace, pickle.loads(data))  # noqa: S301 - its hash came from who gave the order


_jobs = _Jobs()


# -- A run on a cluster, with temporary inputs and results in the store ----------------------------


class StoreStages:
    """Results of workers for single frames, stored as objects.

    They are found again by the same inputs. As `StageFolder`, but visible to every machine. run: the hash of
    all inputs.
    """

    def __init__(self, store: ObjectStore, flight_id: str, run: str) -> None:
        self._store, self._flight_id, self._run = store, flight_id, run

    def load(self, name: str, kinds: Iterable[type]) -> Any | None:
        """Load the value of a name, None if there is none or it is damaged.

        Raises StorageFailed.
        """
        try:
            data = bytearray(self._store.get(self._key(name)))
        except ObjectMissing:
            return None
        return read_serialized(data, kinds, f"{self._run} {name}")

    def save(self, name: str, value: Any, *, synced: bool = True) -> None:
        """Store a value atomically; not synced, a power cut may lose it.

        Raises StorageFailed.
        """
        file = io.BytesIO()
        write_serialized(file, value, f"{self._run} {name}")
        self._store.put(self._key(name), file.getvalue(), durable=synced)

    def _key(self, name: str) -> str:
        return keys.format_cluster_run_key(self._flight_id, self._run, name)


INGEST, FINISH = "ingest-", "finish-"
"""Prefixes of the names of runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterRun:
    """One run of one flight on a cluster.

    run: name of its objects; the same inputs give the same name.
    """

    workspace: Workspace
    cluster: Cluster
    flight_id: str
    run: str

    @property
    def stages(self) -> StoreStages:
        """Stored results of its workers."""
        return StoreStages(self.workspace.store, self.flight_id, self.run)

    def run_tasks(self, job: Job, shared: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, its result) as they come.

        shared: pickled input of all tasks. Raises what a task raised, ClusterUnavailable, WorkerIncompatible,
        StorageFailed.
        """
        if not tasks:
            return iter(())
        data = pickle.dumps(shared, protocol=pickle.HIGHEST_PROTOCOL)
        digest = hashlib.sha256(data).hexdigest()
        key = keys.format_cluster_run_key(self.flight_id, self.run, f"given-{digest}")
        # through the store, which also proves that a worker sees the same store (decision 0030)
        self.workspace.store.put(key, data)
        order = JobOrder(
            software=describe_software(),
            line=read_last_audit_line(self.workspace.catalog),
            flight_id=self.flight_id,
            box=self.workspace.box,
            operator=self.workspace.operator,
            job=job,
            key=key,
            sha256=digest,
        )
        return self.cluster.run(order, tasks)

    def clear(self) -> None:
        """Delete all inputs and results of this run."""
        delete_prefix(self.workspace.store, keys.format_cluster_run_key(self.flight_id, self.run))


def open_cluster_run(workspace: Workspace, flight_id: str, run: str) -> ClusterRun | None:
    """Return a run on the workspace's cluster; None without a cluster."""
    if workspace.cluster is None:
        return None
    return ClusterRun(workspace=workspace, cluster=workspace.cluster, flight_id=flight_id, run=run)


def delete_prefix(store: ObjectStore, prefix: str, *, dry_run: bool = False) -> int:
    """Delete all objects under a prefix, where the store permits; return their bytes."""
    freed = 0
    with suppress(StoreDenied):
        for key in list(store.list(prefix)):
            with suppress(ObjectMissing):
                size = store.size(key)
                if not dry_run:
                    store.delete(key)
                freed += size
    return freed
