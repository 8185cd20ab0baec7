"""Records as a change to earlier ones make the same bytes again, whatever was between them."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import RecordsMissing, SourceUnreadable
from flycam.sync import records as sync_records
from flycam.sync.records import apply_record_delta, compress_records, compute_record_delta
from tests.texts import pair

PIECES = st.lists(st.sampled_from(['{"a":1', 'b":"é"', "", "x" * 40, 'c":[{}]},{']), max_size=12)


def records(pieces: list[str]) -> bytes:
    return compress_records((',"'.join(pieces) or " ").encode())


def earlier(base: bytes) -> dict[str, bytes]:
    return {hashlib.sha256(base).hexdigest(): base}


@given(before=PIECES, after=PIECES)
def test_the_same_records_are_made_again(before: list[str], after: list[str]) -> None:
    base, whole = records(before), records(after)
    assert apply_record_delta(compute_record_delta(whole, base), earlier(base).__getitem__, "line") == whole


def test_what_was_said_before_is_not_said_again() -> None:
    rows = [hashlib.sha256(str(number).encode()).hexdigest() * 4 for number in range(2000)]
    base = records(rows[:1990])
    assert len(compute_record_delta(records(rows), base)) < len(base) / 50
    assert len(compute_record_delta(records([*rows[:900], *rows[901:1990]]), base)) < 200


def told(pieces: object, base: bytes) -> bytes:
    return compress_records(json.dumps({"base": hashlib.sha256(base).hexdigest(), "pieces": pieces}).encode())


@pytest.mark.parametrize(
    "pieces",
    [
        [[0, 3]],
        [[-1, 1]],
        [[1, 0]],
        [[0]],
        [["0", 1]],
        [7],
        7,
        [[0, 1.5]],
        [None],
        [[1 << 70, 1]],
        [[0, 1, 1]],
    ],
)
def test_what_is_no_change_is_refused_by_name(pieces: object) -> None:
    base = records(["a", "b"])
    with pytest.raises(SourceUnreadable, match="line: what it says is new of a flight"):
        apply_record_delta(told(pieces, base), earlier(base).__getitem__, "line")


@pytest.mark.parametrize(
    "change", [b"", b"no zstd", compress_records(b"[]"), compress_records(b'{"base":"../x","pieces":[]}')]
)
def test_other_bytes_are_refused(change: bytes) -> None:
    with pytest.raises(SourceUnreadable):
        apply_record_delta(change, {}.__getitem__, "line")


def test_a_change_makes_no_more_than_records_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    base = records(["a" * 100])
    monkeypatch.setattr(sync_records, "MAX_RECORDS_BYTES", 1000)
    with pytest.raises(SourceUnreadable, match="letters"):
        apply_record_delta(told([[0, 1]] * 12, base), earlier(base).__getitem__, "line")


def test_that_the_earlier_ones_are_gone_is_said_as_it_was() -> None:
    def gone(_sha256: str) -> bytes:
        raise RecordsMissing(pair("gone", "không còn"))

    base = records(["a"])
    with pytest.raises(RecordsMissing):
        apply_record_delta(compute_record_delta(records(["b"]), base), gone, "line")
