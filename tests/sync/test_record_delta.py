"""Records as a change to earlier ones make the same bytes again, whatever was between them."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import SourceUnreadable
from flycam.sync.records import apply_record_delta, compress_records, compute_record_delta

PIECES = st.lists(st.sampled_from(['{"a":1', 'b":"é"', "", "x" * 40, 'c":[{}]},{']), max_size=12)


def records(pieces: list[str]) -> bytes:
    return compress_records((',"'.join(pieces) or " ").encode())


def earlier(base: bytes) -> dict[str, bytes]:
    return {hashlib.sha256(base).hexdigest(): base}


@given(before=PIECES, after=PIECES)
def test_the_same_records_are_made_again(before: list[str], after: list[str]) -> None:
    base, whole = records(before), records(after)
    assert apply_record_delta(compute_record_delta(whole, base), earlier(base).__getitem__, "line") == whole


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
    with pytest.raises(SourceUnreadable, match="line"):
        apply_record_delta(told(pieces, base), earlier(base).__getitem__, "line")
