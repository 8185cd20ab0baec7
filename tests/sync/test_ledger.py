from __future__ import annotations

from flycam.store import keys
from flycam.store.memory import MemoryStore
from flycam.sync.ledger import Ledger

ONE, TWO = "1" * 64, "2" * 64


def test_the_last_entry_stands_also_for_whoever_reads_it_later() -> None:
    store = MemoryStore()
    ledger = Ledger(store, "Tỉnh/…")
    assert (ledger.of("layer", "a"), ledger.state) == ("", "")
    for sha256 in (TWO, ONE, ONE):
        ledger.note("layer", "a", sha256)
    ledger.note("area", "a", TWO)
    ledger.note_state("ab" * 16)
    for read in (ledger, Ledger(store, "Tỉnh/…")):
        assert (read.of("layer", "a"), read.of("area", "a"), read.state) == (ONE, TWO, "ab" * 16)
    assert Ledger(store, "another").of("layer", "a") == ""
    listed = list(store.list(keys.had_prefix("Tỉnh/…")))
    assert len(listed) == 3  # one a thing: what was before is let go
    for key in listed:
        keys.check_key(key)


def test_a_kill_between_two_entries_leaves_the_later() -> None:
    store = MemoryStore()
    Ledger(store, "p").note("layer", "a", TWO)
    store.put(keys.had("p", "layer", "a", 2, ONE), b"")
    ledger = Ledger(store, "p")
    assert ledger.of("layer", "a") == ONE
    ledger.note("layer", "a", TWO)
    assert Ledger(store, "p").of("layer", "a") == TWO
