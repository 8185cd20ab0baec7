"""Pages of other sites: the named ones may read with a token, nobody may write, and nobody else may read."""

from __future__ import annotations

import httpx
import pytest

from flycam.config import read_settings
from flycam.errors import OptionUnusable
from tests.serve.offering import VIEWER, Offering

NAMED, OTHER = "https://gis.example.vn", "https://evil.example"
READ = ("/tiles/m/1/0/0", "/ogc", "/api/flights")


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("access-control-allow-origin")


@pytest.mark.parametrize("path", READ)
def test_a_named_site_may_read_and_another_may_not(offered_at: str, path: str) -> None:
    for origin, expected in ((NAMED, NAMED), (OTHER, None), (f"{NAMED}:8443", None), ("null", None)):
        answer = httpx.get(
            f"{offered_at}{path}", headers={"Origin": origin, "Authorization": f"Bearer {VIEWER}"}
        )
        assert allowed(answer) == expected, origin
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]
    refused = httpx.get(f"{offered_at}{path}", headers={"Origin": NAMED})
    assert (refused.status_code, allowed(refused)) == (401, NAMED)  # so that its page can say why


@pytest.mark.parametrize(
    ("path", "method", "may"),
    [
        ("/stac/search", "POST", True),
        ("/ogc", "GET", True),
        ("/tiles/m/1/0/0", "GET", True),
        ("/api/login", "POST", False),
        ("/api/marks/mark-00000001", "PUT", False),
        ("/files", "POST", False),
        ("/stac/search", "PUT", False),
        ("/stac/search/", "POST", False),
        ("/api/session", "DELETE", False),
    ],
)
def test_a_page_asks_first_and_is_told_that_it_may_only_read(
    offered_at: str, path: str, method: str, may: bool
) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
    for origin in (NAMED, OTHER):
        answer = httpx.options(f"{offered_at}{path}", headers={"Origin": origin, **asked})
        assert answer.is_success == (may and origin == NAMED)
        assert method not in answer.headers.get("access-control-allow-methods", "") or may
        assert (allowed(answer) == NAMED) == (origin == NAMED)


def test_where_no_site_is_named_no_page_reads(client: httpx.Client, offering: Offering) -> None:
    """Not in a house that is open either: any page that somebody at the machine looks at could ask it."""
    answer = client.get("/ogc", headers={"Origin": NAMED})
    assert answer.status_code == 401 and allowed(answer) is None
    assert client.get("/ogc").status_code == 200


def test_sites_are_named_in_the_environment() -> None:
    settings = read_settings({"FLYCAM_CORS_ORIGINS": " https://GIS.laocai.gov.vn/, http://10.0.0.5:8080 ,"})
    assert settings.cors_origins == {"https://gis.laocai.gov.vn", "http://10.0.0.5:8080"}
    assert read_settings({}).cors_origins == frozenset()
    for wrong in (
        "*",
        "gis.laocai.gov.vn",
        "https://gis.vn/map",
        "https://*.vn",
        "null",
        "https://a.vn b",
    ):
        with pytest.raises(OptionUnusable, match="FLYCAM_CORS_ORIGINS"):
            read_settings({"FLYCAM_CORS_ORIGINS": wrong})
