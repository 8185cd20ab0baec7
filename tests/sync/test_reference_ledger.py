from __future__ import annotations

from flycam.storage import keys
from flycam.storage.address import MemoryStore
from flycam.sync.reference_import import ReferenceLedger

ONE, TWO = "1" * 64, "2" * 64


def test_the_last_entry_stands_also_for_whoever_reads_it_later() -> None:
    store = MemoryStore()
    ledger = ReferenceLedger(store, "Tỉnh/…")
    assert (ledger.get_sha256("layer", "a"), ledger.state) == ("", "")
    for sha256 in (TWO, ONE, ONE):
        ledger.note("layer", "a", sha256)
    ledger.note("area", "a", TWO)
    ledger.note_state("ab" * 16)
    for read in (ledger, ReferenceLedger(store, "Tỉnh/…")):
        assert (read.get_sha256("layer", "a"), read.get_sha256("area", "a"), read.state) == (
            ONE,
            TWO,
            "ab" * 16,
        )
    assert ReferenceLedger(store, "another").get_sha256("layer", "a") == ""
    listed = list(store.list(keys.format_reference_prefix("Tỉnh/…")))
    assert len(listed) == 3  # one a thing: what was before is let go
    for key in listed:
        keys.check_key(key)


def test_a_kill_between_two_entries_leaves_the_later() -> None:
    store = MemoryStore()
    ReferenceLedger(store, "p").note("layer", "a", TWO)
    store.put(keys.format_reference_key("p", "layer", "a", 2, ONE), b"")
    ledger = ReferenceLedger(store, "p")
    assert ledger.get_sha256("layer", "a") == ONE
    ledger.note("layer", "a", TWO)
    assert ReferenceLedger(store, "p").get_sha256("layer", "a") == TWO
