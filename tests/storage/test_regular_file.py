"""Only regular files are opened, and nothing is waited for."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from flycam.errors import SourceUnreadable
from flycam.storage.files import open_regular, read_regular


def test_a_file_and_a_link_to_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    for name in "ab":
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"abc"


def count_handles(path: Path) -> int:
    """Of this path, or of what it leads to beside it."""
    count = 0
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += handle.readlink() in (path, path.with_name("pipe"))
    return count


@pytest.mark.parametrize(
    "kind", ["pipe", "link to a pipe", "socket", "folder", "device", "circle", "nothing"]
)
def test_nothing_else_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jpg"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "link to a pipe":
            os.mkfifo(tmp_path / "pipe")
            path.symlink_to("pipe")
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(os.path.relpath(path))
        case "folder":
            path.mkdir()
        case "device":
            path = Path(os.devnull)
        case "circle":
            path.symlink_to(path.name)
    before = count_handles(path)
    with pytest.raises((OSError, SourceUnreadable)):
        open_regular(path)
    # of this path alone: what other tests left is let go at any time
    assert count_handles(path) <= before


def test_no_more_is_read_than_a_file_may_hold(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_regular(tmp_path / "a", 3) == b"abc"
    with pytest.raises(SourceUnreadable) as failure:
        read_regular(tmp_path / "a", 2)
    assert failure.value.message.in_language("vi") != str(failure.value)
