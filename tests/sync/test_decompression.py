from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from flycam.errors import SourceUnreadable
from flycam.storage import keys
from flycam.storage.files import parse_bounded_json
from flycam.sync import server
from flycam.sync.hooks import SyncApplyHooks
from flycam.sync.manifest import decode_manifest
from flycam.sync.records import decode_flight_records
from flycam.sync.reference_feed import FeedItem, ReferenceKind, decode_feed_listing
from flycam.sync.reference_import import ReferenceImporter, ReferenceLedger
from tests.sync.boxes import new_box


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


def test_a_list_of_many_small_values_is_refused_before_it_is_read(parsed: list[int]) -> None:
    with pytest.raises(SourceUnreadable, match="the server"):
        decode_feed_listing(zstandard.compress(b"[" + b"[]," * 400_000 + b"[]]"), "the server")
    assert parsed == []


def test_a_layer_of_many_small_values_is_refused_before_it_is_read(parsed: list[int], tmp_path: Path) -> None:
    house = new_box(tmp_path, "field").workspace
    bomb = zstandard.compress(b"[" + b"[]," * 400_000 + b"[]]")
    name = hashlib.sha256(bomb).hexdigest()
    house.store.put(keys.format_original_key(name), bomb)
    learner = ReferenceImporter(
        house, SyncApplyHooks(house), "province", ReferenceLedger(house.store, "province")
    )
    thing = FeedItem(kind=ReferenceKind.LAYER, name="masts", sha256=name, size_bytes=len(bomb), at_ns=1)
    with pytest.raises(SourceUnreadable, match="masts"):
        learner.import_items([thing])
    assert parsed == []


def test_no_other_module_of_an_exchange_reads_json() -> None:
    """But the spool (`sync.server`), which reads what this node wrote itself."""
    calls = Counter(
        path.name
        for path in Path(server.__file__).parent.glob("*.py")
        for _ in re.findall(r"\bjson\.loads?\b|from json import", path.read_text(encoding="utf-8"))
    )
    assert calls == {"server.py": 1}


def test_a_few_are_read_however_small() -> None:
    assert parse_bounded_json(b"[" + b",".join([b"0"] * 1000) + b"]", 2000) == [0] * 1000
    with pytest.raises(ValueError, match="1000 values"):
        parse_bounded_json(b"[" + b",".join([b"0"] * 1000) + b"]", 999)
