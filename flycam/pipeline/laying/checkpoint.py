"""How far a merge of frames got: which of them are wholly in the tile log, for the run after a killed one.

    <cache>/merging/<mosaic>.json   of what, the log's last line then, and the frames

It is written after the log, so what it says is there. It is believed where the same frames are merged into
the same log: after an older backup was put back, or with other frames on the card, all is merged again, which
changes nothing and takes its time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from flycam.catalog.records import MosaicInfo
from flycam.pipeline.laying.making import Frame
from flycam.pipeline.workspace import Workspace
from flycam.store.syncing import move_into_place

EVERY_S = 15.0
_SHARE = 20.0
"""Tiles that are not done are written for it too: it may cost a twentieth of the time."""

_FOLDER = "merging"


class Checkpoint:
    """Of one merge. write: brings into the log all that is merged."""

    def __init__(
        self,
        workspace: Workspace,
        mosaic: MosaicInfo,
        frames: Sequence[Frame],
        write: Callable[[], object],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._mosaic, self._write, self._clock_s = workspace, mosaic, write, clock_s
        self._path = workspace.cache_dir / _FOLDER / f"{mosaic.mosaic_id}.json"
        self._of = _digest(mosaic, frames)
        self._due_s = clock_s() + EVERY_S

    def before(self) -> frozenset[str]:
        """Ids of frames that a run before this one has wholly brought into the log."""
        try:
            said = json.loads(self._path.read_bytes())
            here = self._line(int(said["seq"]))
            if said["of"] == self._of and here is not None and here == said["line"]:
                return frozenset(map(str, said["frames"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return frozenset()

    def reached(self, frame_ids: Iterable[str]) -> None:
        """These frames are merged: where it is time, they are brought into the log and noted.

        Raises what `write` raises; a note that cannot be kept costs the next run its time, and nothing else.
        """
        began_s = self._clock_s()
        if began_s < self._due_s:
            return
        self._write()
        seq = self._workspace.catalog.tiles.last_seq(self._mosaic.mosaic_id)
        said = {"of": self._of, "seq": seq, "line": self._line(seq), "frames": sorted(frame_ids)}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(f".{self._path.name}.part")
            part.write_text(json.dumps(said), encoding="utf-8")
            move_into_place(part, self._path)
        now_s = self._clock_s()
        self._due_s = now_s + max(EVERY_S, _SHARE * (now_s - began_s))

    def over(self) -> None:
        """All is merged and in the log."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _line(self, seq: int) -> str | None:
        """What a line of the log names: its tile and content."""
        for line in self._workspace.catalog.tiles.log_since(self._mosaic.mosaic_id, seq - 1, 1):
            if line.seq == seq:
                return f"{line.tile_id} {line.content_hash}"
        return None


def _digest(mosaic: MosaicInfo, frames: Iterable[Frame]) -> str:
    digest = hashlib.sha256(f"{mosaic.mosaic_id} {mosaic.base_zoom}".encode())
    for frame in frames:
        digest.update(str((frame.placement, frame.size_px)).encode())
    return digest.hexdigest()
