from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from flycam.media.mp4 import EPOCH_1904_S, find_box, is_complete_movie, parse_creation_s, set_creation_s


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def header(seconds: int, is_long: bool) -> bytes:
    stamp = struct.pack(">QQ" if is_long else ">II", seconds, seconds)
    return box(b"mvhd", bytes([int(is_long), 0, 0, 0]) + stamp + bytes(80))


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.booleans())
def test_a_movie_dated_anew_says_so_and_changes_nothing_else(before: int, after: int, is_long: bool) -> None:
    moov = box(b"iods", b"xx") + header(before + EPOCH_1904_S, is_long) + box(b"trak", b"yyy")
    dated = set_creation_s(moov, after)
    assert parse_creation_s(dated) == (after if after > 0 else None)
    assert set_creation_s(dated, before) == moov


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_through(data: bytes) -> None:
    found = find_box(lambda at, count: data[at : at + count], 0, len(data), b"moov")
    assert found is None or 8 <= found[0] <= found[1] <= len(data)
    parse_creation_s(data)


def test_a_long_box_and_one_to_the_end_are_found() -> None:
    data = struct.pack(">I4sQ", 1, b"mdat", 20) + b"abcd" + struct.pack(">I4s", 0, b"moov") + b"rest"
    assert find_box(lambda at, count: data[at : at + count], 0, len(data), b"moov") == (28, 32)


@given(st.binary(min_size=1, max_size=40), st.booleans(), st.integers(1, 60))
def test_a_film_that_is_cut_anywhere_is_not_whole(pixels: bytes, is_header_last: bool, missing: int) -> None:
    moov, mdat = box(b"moov", header(1, False)), box(b"mdat", pixels)
    film = box(b"ftyp", b"isom") + (mdat + moov if is_header_last else moov + mdat)

    def stands(data: bytes) -> bool:
        return is_complete_movie(lambda at, count: data[at : at + count], len(data))

    assert stands(film) and stands(film + b"\0" * 7), "cameras fill up"
    assert not stands(film[: -min(missing, len(moov if is_header_last else mdat) - 8)])
