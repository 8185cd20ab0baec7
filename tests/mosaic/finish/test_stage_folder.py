"""What a killed run leaves behind is whole or counts as not there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flycam.mosaic.cluster.run import read_serialized, write_serialized
from flycam.mosaic.finish.stages import StageFolder


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    name: str
    colour: Colour
    posts: NDArray[Any]
    remembered: list[int] = field(default_factory=list, init=False)


@dataclass(frozen=True, kw_only=True)
class Branch:
    leaves: tuple[Leaf, ...]
    by_key: dict[str, float]
    none: None = None


KINDS = (Colour, Leaf, Branch)
NUMBERS = st.floats(allow_nan=True) | st.integers(-(2**60), 2**60) | st.text(max_size=5) | st.booleans()
ARRAYS = st.sampled_from(["<f4", "<f8", "|u1", "<i4", "|b1"]).flatmap(
    lambda kind: st.tuples(st.integers(0, 5), st.integers(0, 4)).map(
        lambda shape: np.arange(shape[0] * shape[1]).reshape(shape).astype(kind)
    )
)
LEAVES = st.builds(Leaf, name=st.text(max_size=8), colour=st.sampled_from(Colour), posts=ARRAYS)
BRANCHES = st.builds(
    Branch,
    leaves=st.lists(LEAVES, max_size=4).map(tuple),
    by_key=st.dictionaries(st.text(max_size=4), st.floats(allow_nan=True), max_size=4),
)


def packed(value: object, stamp: str = "here") -> bytes:
    file = BytesIO()
    write_serialized(file, value, stamp)
    return file.getvalue()


@given(BRANCHES | st.lists(NUMBERS, max_size=5) | ARRAYS)
def test_what_is_kept_comes_back_exactly(value: object) -> None:
    data = packed(value)
    again = read_serialized(bytearray(data), KINDS, "here")
    assert repr(again) == repr(value)
    assert packed(again) == data, "the same value has the same bytes"


@given(BRANCHES, st.data())
def test_damage_anywhere_is_seen(value: Branch, draw: st.DataObject) -> None:
    data = bytearray(packed(value))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    assert read_serialized(data, KINDS, "here") is None
    assert read_serialized(data[:at], KINDS, "here") is None


def test_a_file_of_other_inputs_or_classes_counts_as_not_there() -> None:
    data = packed(Leaf(name="x", colour=Colour.RED, posts=np.zeros(3)))
    assert read_serialized(data, KINDS, "elsewhere") is None
    assert read_serialized(data, (Colour,), "here") is None
    assert read_serialized(b"", KINDS, "here") is None


def test_a_stage_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> tuple[float, ...]:
        made.append(1)
        return (1.5, math.inf)

    for _ in range(3):
        assert StageFolder(tmp_path / "run", "h").load_or_make("adjust", (), make) == (1.5, math.inf)
    assert len(made) == 1
    StageFolder(tmp_path / "run", "other").load_or_make("adjust", (), make)
    assert len(made) == 2, "other inputs"
    path = tmp_path / "run" / "adjust.stage"
    path.write_bytes(path.read_bytes()[:-7])
    StageFolder(tmp_path / "run", "other").load_or_make("adjust", (), make)
    assert len(made) == 3, "a damaged file is made anew"
    folder = StageFolder(tmp_path / "run", "other")
    (tmp_path / "run" / "x.stage.1.part").write_bytes(b"half")
    folder.remove_partial()
    assert [one.name for one in (tmp_path / "run").iterdir()] == ["adjust.stage"]
    folder.remove()
    assert not (tmp_path / "run").exists()
