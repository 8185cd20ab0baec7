"""How far a merge of frames got: which of them are wholly in the tile log, for the run after a killed one.

    <cache>/merging/<mosaic>.json   of what, the log's last line then, and the frames

It is written after the log, so what it says is there: with every group of finished tiles, and where a frame
has waited long for its tiles to be finished, after all of them were written as they are. It is believed where
the same frames are merged into the same log: after an older backup was put back, or with other frames on the
card, all is merged again, which changes nothing and takes its time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from flycam.catalog.records import MosaicInfo
from flycam.geometry.grid import TileId
from flycam.pipeline.orthorectification.rectify_pool import MergeFrame
from flycam.pipeline.workspace import Workspace
from flycam.store.fsync import move_into_place

MAX_INTERVAL_S = 5.0
"""A frame that was laid so long ago is brought into the log, though its tiles are not finished."""
_SHARE = 20.0
"""Noting may cost a twentieth of the time, and so may writing tiles that are not finished."""

_FOLDER = "merging"


@dataclass(slots=True)
class _MergedFrame:
    """A frame of which all that it claims is merged: its tiles that are not in the log, and when."""

    left: set[TileId]
    at_s: float


class Checkpoint:
    """Of one merge.

    write          brings into the log all that is merged
    write_records  brings on record all frames that are laid
    """

    def __init__(
        self,
        workspace: Workspace,
        mosaic: MosaicInfo,
        frames: Sequence[MergeFrame],
        write: Callable[[], object],
        write_records: Callable[[], object],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._mosaic, self._clock_s = workspace, mosaic, clock_s
        self._write, self._write_records = write, write_records
        self._path = workspace.cache_dir / _FOLDER / f"{mosaic.mosaic_id}.json"
        self._of = _digest(mosaic, frames)
        self._noted = set(self._read())
        self._laid: dict[str, _MergedFrame] = {}
        self._given: tuple[Collection[TileId], Collection[str]] = ((), ())
        self._note_due_s = self._write_due_s = float("-inf")

    def list_completed(self) -> frozenset[str]:
        """Ids of frames that a run before this one, or this one by now, has wholly brought into the log."""
        return frozenset(self._noted)

    def mark_merged(self, frame_id: str, tiles: Iterable[TileId]) -> None:
        """All that a frame claims, on these tiles, is merged.

        Where it is time, all that is merged is brought into the log. Raises what `write` raises.
        """
        began_s = self._clock_s()
        if frame_id not in self._noted:
            self._laid.setdefault(frame_id, _MergedFrame(set(), began_s)).left.update(tiles)
        oldest = next(iter(self._laid.values()), None)
        if oldest is None or began_s < max(oldest.at_s + MAX_INTERVAL_S, self._write_due_s):
            return
        self._write()
        self._note(list(self._laid))
        self._write_due_s = self._due_s(began_s)

    def mark_writing(self, tiles: Collection[TileId]) -> None:
        """These tiles, to which nothing more comes, are being written; those given before are in the log."""
        (logged, frame_ids), self._given = self._given, (frozenset(tiles), list(self._laid))
        for frame_id in frame_ids:
            if frame_id in self._laid:
                self._laid[frame_id].left.difference_update(logged)
        whole = [one for one in frame_ids if one in self._laid and not self._laid[one].left]
        began_s = self._clock_s()
        if not whole or began_s < self._note_due_s:
            return
        self._write_records()
        self._note(whole)
        self._note_due_s = self._due_s(began_s)

    def finish(self) -> None:
        """All is merged and in the log."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _due_s(self, began_s: float) -> float:
        """When what took from then until now may be done again."""
        now_s = self._clock_s()
        return now_s + _SHARE * (now_s - began_s)

    def _note(self, frame_ids: Iterable[str]) -> None:
        """A note that cannot be kept costs the next run its time, and nothing else."""
        for frame_id in frame_ids:
            self._noted.add(frame_id)
            del self._laid[frame_id]
        seq = self._workspace.catalog.tiles.last_seq(self._mosaic.mosaic_id)
        said = {"of": self._of, "seq": seq, "line": self._line(seq), "frames": sorted(self._noted)}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(f".{self._path.name}.part")
            part.write_text(json.dumps(said), encoding="utf-8")
            move_into_place(part, self._path)

    def _read(self) -> list[str]:
        try:
            said = json.loads(self._path.read_bytes())
            here = self._line(int(said["seq"]))
            if said["of"] == self._of and here is not None and here == said["line"]:
                return list(map(str, said["frames"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return []

    def _line(self, seq: int) -> str | None:
        """What a line of the log names: its tile and content."""
        for line in self._workspace.catalog.tiles.log_since(self._mosaic.mosaic_id, seq - 1, 1):
            if line.seq == seq:
                return f"{line.tile_id} {line.content_hash}"
        return None


def _digest(mosaic: MosaicInfo, frames: Iterable[MergeFrame]) -> str:
    digest = hashlib.sha256(f"{mosaic.mosaic_id} {mosaic.base_zoom}".encode())
    for frame in frames:
        digest.update(str((frame.placement, frame.size_px)).encode())
    return digest.hexdigest()
