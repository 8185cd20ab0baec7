from __future__ import annotations

import pytest

from flycam.geometry.grid import TileId
from flycam.storage import keys

_TILE = TileId(z=20, x=1, y=2)


def test_every_key_that_is_spelled_is_one_that_every_store_holds() -> None:
    spelled = [
        keys.format_original_key("ab" * 32),
        keys.format_recording_key("ab" * 32),
        keys.format_tile_key("m1", 3, _TILE, "cd" * 16),
        keys.format_product_key("m1", 0, "90001-Bản Đôn.tif", "ef" * 16),
        keys.format_product_key("m1", 0, "README", "ef" * 16),
    ]
    for key in spelled:
        keys.check_key(key)
    assert len(set(spelled)) == 5


def test_the_limits_of_a_key() -> None:
    keys.check_key("é" * 127)
    keys.check_key("/".join(["a" * 100] * 10))
    for too_long in ("é" * 128, "/".join(["a" * 102] * 10)):
        with pytest.raises(ValueError, match="key"):
            keys.check_key(too_long)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "a/.", "a/b-"])
def test_what_begins_a_key(prefix: str) -> None:
    keys.check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a/../b", "a\n"])
def test_what_begins_no_key(prefix: str) -> None:
    with pytest.raises(ValueError, match="key"):
        keys.check_prefix(prefix)
