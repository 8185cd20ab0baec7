from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.errors import SourceUnreadable
from flycam.sync.bundle import (
    PART_HEADER_BYTES,
    BundleParts,
    locate_part,
    plan_part_sizes,
    write_parts,
)
from flycam.sync.node_keys import BundleSeal
from tests.sync.seals import sealed

DATA = bytes(range(250)) * 3


ID, OTHER = sealed(b"a bundle"), sealed(b"another")


def blocks(data: bytes, size: int, start: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(start, len(data), size))


def written(
    path: Path, data: bytes = DATA, *, payload: int = 200, seal: BundleSeal = ID, block: int = 77
) -> int:
    sizes = plan_part_sizes(len(data), payload + PART_HEADER_BYTES)
    return write_parts(path, seal, partial(blocks, data, block), sizes)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=2000), payload=st.integers(50, 700), block=st.integers(1, 300))
def test_what_is_written_is_read_back_wherever_it_was_cut(
    tmp_path: Path, data: bytes, payload: int, block: int
) -> None:
    path = tmp_path / "out.fcb"
    seal = sealed(data)  # other bytes are another bundle
    written(path, data, payload=payload, block=block, seal=seal)
    with BundleParts(path) as parts:
        assert (parts.seal, parts.size_bytes) == (seal, len(data))
        assert parts.read(0, len(data)) == data
        middle = len(data) // 2
        assert parts.read(middle, len(data) - middle) == data[middle:]


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_changed_or_cut_byte_is_refused_by_the_name_of_its_part(tmp_path: Path, number: int) -> None:
    path = tmp_path / "out.fcb"
    written(path)
    part = locate_part(path, number)
    whole = part.read_bytes()
    for harmed in (
        whole[:-1],
        whole + b"x",
        whole[:PART_HEADER_BYTES] + b"\xff" + whole[PART_HEADER_BYTES + 1 :],
        whole[:20],
        b"",
        bytes(len(whole)),
    ):
        part.write_bytes(harmed)
        with pytest.raises(SourceUnreadable, match=rf"{part.name}: "):
            BundleParts(path)


def test_a_part_of_another_bundle_or_in_another_place_is_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "out.fcb", tmp_path / "other.fcb"
    written(path)
    written(other, seal=OTHER)
    second = locate_part(path, 2).read_bytes()
    locate_part(path, 2).write_bytes(locate_part(other, 2).read_bytes())
    with pytest.raises(SourceUnreadable, match="another bundle"):
        BundleParts(path)
    locate_part(path, 2).write_bytes(second)
    locate_part(path, 3).write_bytes(second)
    with pytest.raises(SourceUnreadable, match=r"out\.fcb\.003: "):
        BundleParts(path)


def test_parts_signed_by_another_key_are_written_again_and_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out.fcb"
    assert written(path) == 4
    foreign = locate_part(path, 2).read_bytes()
    assert written(path, seal=sealed(b"a bundle", bytes(range(32)))) == 4
    locate_part(path, 2).write_bytes(foreign)
    with pytest.raises(SourceUnreadable, match=r"out\.fcb\.002: "):
        BundleParts(path)


@pytest.mark.parametrize(
    "wrong", [{"signature": "00" * 64}, {"key": "00" * 32}, {"bundle_id": OTHER.bundle_id}]
)
def test_a_part_whose_signature_is_missing_or_of_something_else_is_refused_and_not_kept(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    path = tmp_path / "out.fcb"
    written(path, seal=replace(ID, **wrong))
    with pytest.raises(SourceUnreadable, match=r"out\.fcb: "):
        BundleParts(path)
    assert written(path) == 4


def test_writing_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "out.fcb"

    def stopped(start: int) -> Iterator[bytes]:
        yield DATA[start:450]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parts(path, ID, stopped, plan_part_sizes(len(DATA), 200 + PART_HEADER_BYTES))
    assert not path.exists()  # the first part comes last: what is not complete does not look so
    assert locate_part(path, 2).exists()
    assert written(path) == 3
    assert written(path) == 0
    with BundleParts(path) as parts:
        assert parts.read(0, len(DATA)) == DATA
