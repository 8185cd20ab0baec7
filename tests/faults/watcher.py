"""Runs a command and writes down all that it, its threads and its children do to the files under a folder.

    python -m tests.faults.watcher ROOT JOURNAL COMMAND…

The command's output and exit code are its own; signals to end it are handed on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import kernel
from tests.faults.journal import Cut, Journal, Line, Moved, Named, Synced, Told, Unnamed, Wrote
from tests.faults.kernel import position_of, read_memory, read_text, read_vector, signed

Done = Callable[[int], None]
"""What is written down when the call has returned this, 0 or more."""

_AT_FDCWD = -100
_MISSING = 0
_EXCHANGE = 0x2
_MOST_TOLD = 4096


class CannotFollow(Exception):
    """The program did what the model knows nothing of."""


@dataclass
class Watcher:
    """One run. Lines are written in the order in which calls returned."""

    root: str
    journal: Journal = field(init=False)
    _numbers: dict[int, int] = field(default_factory=dict)
    _named: dict[tuple[int, str], int] = field(default_factory=dict)
    _folders: set[int] = field(default_factory=set)
    _next: int = 0

    def __post_init__(self) -> None:
        before = {"": self._new(os.stat(self.root).st_ino, is_folder=True)}
        for folder, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                number = self._of(path) or self._new(os.lstat(path).st_ino, is_folder=name in folders)
                before[os.path.relpath(path, self.root)] = number
                self._named[self._folder(folder), name] = number
        self.journal = Journal(before)

    def begun(self, tid: int) -> Done | None:
        """What to do when the call at which this thread stopped has returned; None: it changes nothing."""
        number, arguments, _ = kernel.registers(tid)
        call = kernel.CALLS[number]
        handler: Callable[..., Done | None] = getattr(self, f"_{_HANDLERS.get(call, call)}")
        return handler(tid, call, arguments)

    def _new(self, inode: int, *, is_folder: bool = False) -> int:
        self._next += 1
        self._numbers[inode] = self._next
        if is_folder:
            self._folders.add(self._next)
        return self._next

    def _of(self, path: str) -> int | None:
        """The number of what has this path; None if there is nothing or it is not known."""
        try:
            return self._numbers.get(os.lstat(path).st_ino)
        except OSError:
            return None

    def _add(self, line: Line) -> None:
        self.journal.lines.append(line)

    def _open_file(self, tid: int, fd: int) -> int | None:
        """The number of a file that is open in a thread, None if it lies elsewhere."""
        try:
            link = f"/proc/{tid}/fd/{fd}"
            if not self._holds(os.readlink(link)):
                return None
            inode = os.stat(link).st_ino
        except OSError:
            return None
        if inode not in self._numbers:
            raise CannotFollow(f"{os.readlink(link)}: nobody saw how it came")
        return self._numbers[inode]

    def _holds(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + "/")

    def _place(self, tid: int, base: int, address: int) -> tuple[str, int, str] | None:
        """(path, number of its folder, its name there) of a path in a thread's memory, None elsewhere.

        A folder that is not there makes most calls fail, unless another thread makes it at that moment.
        """
        text, at = read_text(tid, address), signed(base)
        start = os.readlink(f"/proc/{tid}/cwd" if at == _AT_FDCWD else f"/proc/{tid}/fd/{at}")
        path = os.path.normpath(os.path.join(start, text))
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder)
        if not self._holds(folder):
            return None
        return os.path.join(folder, name), self._folder(folder), name

    # bytes -----------------------------------------------------------------------------------------------

    def _write(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        fd, address, count, offset = arguments[:4]
        file = self._open_file(tid, fd)
        if file is None and (told := self._told(tid, fd, call)) is None:
            return None
        data = read_vector(tid, address, count) if "v" in call else read_memory(tid, address, count)

        def done(returned: int) -> None:
            if file is None:
                self._add(Told(told or "", data[: min(returned, _MOST_TOLD)]))
            elif returned:
                at = offset if call.startswith("p") else position_of(tid, fd) - returned
                self._add(Wrote(file, at, data[:returned]))

        return done

    def _told(self, tid: int, fd: int, call: str) -> str | None:
        try:
            kind = os.readlink(f"/proc/{tid}/fd/{fd}")
        except OSError:
            return None
        if kind.startswith("socket:"):
            return "line"
        return "out" if fd == 1 and call in ("write", "writev") else None

    def _send(self, tid: int, call: str, arguments: Sequence[int]) -> Done:
        if call == "sendto":
            data = read_memory(tid, arguments[1], min(arguments[2], _MOST_TOLD))
        else:
            head = read_memory(tid, arguments[1] + 16, 16)
            data = read_vector(tid, int.from_bytes(head[:8], "little"), int.from_bytes(head[8:], "little"))
        return lambda returned: self._add(Told("line", data[: min(returned, _MOST_TOLD)]))

    def _copy(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        """From one file to another in the kernel: what came there is read back."""
        to, where = (arguments[0], 0) if call == "sendfile" else (arguments[2], arguments[3])
        file = self._open_file(tid, to)
        if file is None:
            return None
        if where:
            raise CannotFollow(f"{call} to a place of its own")

        def done(returned: int) -> None:
            if returned:
                at = position_of(tid, to) - returned
                with open(f"/proc/{tid}/fd/{to}", "rb") as written:
                    written.seek(at)
                    self._add(Wrote(file, at, written.read(returned)))

        return done

    def _ftruncate(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        file = self._open_file(tid, arguments[0])
        if file is None:
            return None
        if call == "fallocate" and arguments[1] & ~1:
            raise CannotFollow(f"fallocate in mode {arguments[1]}")
        link = f"/proc/{tid}/fd/{arguments[0]}"
        return lambda _: self._add(Cut(file, os.stat(link).st_size))

    def _truncate(self, tid: int, _call: str, arguments: Sequence[int]) -> Done | None:
        place = self._place(tid, _AT_FDCWD, arguments[0])
        file = self._of(place[0]) if place else None
        return None if file is None else (lambda _: self._add(Cut(file, arguments[1])))

    def _mmap(self, tid: int, _call: str, arguments: Sequence[int]) -> Done | None:
        """A file that is written as memory is not followed; SQLite's -shm need not be: it holds nothing."""
        if self._open_file(tid, signed(arguments[4])) is None:
            return None
        path = os.readlink(f"/proc/{tid}/fd/{arguments[4]}")
        if path.removesuffix(" (deleted)").endswith("-shm"):
            return None
        raise CannotFollow(f"{path}: is written as memory")

    # names -----------------------------------------------------------------------------------------------

    def _open(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        if call in ("open", "creat"):
            place, flags = self._place(tid, _AT_FDCWD, arguments[0]), arguments[1]
        else:
            place, flags = self._place(tid, arguments[0], arguments[1]), arguments[2]
        if call == "creat":
            flags = os.O_CREAT | os.O_TRUNC
        if call == "openat2":
            flags = int.from_bytes(read_memory(tid, arguments[2], 8), "little")
        if place is None:
            return None
        path, folder, name = place
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise CannotFollow(f"{path}: a file without a name")

        def done(returned: int) -> None:
            inode, within = os.stat(f"/proc/{tid}/fd/{returned}").st_ino, folder or self._folder_of(path)
            known = self._named.get((within, name))
            if known is None or self._numbers.get(inode) != known:
                self._name(Named(within, name, self._new(inode), made=True))
            elif flags & os.O_TRUNC:
                self._add(Cut(known, 0))

        return done

    def _folder(self, path: str) -> int:
        """The number of a folder, _MISSING where it is not there or not known yet."""
        number = self._of(path)
        return number if number in self._folders else _MISSING

    def _folder_of(self, path: str) -> int:
        """The number of the folder of something that is there by now. The thread that made it may not have
        been heard of yet: it is written down now."""
        folder = os.path.dirname(path)
        if (known := self._folder(folder)) == _MISSING:
            if not self._holds(folder):
                raise CannotFollow(f"{path}: lies elsewhere")
            self._make_folder(self._folder_of(folder), folder)
            known = self._folder(folder)
        return known

    def _make_folder(self, within: int, path: str) -> None:
        name, inode = os.path.basename(path), os.lstat(path).st_ino
        known = self._named.get((within, name))
        if known is None or known not in self._folders or self._numbers.get(inode) != known:
            self._name(Named(within, name, self._new(inode, is_folder=True), made=True, is_folder=True))

    def _name(self, line: Named) -> None:
        self._named[line.folder, line.name] = line.thing
        self._add(line)

    def _mkdir(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        base, address = arguments[:2] if call.endswith("at") else (_AT_FDCWD, arguments[0])
        place = self._place(tid, base, address)
        if place is None:
            return None
        path, folder, _ = place
        return lambda _: self._make_folder(folder or self._folder_of(path), path)

    def _symlink(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        base, address = arguments[1:3] if call.endswith("at") else (_AT_FDCWD, arguments[1])
        place, link = self._place(tid, base, address), read_text(tid, arguments[0])
        if place is None:
            return None
        path, folder, name = place
        return lambda _: self._name(
            Named(folder, name, self._new(os.lstat(path).st_ino), made=True, link=link)
        )

    def _two_places(self, tid: int, call: str, arguments: Sequence[int]) -> tuple[tuple[str, int, str], ...]:
        if "at" in call:
            pairs = ((arguments[0], arguments[1]), (arguments[2], arguments[3]))
        else:
            pairs = ((_AT_FDCWD, arguments[0]), (_AT_FDCWD, arguments[1]))
        places = [self._place(tid, base, address) for base, address in pairs]
        if any(places) and not all(places):
            raise CannotFollow(f"{call} over the rim of {self.root}")
        return tuple(place for place in places if place)

    def _rename(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        places = self._two_places(tid, call, arguments)
        if not places:
            return None
        if call == "renameat2" and arguments[4] & _EXCHANGE:
            raise CannotFollow("two names exchanged")
        (path, folder, name), (to_path, to_folder, to_name) = places
        thing = self._of(path)
        if thing == self._of(to_path):
            return None  # two names of one file: nothing happens

        def done(_: int) -> None:
            if thing is None:
                raise CannotFollow(f"{path}: nobody saw how it came")
            self._named.pop((folder, name), None)
            within = to_folder or self._folder_of(to_path)
            self._named[within, to_name] = thing
            self._add(Moved(folder, name, within, to_name, thing))

        return done

    def _link(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        places = self._two_places(tid, call, arguments)
        if not places:
            return None
        (path, _, _), (to_path, folder, name) = places
        thing = self._of(path)
        if thing is None:
            return None
        return lambda _: self._name(Named(folder or self._folder_of(to_path), name, thing, made=False))

    def _unlink(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        base, address = arguments[:2] if call == "unlinkat" else (_AT_FDCWD, arguments[0])
        place = self._place(tid, base, address)
        thing = self._of(place[0]) if place else None
        if place is None or thing is None:
            return None
        _, folder, name = place

        def done(_: int) -> None:
            self._named.pop((folder, name), None)
            self._folders.discard(thing)
            self._add(Unnamed(folder, name, thing))

        return done

    # syncs -----------------------------------------------------------------------------------------------

    def _fsync(self, tid: int, call: str, arguments: Sequence[int]) -> Done | None:
        began = len(self.journal.lines)
        if call in ("sync", "syncfs"):
            return lambda _: self._add(Synced(None, began))
        thing = self._open_file(tid, arguments[0])
        return None if thing is None else (lambda _: self._add(Synced(thing, began)))


_HANDLERS = {
    **dict.fromkeys(("pwrite64", "writev", "pwritev", "pwritev2"), "write"),
    **dict.fromkeys(("sendto", "sendmsg"), "send"),
    **dict.fromkeys(("sendfile", "copy_file_range", "splice"), "copy"),
    **dict.fromkeys(("creat", "openat", "openat2"), "open"),
    **dict.fromkeys(("renameat", "renameat2"), "rename"),
    **dict.fromkeys(("unlinkat", "rmdir"), "unlink"),
    **dict.fromkeys(("fdatasync", "sync", "syncfs"), "fsync"),
    "fallocate": "ftruncate",
    "linkat": "link",
    "mkdirat": "mkdir",
    "symlinkat": "symlink",
}


def watch(root: Path, command: Sequence[str]) -> Journal:
    """Run the command to its end. Raises CannotFollow."""
    watcher = Watcher(os.path.realpath(root))
    first = kernel.start_watched(command)
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda number, _: os.kill(first, number))
    pending: dict[int, Done | None] = {}
    known = {first}
    kernel.ptrace(kernel.CONT, first)
    while True:
        try:
            tid, status = kernel.wait_for_any()
        except ChildProcessError:
            return watcher.journal
        if not os.WIFSTOPPED(status):
            pending.pop(tid, None)
            known.discard(tid)
            if tid == first:
                watcher.journal.exit_code = os.waitstatus_to_exitcode(status)
            continue
        try:
            _go_on(watcher, tid, status, pending, known)
        except ProcessLookupError:
            continue  # killed while it stood


def _go_on(watcher: Watcher, tid: int, status: int, pending: dict[int, Done | None], known: set[int]) -> None:
    number, event = os.WSTOPSIG(status), status >> 16
    if number == signal.SIGTRAP and event == kernel.SECCOMP_EVENT:
        pending[tid] = watcher.begun(tid)
        kernel.ptrace(kernel.SYSCALL if pending[tid] else kernel.CONT, tid)
    elif number == signal.SIGTRAP | 0x80:
        done, (_, _, returned) = pending.pop(tid, None), kernel.registers(tid)
        if done is not None and returned >= 0:
            done(returned)
        kernel.ptrace(kernel.CONT, tid)
    elif event or (number == signal.SIGSTOP and tid not in known):
        kernel.ptrace(kernel.CONT, tid)
    else:
        kernel.ptrace(kernel.CONT, tid, number)
    known.add(tid)


def main() -> None:
    root, journal, *command = sys.argv[1:]
    found = watch(Path(root), command)
    found.save(Path(journal))
    sys.exit(found.exit_code if found.exit_code >= 0 else 128 - found.exit_code)


if __name__ == "__main__":
    main()
