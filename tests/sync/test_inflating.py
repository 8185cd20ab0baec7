from __future__ import annotations

import json

import pytest
import zstandard

from flycam.errors import SourceUnreadable
from flycam.frame.unpacking import json_in
from flycam.sync.manifest import manifest_from_bytes
from flycam.sync.records import records_from_bytes


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of what was parsed."""
    loads, lengths = json.loads, []

    def watched(data: bytes) -> object:
        lengths.append(len(data))
        return loads(data)

    monkeypatch.setattr(json, "loads", watched)
    return lengths


@pytest.mark.parametrize("value", [b"{}", b"[]", b"0", b'""', b"1.5"])
def test_many_small_values_are_refused_before_they_are_read(parsed: list[int], value: bytes) -> None:
    bomb = b"[" + b",".join([value] * 200_000) + b"]"
    with pytest.raises(SourceUnreadable, match=r"x\.fcb"):
        manifest_from_bytes(bomb, "x.fcb")
    with pytest.raises(SourceUnreadable, match=r"x\.fcb"):
        records_from_bytes(zstandard.compress(bomb), "x.fcb")
    assert parsed == []


def test_a_few_are_read_however_small() -> None:
    assert json_in(b"[" + b",".join([b"0"] * 1000) + b"]", 2000) == [0] * 1000
    with pytest.raises(ValueError, match="1000 values"):
        json_in(b"[" + b",".join([b"0"] * 1000) + b"]", 999)
