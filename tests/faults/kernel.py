"""What the kernel offers to watch a program's system calls: a seccomp filter that stops it at those that
change files, and ptrace to look at each. Linux on x86-64; no compiler is needed, and SQLite is seen as all
else is."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CALLS: Mapping[int, str] = {
    1: "write", 18: "pwrite64", 20: "writev", 296: "pwritev", 328: "pwritev2",
    44: "sendto", 46: "sendmsg",
    40: "sendfile", 326: "copy_file_range", 275: "splice",
    2: "open", 85: "creat", 257: "openat", 437: "openat2",
    76: "truncate", 77: "ftruncate", 285: "fallocate",
    82: "rename", 264: "renameat", 316: "renameat2",
    86: "link", 265: "linkat", 87: "unlink", 263: "unlinkat", 84: "rmdir",
    83: "mkdir", 258: "mkdirat", 88: "symlink", 266: "symlinkat",
    74: "fsync", 75: "fdatasync", 162: "sync", 306: "syncfs",
    9: "mmap",
}  # fmt: skip
"""Those that are stopped at, by number."""

_TRACED = {name: number for number, name in CALLS.items()}
_IO_URING_SETUP = 425  # would write past the filter: said not to exist
_X86_64 = 0xC000003E
_ALLOW, _TRACE, _NO_SUCH_CALL = 0x7FFF0000, 0x7FF00000, 0x00050000 | 38
_LOAD, _IF_EQUAL, _IF_ANY, _RETURN = 0x20, 0x15, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16

TRACE_ME, CONT, GET_REGS, SYSCALL, SET_OPTIONS, EVENT_MESSAGE = 0, 7, 12, 24, 0x4200, 0x4201
OPTIONS = (
    0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
)  # threads, children, seccomp; all end with the watcher
SECCOMP_EVENT = 7
_WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def why_not() -> str | None:
    """Why programs cannot be watched here; None where they can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "system calls are watched on Linux on x86-64 only"
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _libc.ptrace(TRACE_ME, 0, None, None) == 0 else 1)
    _, status = os.waitpid(pid, 0)
    return None if status == 0 else "this machine does not let a program be traced"


def ptrace(request: int, tid: int, data: int | ctypes.Array[ctypes.c_ulonglong] = 0) -> None:
    """Raises ProcessLookupError for a thread that has ended meanwhile, OSError."""
    if (
        _libc.ptrace(request, tid, None, data if isinstance(data, ctypes.Array) else ctypes.c_void_p(data))
        < 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def registers(tid: int) -> tuple[int, tuple[int, ...], int]:
    """(number of the call, its six arguments, what it returned) of a stopped thread."""
    values = (ctypes.c_ulonglong * 27)()
    ptrace(GET_REGS, tid, values)
    returned = ctypes.c_longlong(values[10]).value
    return values[15], (values[14], values[13], values[12], values[7], values[9], values[8]), returned


def read_memory(tid: int, address: int, length: int) -> bytes:
    """Bytes of a thread's memory. Raises OSError."""
    if length == 0:
        return b""
    data = ctypes.create_string_buffer(length)
    here, there = _Span(ctypes.addressof(data), length), _Span(address, length)
    got = _libc.process_vm_readv(tid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    if got != length:
        raise OSError(ctypes.get_errno(), "a program's memory cannot be read")
    return data.raw


def read_text(tid: int, address: int) -> str:
    """A text that ends in a zero byte; it is read page by page, for the next page may not be there."""
    data = b""
    while b"\0" not in data:
        at = address + len(data)
        data += read_memory(tid, at, 4096 - at % 4096)
    return os.fsdecode(data[: data.index(b"\0")])


def signed(value: int) -> int:
    """An int of 32 bits out of a register."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 1 << 31 else value


def read_vector(tid: int, address: int, count: int) -> bytes:
    """The bytes that a list of spans names."""
    spans = read_memory(tid, address, 16 * count)
    words = [int.from_bytes(spans[at : at + 8], "little") for at in range(0, len(spans), 8)]
    return b"".join(read_memory(tid, *pair) for pair in zip(words[::2], words[1::2], strict=True))


def position_of(tid: int, fd: int) -> int:
    """Where the next byte of an open file would be written."""
    return int(Path(f"/proc/{tid}/fdinfo/{fd}").read_text().split()[1])


def wait_for_any() -> tuple[int, int]:
    """(thread, status) of the next that stopped or ended."""
    return os.waitpid(-1, _WALL)


def start_watched(command: Sequence[str]) -> int:
    """The process id of a command that waits, stopped, at its first instruction of its own."""
    program = (ctypes.c_char * len(_FILTER)).from_buffer_copy(_FILTER)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(_FILTER) // 8, ctypes.addressof(program)))
    pid = os.fork()
    if pid == 0:
        try:
            _libc.ptrace(TRACE_ME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            no_new_rights, set_filter, by_program = 38, 22, 2
            if _libc.prctl(no_new_rights, 1, 0, 0, 0) or _libc.prctl(set_filter, by_program, head, 0, 0):
                os._exit(126)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    os.waitpid(pid, _WALL)
    ptrace(SET_OPTIONS, pid, OPTIONS)
    return pid


def _filter() -> bytes:
    """The program that the kernel runs at each call: (operation, jump if so, jump if not, value) a line."""
    creating = os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
    flags_at = {"open": 1, "openat": 2}
    plain = [number for number, name in CALLS.items() if name not in {*flags_at, "mmap"}]
    lines: list[tuple[int, str, str, int]] = [
        (_LOAD, "", "", _ARCH),
        (_IF_EQUAL, "", "allow", _X86_64),
        (_LOAD, "", "", _NR),
        *((_IF_EQUAL, "trace", "", number) for number in plain),
        (_IF_EQUAL, "refuse", "", _IO_URING_SETUP),
        *((_IF_EQUAL, name, "", _TRACED[name]) for name in (*flags_at, "mmap")),
        (_RETURN, "", "", _ALLOW),
    ]
    labels = {}
    for name, at in flags_at.items():
        labels[name] = len(lines)
        lines += [(_LOAD, "", "", _ARGS + 8 * at), (_IF_ANY, "trace", "allow", creating)]
    labels["mmap"] = len(lines)
    shared, writable = 1, 2
    lines += [(_LOAD, "", "", _ARGS + 24), (_IF_ANY, "", "allow", shared)]
    lines += [(_LOAD, "", "", _ARGS + 16), (_IF_ANY, "trace", "allow", writable)]
    for name, value in (("allow", _ALLOW), ("trace", _TRACE), ("refuse", _NO_SUCH_CALL)):
        labels[name] = len(lines)
        lines.append((_RETURN, "", "", value))
    return b"".join(
        struct.pack("HBBI", code, *(labels[to] - at - 1 if to else 0 for to in (yes, no)), value)
        for at, (code, yes, no, value) in enumerate(lines)
    )


_FILTER = _filter()
