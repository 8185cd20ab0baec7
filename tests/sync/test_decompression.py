from __future__ import annotations

import json

import pytest
import zstandard

from flycam.errors import SourceUnreadable
from flycam.storage.files import parse_bounded_json
from flycam.sync.exchange import decode_manifest
from flycam.sync.records import decode_flight_records
from flycam.sync.reference_feed import decode_feed_listing


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
        decode_manifest(bomb, "x.fcb")
    with pytest.raises(SourceUnreadable, match=r"x\.fcb"):
        decode_flight_records(zstandard.compress(bomb), "x.fcb")
    assert parsed == []


def test_what_is_nested_too_deep_is_refused() -> None:
    deep = b"[" * 9_000  # few enough to be counted as honest
    with pytest.raises(ValueError, match="too deep"):
        parse_bounded_json(deep, 10_000)
    with pytest.raises(SourceUnreadable, match="the server"):
        decode_feed_listing(zstandard.compress(deep), "the server")
