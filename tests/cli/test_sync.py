from __future__ import annotations

from flycam.cli.sync import format_sync
from flycam.messages import join, verbatim
from flycam.sync.node import SyncReport
from flycam.sync.reference_client import FetchReport
from flycam.sync.reference_feed import ReferenceKind
from flycam.sync.reference_import import ReferenceConflict

GOT = FetchReport(
    item_counts={kind.value: 2 for kind in ReferenceKind},
    left_bytes=1_250_000,
    conflicts=[ReferenceConflict("Trạm BTS", verbatim("Trạm BTS: is kept"))],
)


def test_what_came_back_is_said_in_both_languages() -> None:
    answer, lines = format_sync(SyncReport(received_bytes=77), GOT, "http://p")
    assert answer["got"] == {kind.value: 2 for kind in ReferenceKind}
    assert (answer["got_bytes"], answer["left_there"]) == (77, 1_250_000)
    assert answer["kept"] == [
        {"name": "Trạm BTS", "sentence": "Trạm BTS: is kept", "sentence_vi": "Trạm BTS: is kept"}
    ]
    assert "got from there: 2 restricted areas, 2 groups of confirmed changes" in str(lines[1])
    assert list(map(str, lines[2:])) == [
        "1.2 MB there are still to come; the same command goes on",
        "Trạm BTS: is kept",
    ]
    vietnamese = join(lines, "\n").in_language("vi").split("\n")
    assert "đã nhận về: 2 vùng hạn chế, 2 nhóm thay đổi đã xác nhận" in vietnamese[1]
    assert vietnamese[2:] == ["còn 1,2 MB bên đó chưa nhận; chạy lại để nhận tiếp", "Trạm BTS: is kept"]


def test_nothing_that_came_is_not_said() -> None:
    assert len(format_sync(SyncReport(), FetchReport(), "http://p")[1]) == 1


def test_what_a_metered_line_leaves_is_told_with_the_command_that_gets_it() -> None:
    got = FetchReport(left_bytes=42_500, metered_bytes=42_500)
    _, (_, line) = format_sync(SyncReport(), got, "http://p")
    said = "metered line: 42.5 kB of terrain there wait; the same command without --metered gets them"
    assert str(line) == said
    said = "đường truyền tính tiền: còn 42,5 kB dữ liệu độ cao bên đó; chạy lại không kèm --metered để nhận"
    assert join([line]).in_language("vi") == said
