"""Objects of one backup run: each is found there whole, or copied, or told as missing.

Known from an earlier run: its file must be there in its size, and every run reads another tenth of all files
against their hashes, for disks rot. Not known (the index was lost, a run was killed): what lies there is
taken if it is what its key says. All else comes from the house, read against its hash as it is copied.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path

from flycam.errors import ObjectMissing
from flycam.pipeline.evidence import blocks
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.upkeep.backup_place import Copied, Index, digest_of, place_of, size_of
from flycam.pipeline.upkeep.held import REPLACED, Held, Holdings, Kind, standing_of, was_let_go
from flycam.pipeline.upkeep.readback import BLOCK_BYTES, is_whole
from flycam.pipeline.upkeep.tally import Tally
from flycam.pipeline.workspace import Progress, Workspace
from flycam.store import keys
from flycam.store.local import LocalStore
from flycam.store.syncing import sync_path

RUNS_TO_READ_ALL = 10
"""After so many runs every file of a backup was read against its hash once more."""

_GROUP = 256
"""Objects between two entries into the index: a kill loses the copying of so many."""

_Work = tuple[Held, Copied | None]


class Copying:
    """new, new_bytes: objects copied; missing: keys that neither the house nor the backup has whole;
    replaced: keys in whose place the house has another object by now, or none."""

    def __init__(
        self, workspace: Workspace, folder: Path, objects: LocalStore, index: Index, scratch: Path
    ) -> None:
        self._workspace = workspace
        self._store, self._catalog = workspace.store, workspace.catalog
        self._objects, self._index = objects, index
        self._folder, self._scratch = folder, scratch
        self._group: list[Copied] = []
        self._reads_due = True
        self.new = self.new_bytes = 0
        self.missing: list[str] = []
        self.replaced: list[str] = []

    def begin_again(self) -> None:
        """The objects of a catalogue that was saved anew: what was copied lies there, and was read."""
        self._index.begin_again()
        self._reads_due = False
        self.missing, self.replaced = [], []

    def all_of(self, holdings: Holdings, cursors: Collection[str], progress: Progress) -> None:
        """Every object of every part; of cursors (`keys.cursor_prefixes`) only these."""
        parts = holdings.parts()
        tally = Tally("backup", sum(map(holdings.size_of, parts)), progress)
        for part in parts:
            wanted = (
                held
                for held in holdings.of(part)
                if not held.key.startswith(keys.cursor_prefixes()) or held.key in cursors
            )
            for held, _, one, is_new in self._found(wanted):
                if one is not None:
                    self._note(one, is_new)
                elif held.kind in REPLACED:
                    now = standing_of(self._catalog, held)
                    is_so = now is not None and now.key == held.key
                    (self.missing if is_so else self.replaced).append(held.key)
                elif not was_let_go(self._workspace, held):
                    self.missing.append(held.key)
                tally.one()
        tally.end()
        self._commit()

    def carry_over(self, let_go: Collection[str]) -> list[str]:
        """Originals and terrain that the house neither names nor lists any more stay in the backup: it may
        have lost them. What it can make again, or let go, is old: those keys.

        let_go  keys of originals that the house let go under a retention term
        """
        old: set[str] = set()
        kept: set[str] = set()
        for key in self._index.unseen():
            if keys.is_kept_for_ever(key) and key not in let_go:
                kept.add(key)
            else:
                old.add(key)
        # an index that was lost does not know of them
        for key in chain.from_iterable(map(self._objects.list, keys.kept_for_ever_prefixes())):
            if key in let_go:
                old.add(key)
            elif not self._index.has_seen(key):
                kept.add(key)
        told = set(self.missing)
        for held, known, one, is_new in self._found(map(_kept, sorted(kept))):
            if one is not None:
                self._note(one, is_new)
            elif known is not None:
                self._index.forget(held.key)
                self.missing += [] if held.key in told else [held.key]
        self._commit()
        return sorted(old)

    def _found(self, wanted: Iterable[Held]) -> Iterator[tuple[Held, Copied | None, Copied | None, bool]]:
        """Each object, what was known of it, how it lies whole in the backup by now (None: nowhere is it
        whole), and whether it was copied."""
        work = ((held, self._index.get(held.key)) for held in wanted)
        return ordered_map(self._find, work, workers_here(), 4 * workers_here())

    def _find(self, work: _Work) -> tuple[Held, Copied | None, Copied | None, bool]:
        held, known = work
        path = place_of(self._folder, held.key)
        there = _lying(path, self._folder, held) if known is None else self._standing(path, known)
        if there is not None:
            return held, known, there, False
        return held, known, self._fetched(held), True

    def _standing(self, path: Path, known: Copied) -> Copied | None:
        """The object as an earlier run copied it, if its file still is what it was."""
        if size_of(path) != known.size:
            return None
        is_due = (
            self._reads_due
            and int(known.sha256[:8], 16) % RUNS_TO_READ_ALL == self._index.run % RUNS_TO_READ_ALL
        )
        return None if is_due and digest_of(path) != known.sha256 else known

    def _fetched(self, held: Held) -> Copied | None:
        """The object copied from the house; None where the house has it not whole either."""
        with tempfile.NamedTemporaryFile(dir=self._scratch) as file:
            digest, size = hashlib.sha256(), 0
            try:
                for block in blocks(self._store, held.key, BLOCK_BYTES):
                    digest.update(block)
                    size += file.write(block)
            except ObjectMissing:
                return None
            file.flush()
            path = Path(file.name)
            if not is_whole(path, held):
                return None
            self._objects.put_file(held.key, path)
        return Copied(held.key, size, digest.hexdigest())

    def _note(self, one: Copied, is_new: bool) -> None:
        if is_new:
            self.new, self.new_bytes = self.new + 1, self.new_bytes + one.size
        self._group.append(one)
        if len(self._group) >= _GROUP:
            self._commit()

    def _commit(self) -> None:
        self._objects.flush()
        self._index.put(self._group)
        self._group.clear()


def _kept(key: str) -> Held:
    return Held(key, Kind.TERRAIN if key.startswith(keys.terrain_prefix()) else Kind.FILE)


def _lying(path: Path, objects: Path, held: Held) -> Copied | None:
    """An object that no index knows of, if what lies there is whole; synced, for who knows whether it was."""
    size = size_of(path)
    if size is None:
        return None
    try:
        if not is_whole(path, held):
            return None
    except OSError:
        return None
    digest = digest_of(path)
    if not digest:
        return None
    for one in (path, *path.parents):
        sync_path(one)
        if one == objects:
            break
    return Copied(held.key, size, digest)
