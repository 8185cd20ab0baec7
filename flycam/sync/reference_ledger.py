"""Ledger of reference items imported from a server: nothing is fetched twice.

An entry is all in its key: peer, kind, name, and the item's SHA-256; a later one has a greater number. It
is written when the item is recorded here, so a kill before that costs one more fetch.
"""

from __future__ import annotations

from flycam.store import keys
from flycam.store.base import ObjectStore

_STATE = "state"


class ReferenceLedger:
    """Items imported from one server."""

    def __init__(self, store: ObjectStore, peer: str) -> None:
        self._store = store
        self._peer = peer
        self._entries: dict[tuple[str, str], tuple[int, str, str]] = {}
        for key in store.list(keys.format_reference_prefix(peer)):
            kind, name, number, sha256 = keys.parse_reference_key(key)
            if (kind, name) not in self._entries or self._entries[kind, name][0] < number:
                self._entries[kind, name] = (number, sha256, key)

    def get_sha256(self, kind: str, name: str) -> str:
        """Return the SHA-256 of an item when it last came; "" if it never did."""
        entry = self._entries.get((kind, keys.derive_reference_id(name)))
        return "" if entry is None else entry[1]

    def note(self, kind: str, name: str, sha256: str) -> None:
        """Note that an item is recorded here as it came."""
        at = kind, keys.derive_reference_id(name)
        number, before, key_before = self._entries.get(at, (0, "", ""))
        if before == sha256:
            return
        key = keys.format_reference_key(self._peer, kind, name, number + 1, sha256)
        self._store.flush()
        self._store.put(key, b"", durable=True)
        self._entries[at] = (number + 1, sha256, key)
        if key_before:
            self._store.delete(key_before)

    @property
    def state(self) -> str:
        """The server's state when all of it was here; "" if it never was."""
        return self.get_sha256(_STATE, "")

    def note_state(self, state: str) -> None:
        """Note that everything is here that the server had in this state."""
        self.note(_STATE, "", state)
