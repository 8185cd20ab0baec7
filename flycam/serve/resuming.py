"""Commands that a kill or a power cut left on this machine are gone on with beside a server that starts."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flycam.pipeline.power import Power
from flycam.pipeline.under_way import NO_ENDS, Given, Left, counted, left, over
from flycam.serve.command_process import FLYCAM, Ran, Why, run

MOST_TRIES = 3
"""So often a command is begun again by itself; one that was cut each time may be what cuts it."""

LOOK_EVERY_S = 60.0
"""What could not be gone on with is looked at again: a store that comes up after this server, a card."""

_NICENESS = 10
"""Behind the map and what is flown now."""

_ENDED: Why = (
    "it ended without a word; give it again by hand to see why",
    "lệnh dừng đột ngột; hãy chạy lại bằng tay để xem lý do",
)
Say = Callable[[str, str], None]


@contextmanager
def resuming(
    data_dir: Path, power: Power, say: Say, done: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Go on with what was left, one command after the other, each a process of its own, beside the block;
    what has not ended with the block is gone on with at the next start.

    say   told in English and Vietnamese what is gone on with and what came of it, in a thread of its own
    done  called once all of it was looked at, if the block is still open
    """
    resumed = _Resumed(data_dir, power, say)
    thread = threading.Thread(target=resumed.run, args=(done,), name="resuming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        resumed.stop.set()
        thread.join()


class _Resumed:
    """What was left in a house; says each thing once."""

    def __init__(self, data_dir: Path, power: Power, say: Say) -> None:
        self.stop = threading.Event()
        self._data_dir = data_dir
        self._power = power
        self._say = say
        self._said: set[tuple[str, str]] = set()

    def run(self, done: Callable[[], None]) -> None:
        """Until nothing is left, or `stop` is set."""
        is_first = True
        while not self.stop.is_set() and (waiting := left(self._data_dir)):
            for one in waiting:
                if not self.stop.is_set():
                    self._go_on(one)
            if is_first and not self.stop.is_set():
                done()
                is_first = False
            if left(self._data_dir):
                self.stop.wait(LOOK_EVERY_S)
        if is_first and not self.stop.is_set():
            done()

    def _tell(self, english: str, vi: str) -> None:
        if (english, vi) not in self._said:
            self._said.add((english, vi))
            self._say(english, vi)

    def _go_on(self, one: Left) -> None:
        command, place = str(one.typed), one.typed.place
        given = one.typed.files()
        if one.typed.tries >= MOST_TRIES:
            over(one.entry)
            self._tell(
                f"{command} was cut {MOST_TRIES} times more while it went on by itself; give it by hand, "
                f"in {place}",
                f"{command} đã bị ngắt thêm {MOST_TRIES} lần khi tự làm tiếp; hãy chạy bằng tay, trong "
                f"{place}",
            )
        elif given is Given.OTHERS:
            over(one.entry)
            self._tell(
                f"{command} was cut off, and other files lie there now: it is not gone on with; give it "
                "again where its files are",
                f"{command} bị ngắt giữa chừng, nay ở đó là các tệp khác nên không làm tiếp; hãy chạy lại "
                "ở nơi có đúng các tệp",
            )
        elif given is Given.NOT_THERE or not place.is_dir():
            self._tell(
                f"{command} was cut off, and its files are not there: put the card in, and it goes on by "
                "itself",
                f"{command} bị ngắt giữa chừng và không thấy các tệp của nó: hãy cắm lại thẻ, lệnh sẽ tự "
                "làm tiếp",
            )
        else:
            self._run(one)

    def _run(self, one: Left) -> None:
        command, tries = str(one.typed), one.typed.tries
        try:
            one = counted(one, tries + 1)
        except OSError:  # a full disk: looked at again
            return
        self._tell(
            f"{command} was cut off (a kill, a power cut): going on with it",
            f"{command} bị ngắt giữa chừng (mất điện hoặc bị dừng): đang làm tiếp",
        )
        name, *words = one.typed.words
        try:
            ran = run(
                (*FLYCAM, name, "--data", str(self._data_dir), "--json", *words),
                one.typed.operator,
                self._power,
                self.stop,
                place=one.typed.place,
                most_s=math.inf,
                niceness=_NICENESS,
            )
        except OSError:  # no memory, no descriptor: looked at again
            return
        is_no_end = ran.answer.get("error") in {one.__name__ for one in NO_ENDS}  # and no cut either
        if self.stop.is_set() or is_no_end:
            with suppress(OSError):
                counted(one, tries)
        elif ran.code >= 0:
            over(one.entry)
        self._tell_end(command, ran)

    def _tell_end(self, command: str, ran: Ran) -> None:
        if self.stop.is_set():
            return
        if ran.code == 0:
            self._tell(f"{command} is complete", f"{command} đã hoàn tất")
        else:
            english, vi = ran.why(_ENDED)
            self._tell(f"{command} did not end well: {english}", f"{command} không xong: {vi}")
