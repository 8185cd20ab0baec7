"""What the rows keep under `.bench/`: named by all that it was made from, there whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

_DRILL = Path(__file__).parents[1] / "flycam" / "drill"


def key_of(**made_with: object) -> str:
    """A short name of the drill's code and of the parameters that something was made with."""
    said = repr(sorted(made_with.items())).encode()
    return hashlib.sha256(code_of(_DRILL) + said).hexdigest()[:12]


@cache
def code_of(folder: Path) -> bytes:
    """A hash of every line of the program in a folder."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).digest()


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """A file or folder, made by `make` under another name and renamed once it is whole."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(f"part-{path.name}")
        shutil.rmtree(staging, ignore_errors=True)
        staging.unlink(missing_ok=True)
        make(staging)
        staging.rename(path)
    return path
