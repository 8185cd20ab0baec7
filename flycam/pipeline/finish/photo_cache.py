"""Cache of a flight's decoded photos: a few in memory, none on disk."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord
from flycam.errors import FrameRejected, InputUnusable
from flycam.ingest.photo.photo_reader import open_pixels
from flycam.messages import _
from flycam.pipeline.original_store import make_copy_error, read_verified_original
from flycam.pipeline.workspace import Workspace

Bytes = NDArray[np.uint8]

_MEMORY_BYTES = 300_000_000


def keep_unchanged(_frame_id: str, pixels: Bytes) -> Bytes:
    """Return the photo as its camera wrote it, without development."""
    return pixels


class PhotoCache:
    """Decoded photos by frame id, the latest within `memory_bytes`; thread-safe.

    develop  applied to a decoded photo, such as evening out its exposure
    """

    def __init__(
        self,
        workspace: Workspace,
        records: Iterable[FrameRecord],
        *,
        develop: Callable[[str, Bytes], Bytes] = keep_unchanged,
        memory_bytes: int = _MEMORY_BYTES,
    ) -> None:
        self._workspace = workspace
        self._records = {record.frame_id: record for record in records}
        self._develop = develop
        self._memory_bytes = memory_bytes
        self._kept: OrderedDict[str, Bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}

    def pixels(self, frame_id: str) -> Bytes:
        """Return H×W×3 uint8 RGB, full size, rows as the sensor read them; read-only.

        Raises InputUnusable where the stored original no longer reads, and what the store raises.
        """
        record = self._records[frame_id]
        try:
            return self.read(record)
        except FrameRejected as error:
            name = record.header.provenance.source_name
            raise InputUnusable(
                _("{name}: its stored original no longer reads; restore the store", name=name)
            ) from error

    def read(self, record: FrameRecord) -> Bytes:
        """Read the pixels of any frame, in the records or not.

        Raises FrameRejected instead of InputUnusable.
        """
        frame_id = record.frame_id
        with self._lock:
            making = self._making.setdefault(frame_id, threading.Lock())
        # Two threads that want the same photo decode it once.
        with making:
            kept = self._get(frame_id)
            if kept is None:
                kept = self._develop(frame_id, read_stored_pixels(self._workspace, record))
                kept.flags.writeable = False
                self._keep(frame_id, kept)
        return kept

    def clear(self) -> None:
        """Drop every photo from memory; it is decoded again when asked for."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _get(self, frame_id: str) -> Bytes | None:
        with self._lock:
            kept = self._kept.get(frame_id)
            if kept is not None:
                self._kept.move_to_end(frame_id)
            return kept

    def _keep(self, frame_id: str, pixels: Bytes) -> None:
        with self._lock:
            self._kept[frame_id] = pixels
            self._bytes += pixels.nbytes
            while self._bytes > self._memory_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


def read_stored_pixels(workspace: Workspace, record: FrameRecord) -> Bytes:
    """Return H×W×3 uint8 RGB of a frame's stored original.

    Raises FrameRejected where it does not read, DataDamaged where its hash differs, and what the store
    raises.
    """
    provenance = record.header.provenance
    data = read_verified_original(workspace, provenance.source_sha256, provenance.source_name)
    # Decoders take files; a copy lives only while it is read, for a flight may have 20 GB of them.
    with _copied(workspace.cache_dir, data, Path(provenance.source_name).name) as path:
        return open_pixels(path)


@contextmanager
def _copied(cache: Path, data: bytes, name: str) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache))) / name
            path.write_bytes(data)
        except OSError as error:
            raise make_copy_error(name, cache, error) from error
        yield path
