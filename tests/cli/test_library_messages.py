"""What libraries print past the console: escaped, whole, and in nobody's way."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from flycam.model.text import is_printable
from tests.attack.commands import Operator
from tests.ports import free_port
from tests.waiting import START_S, until

NAME = b"\x1b]0;pwned\x07\xc2\x9b2J\nflycam: all is well"
_START = "from flycam.cli.library_messages import escape_library_messages as e; e()\nimport os, sys\n"
_FLOOD = 300_000


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path: Path, profile_name: bytes) -> Path:
    """A picture whose colour profile has this name and a wrong length, which libpng remarks upon."""
    size = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    profile = profile_name + b"\0\0" + zlib.compress(struct.pack(">I", 999) + bytes(range(256)) * 2)
    rows = zlib.compress(bytes(64 * (1 + 3 * 64)))
    chunks = ((b"IHDR", size), (b"iCCP", profile), (b"IDAT", rows), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in chunks))
    return path


def _answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
    return False


@pytest.fixture
def card(tmp_path: Path) -> Path:
    folder = tmp_path / "card"
    folder.mkdir()
    write_png(folder / "DJI_0001.PNG", NAME)
    return folder


def _run(program: str, *options: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, *options, "-c", _START + program]
    return subprocess.run(words, check=False, capture_output=True, timeout=100, **more)  # type: ignore[call-overload, no-any-return]


def test_a_colour_profile_moves_no_cursor_and_begins_no_line(card: Path, tmp_path: Path) -> None:
    for words in (["inspect", card], ["ingest", card, "--data", tmp_path / "data"]):
        said = subprocess.run([sys.executable, "-m", "flycam", *words], capture_output=True, check=False)
        lines = said.stderr.decode().splitlines()
        assert said.returncode == 3, lines  # no position
        assert all(map(is_printable, lines)), lines
        assert sum(r"\x1b]0;pwned\x07\x9b2J\nflycam: all is well" in line for line in lines) == 1, (
            "libpng's remark"
        )
        assert sum(line.startswith("flycam: ") for line in lines) == 1, "only our own"


def test_a_terminal_keeps_the_progress_line(card: Path) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "flycam", "inspect", str(card)]
    with subprocess.Popen(words, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs) as program:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 1 << 16):
                shown += data
        except OSError:  # nobody has the other end any more
            pass
    os.close(ours)
    assert program.returncode == 3
    assert b"\x1b" not in shown and rb"\x1b]0;pwned" in shown
    assert b"\rlook" in shown and "█".encode() in shown


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("os.write(2, b'a\\x1bb'); os.abort()", -signal.SIGABRT),
        ("os.write(2, b'a\\x1bb'); os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.write(2, b'a\\x1bb'); import signal; os.killpg(0, signal.SIGTERM)", -signal.SIGTERM),
        ("os.write(2, b'a\\x1bb'); os._exit(4)", 4),
        ("import subprocess; subprocess.run(['printf', r'a\\033b'], stdout=2); sys.exit(5)", 5),
        (
            "import subprocess as s; s.Popen('sleep 0.3; printf \"a\\\\033b\" >&2', shell=True, stdout=2)",
            0,
        ),
        ("import ctypes; ctypes.PyDLL(None).perror(b'a\\x1bb')", 0),
    ],
)
def test_last_words_arrive_however_the_program_ends(program: str, code: int) -> None:
    done = _run(program, start_new_session=True)
    assert done.returncode == code
    assert done.stderr.startswith(rb"a\x1bb")


def test_a_crash_is_told() -> None:
    done = _run("import ctypes; ctypes.string_at(0)", "-X", "faulthandler")
    assert done.returncode == -signal.SIGSEGV
    assert b"Segmentation fault" in done.stderr and b"string_at" in done.stderr


@pytest.mark.parametrize("how", ["fail()", "t.Thread(target=fail).start()"])
def test_what_nobody_caught_is_escaped(how: str) -> None:
    fail = "bad = 'a\\x1b[2J\\nflycam: fine\\u202e'\ndef fail():\n    raise ValueError(bad)\n"
    done = _run(f"import threading as t\n{fail}{how}")
    lines = done.stderr.decode().splitlines()
    assert all(map(is_printable, lines)) and not any(line.startswith("flycam:") for line in lines)
    assert "ValueError" in lines[-1] and "\\x1b[2J" in lines[-1]


def test_a_flood_is_neither_lost_nor_waited_for_in_vain() -> None:
    """By a library that keeps the interpreter's lock while the pipe is full."""
    program = f"""
import ctypes
write = ctypes.PyDLL(None).write
line = "đá lở \\x1b\\n".encode()
for _ in range({_FLOOD} // len(line)):
    write(2, line, len(line))
big = b"x" * {_FLOOD}
assert write(2, big, len(big)) == len(big)
print("whole", file=sys.stderr)
"""
    done = _run(program)
    assert done.returncode == 0, done.stderr[-200:]
    text = done.stderr.decode()
    assert text.count("đá lở \\x1b\n") == _FLOOD // len("đá lở \x1b\n".encode())
    assert text.count("x") == _FLOOD + text.count("\\x1b") and text.count("whole\n") == 1


def test_letters_that_come_in_pieces_stay_letters() -> None:
    done = _run("for one in 'Đ\\u202e水'.encode() + b'\\xe6': os.write(2, bytes([one]))")
    assert done.stderr.decode() == "Đ\\u202e水\\udce6"


def test_without_a_place_to_print_to_commands_still_work() -> None:
    flycam = f"'{sys.executable}' -m flycam --version"
    for line in (f"{flycam} 2>&-", f"{flycam} 2>/dev/full", f"{flycam} 0<&- 2>/dev/null"):
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.count("version")) == (0, 1), line


def test_whoever_waits_for_the_output_waits_for_the_program_only() -> None:
    """The process that escapes keeps no copy of what is not its own."""
    with subprocess.Popen(
        [sys.executable, "-c", _START + "os.close(1); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None and program.stdin is not None
        assert program.stdout.read() == b"", "ended, though the program runs"
        assert program.poll() is None
        program.stdin.close()
    assert program.returncode == 0


def test_a_server_says_what_libraries_print_escaped(tmp_path: Path) -> None:
    """Whatever is written to its descriptor 2, for as long as it serves; its own lines stay whole."""
    port = free_port()
    with (tmp_path / "said").open("wb") as said:
        server = Operator(tmp_path / "data", {}).start("serve", "--port", port, stderr=said)
        try:
            until(lambda: _answers(port), within_s=START_S, of=server)
            with Path(f"/proc/{server.pid}/fd/2").open("wb", buffering=0) as stderr:
                stderr.write(b"a\x1bb\n")
        finally:
            server.terminate()
            server.communicate(timeout=60)
    lines = (tmp_path / "said").read_text(encoding="utf-8").splitlines()
    assert all(map(is_printable, lines)) and r"a\x1bb" in lines
