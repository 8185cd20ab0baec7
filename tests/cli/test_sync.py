from __future__ import annotations

from flycam.cli.sync import format_sync
from flycam.messages import verbatim
from flycam.sync.node import SyncReport
from flycam.sync.reference_client import FetchReport
from flycam.sync.reference_feed import ReferenceKind
from flycam.sync.reference_import import ReferenceConflict

GOT = FetchReport(
    item_counts={kind.value: 2 for kind in ReferenceKind},
    left_bytes=1_250_000,
    conflicts=[ReferenceConflict("Trạm BTS", verbatim("Trạm BTS: is kept"))],
)


def test_what_came_back_is_in_the_answer() -> None:
    answer, lines = format_sync(SyncReport(received_bytes=77), GOT, "http://p")
    assert answer["got"] == {kind.value: 2 for kind in ReferenceKind}
    assert (answer["got_bytes"], answer["left_there"]) == (77, 1_250_000)
    assert answer["kept"] == [
        {"name": "Trạm BTS", "sentence": "Trạm BTS: is kept", "sentence_vi": "Trạm BTS: is kept"}
    ]
    assert len(lines) == 4
