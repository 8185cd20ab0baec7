"""Parts of files, and what they are parts of."""

from __future__ import annotations

import httpx
import pytest

from flycam.http.protocol import RangeRequest
from tests.serve.offering import Offering

TAG = "ab" * 32


@pytest.mark.parametrize(
    ("asked", "if_range", "expected"),
    [
        ("bytes=5-9", None, (5, 10)),
        ("bytes=5-9", f'"{TAG}"', (5, 10)),
        ("bytes=-3", f' "{TAG}" ', (17, 20)),
        ("bytes=5-9", TAG, (0, 20)),
        ("bytes=5-9", f'W/"{TAG}"', (0, 20)),
        ("bytes=5-9", '"another"', (0, 20)),
        ("bytes=5-9", "Tue, 10 Sep 2024 03:15:00 GMT", (0, 20)),
        (None, f'"{TAG}"', (0, 20)),
        ("bytes=30-", f'"{TAG}"', (30, 20)),
    ],
)
def test_a_part_is_of_what_the_reader_has_or_it_is_all(
    asked: str | None, if_range: str | None, expected: tuple[int, int]
) -> None:
    assert RangeRequest(asked, if_range).resolve(20, TAG) == expected


def test_a_download_that_goes_on_joins_to_the_file(reader: httpx.Client, offering: Offering) -> None:
    """What is handed out whole and in parts has the same bytes, however the program says it can read them."""
    address, zipped = f"/cog/{offering.mosaic}/2/99000.tif", {"Accept-Encoding": "gzip"}
    whole = reader.get(address, headers=zipped)
    assert whole.status_code == 200 and "content-encoding" not in whole.headers
    assert int(whole.headers["content-length"]) == len(whole.content) > 1500
    going_on = {**zipped, "Range": "bytes=1000-", "If-Range": whole.headers["etag"]}
    rest = reader.get(address, headers=going_on)
    assert (rest.status_code, whole.content[:1000] + rest.content) == (206, whole.content)
    changed = reader.get(address, headers={**going_on, "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
