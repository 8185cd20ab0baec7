from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flycam.errors import DiskFull
from flycam.storage.files import RESERVED_BYTES, SPARE_BYTES
from flycam.sync import server
from flycam.sync.server import Spool

DATA = b"a step of some bytes"
NAME = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(("most_small", "floor"), [(0, SPARE_BYTES), (len(DATA), RESERVED_BYTES)])
def test_the_last_of_the_room_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_small: int, floor: int
) -> None:
    monkeypatch.setattr(server, "_SMALL_BYTES", most_small)
    free = [floor + len(DATA) - 1]
    monkeypatch.setattr(server, "get_free_bytes", lambda _folder: free[0])
    spool = Spool(tmp_path)
    with pytest.raises(DiskFull, match="free some there"):
        spool.begin(NAME, 0, len(DATA))
    free[0] += 1
    turn = spool.begin(NAME, 0, len(DATA))
    assert turn is not None
    assert spool.add(turn, NAME, DATA[:5])
    free[0] = floor + 3  # others write too
    with pytest.raises(DiskFull):
        spool.add(turn, NAME, DATA[5:])
    assert spool.offset(NAME, len(DATA)) == 5
    free[0] = 0
    assert spool.begin(NAME, 5, 5) is not None, "what came whole is taken in"
