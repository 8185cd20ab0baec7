"""The cache: within its bound, the latest used stay, and each value is made once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flycam.concurrency import LruCache


def test_the_least_recently_used_go_first_and_one_always_stays() -> None:
    made: list[str] = []
    cache = LruCache[str, bytes](limit=10, size_of=len)

    def get(key: str, size: int) -> bytes:
        return cache.get(key, lambda: made.append(key) or bytes(size))

    for key, size in (("a", 4), ("b", 4), ("a", 4), ("c", 4)):
        get(key, size)
    get("a", 4)
    assert made == ["a", "b", "c"]
    get("vast", 99)
    get("vast", 99)
    assert made == ["a", "b", "c", "vast"]
    get("a", 4)
    cache.clear()
    get("a", 4)
    assert made == ["a", "b", "c", "vast", "a", "a"]


def test_threads_that_want_one_value_make_it_once() -> None:
    made: list[int] = []
    cache, together = LruCache[int, int](limit=4), threading.Barrier(4)

    def get(_: int) -> int:
        together.wait()
        return cache.get(7, lambda: made.append(7) or 49)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(get, range(4))) == [49] * 4
    assert made == [7]


def test_nothing_is_remembered_of_keys_that_failed_or_were_dropped() -> None:
    cache = LruCache[int, int](limit=1)
    with pytest.raises(ZeroDivisionError):
        cache.get(0, lambda: 1 // 0)
    for key in (0, 1, 1, 2):
        assert cache.get(key, lambda key=key: key) == key
    assert (len(cache._kept), len(cache._making), cache._size) == (1, 0, 1)
