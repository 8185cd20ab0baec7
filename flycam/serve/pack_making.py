"""One meeting pack made by a process of its own, its folder packed up, and why one could not be made."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flycam.catalog.packs import Pack
from flycam.errors import StorageTrouble
from flycam.outcomes import sentence
from flycam.pipeline.power import Power

END_S = 5.0
"""How long a process that was asked to end is waited for."""

_MOST_S = 3600.0  # one that hangs must not bar the others
Why = tuple[str, str]

STOPPED: Why = (
    "the server stopped before this meeting pack was made: ask for it again",
    "máy chủ đã dừng trước khi lập xong gói họp này: hãy yêu cầu lại",
)
ENDED: Why = (
    "the program that made the meeting pack ended without a word; ask again, or run 'flycam pack'",
    "chương trình lập gói họp dừng đột ngột; hãy thử lại, hoặc dùng lệnh 'flycam pack'",
)


@dataclass(frozen=True, slots=True)
class Made:
    """What the command said of the folder that it wrote; "": nothing."""

    manifest_sha256: str = ""
    content_sha256: str = ""
    classification: str = ""


def make(command: Sequence[str], pack: Pack, out: Path, power: Power, stop: threading.Event) -> Made | Why:
    """Let the command write a pack into the folder `out`; or why it did not. Ends it once `stop` is set."""
    # what it says to people is Vietnamese, its JSON is English: so both are known
    environment = {**os.environ, "LC_ALL": "vi_VN.UTF-8", "FLYCAM_OPERATOR": pack.owner}
    process = subprocess.Popen(  # noqa: S603  our own
        [*command, *_options(pack, out), "--", *pack.flights],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="replace",
    )
    power.let_go(process.pid)
    said, told = _waited_for(process, stop)
    if process.returncode != 0:
        return _why(said, told)
    answer = _answer(said)
    return Made(**{name: str(answer.get(name, "")) for name in Made.__slots__})


def _options(pack: Pack, out: Path) -> list[str]:
    options = ["--out", str(out), "--language", pack.language, "--json", "--paper", pack.paper]
    if pack.approved_by:
        options += [f"--approved-by={pack.approved_by}", f"--of-draft={pack.content_sha256}"]
    if pack.account:
        options.append(f"--as={pack.account}")
    return options


def _waited_for(process: subprocess.Popen[str], stop: threading.Event) -> tuple[str, str]:
    """Its output and its errors, once it has ended or was made to."""
    ends_s, is_asked_to_end = time.monotonic() + _MOST_S, False
    try:
        while True:
            try:
                return process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                late_s = time.monotonic() - ends_s
                if is_asked_to_end and late_s > END_S:
                    process.kill()
                elif not is_asked_to_end and (stop.is_set() or late_s > 0.0):
                    process.terminate()
                    ends_s, is_asked_to_end = time.monotonic(), True
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def pack_up(folder: Path, path: Path) -> None:
    """The folder as one file; its pictures are packed already. Files of a clock at 1970 are of 1980 in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for one in sorted(folder.rglob("*")):
            archive.write(one, one.relative_to(folder.parent))


def _answer(said: str) -> dict[str, Any]:
    """The JSON of a command; nothing where it said none."""
    try:
        answer = json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _why(said: str, told: str) -> Why:
    """The sentence of a command that failed, from its JSON and from what it told people."""
    english = _answer(said).get("sentence")
    if english is None:
        return ENDED
    lines = [line for line in told.splitlines() if line.startswith("flycam: ")]
    return str(english), lines[-1].removeprefix("flycam: ") if lines else str(english)


def why_not(error: Exception) -> Why:
    """Of one that an error kept from being made or stored."""
    if isinstance(error, StorageTrouble):
        return sentence(error), sentence(error, "vi")
    return _disk_trouble(error) if isinstance(error, OSError) else ENDED


def _disk_trouble(error: OSError) -> Why:
    return (
        f"the meeting pack could not be kept on the server ({error.strerror}); make room there",
        "không lưu được gói họp trên máy chủ; hãy giải phóng bớt ổ đĩa",
    )
