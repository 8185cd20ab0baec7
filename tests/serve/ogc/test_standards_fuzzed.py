"""Whatever is put into an address of a standard: an answer in words, never a fault of the server."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.offering import VIEWER, Offering

PREFIXES = ("/ogc", "/stac", "/kml", "/cog", "/wmts", "/tilejson")
NUMBERS = st.sampled_from(["0", "-1", "1", "18", "27", "99999999", "1e9", "nan", "", "٣", "0x1"])
WORDS = st.text(max_size=12) | NUMBERS | st.sampled_from(["..", "../..", "%00", "\x00", "'; --", "\ud7ff"])


def operations(schema: dict[str, Any]) -> list[tuple[str, list[str], list[str]]]:
    """(path, names in it, names of its query) of every GET that a standard has."""
    found = []
    for path, methods in schema["paths"].items():
        if path.startswith(PREFIXES) and "get" in methods:
            parameters = methods["get"].get("parameters", ())
            names = {
                kind: [one["name"] for one in parameters if one["in"] == kind] for kind in ("path", "query")
            }
            found.append((path, names["path"], names["query"]))
    return found


@pytest.fixture(scope="module")
def schema(offered_at: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{offered_at}/api/openapi.json").json()
    return answer


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_address_breaks(
    offered_at: str, offering: Offering, schema: dict[str, Any], data: st.DataObject
) -> None:
    path, parts, asked = data.draw(st.sampled_from(operations(schema)))
    real = st.sampled_from([offering.mosaic, "flights", "marks", "communes", offering.layer, "evt-yagi"])
    for name in parts:
        value = data.draw(real | WORDS | NUMBERS, label=name) or "x"
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    query = {name: data.draw(WORDS, label=name) for name in asked if data.draw(st.booleans())}
    headers = {"Authorization": f"Bearer {VIEWER}"}
    answer = httpx.get(f"{offered_at}{path}", params=query, headers=headers)
    assert answer.status_code < 500, answer.text
    if answer.status_code in (400, 404, 422) and not path.startswith("/wmts"):
        assert answer.json()["message"]
