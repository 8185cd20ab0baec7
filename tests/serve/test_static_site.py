"""Headers, health, the API's own page, and errors that say something."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from flycam import errors
from flycam.http.guards import Services
from flycam.http.protocol import build_error_payload
from flycam.operations.certificate_authority import OwnTlsCertificate
from tests.serve.running import running
from tests.serve.world import make_workspace


def test_health_names_what_is_down(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    with running(Services(workspace=workspace)) as url:
        assert httpx.get(f"{url}/healthz").json() == {"catalog": True, "store": True}
        workspace.catalog.close()
        for path in tmp_path.glob("catalog.sqlite*"):
            path.unlink()
        (tmp_path / "catalog.sqlite").mkdir()
        down = httpx.get(f"{url}/healthz")
        assert (down.status_code, down.json()["catalog"]) == (503, False)
        broken = httpx.get(f"{url}/api/flights")
        assert (broken.status_code, broken.json()["error"]) == (503, "CatalogUnavailable")
        # where the database lies is no business of viewers
        assert str(tmp_path) not in broken.text


def test_every_answer_is_safe_to_show_and_private_ones_are_not_kept(client: httpx.Client) -> None:
    answer = client.get("/api/flights")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"] == (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", ["/", "/api/flights", "/no/such/page", "/healthz", "/tiles/no-colour/8/1/1"])
def test_no_page_of_another_site_embeds_what_is_answered(client: httpx.Client, path: str) -> None:
    """Whether or not there is a tile: a picture that is refused tells by its size, too."""
    assert client.get(path).headers["cross-origin-resource-policy"] == "same-origin"


def test_browsers_keep_to_https_for_a_day_where_it_is_spoken(client: httpx.Client, tmp_path: Path) -> None:
    """Here, or by a proxy that is trusted; never said in clear, nor because a stranger says so."""
    said = "strict-transport-security"
    by_proxy = {"X-Forwarded-Proto": "https"}
    assert said not in client.get("/").headers
    assert client.get("/", headers=by_proxy).headers[said] == "max-age=86400"
    strangers = Services(workspace=make_workspace(tmp_path / "one"), trusted_proxies=("10.9.8.7",))
    with running(strangers) as url:
        assert said not in httpx.get(url, headers=by_proxy).headers
    encryption = OwnTlsCertificate(tmp_path / "tls", "127.0.0.1")
    with running(Services(workspace=make_workspace(tmp_path / "two")), encryption=encryption) as url:
        assert httpx.get(url, verify=False).headers[said] == "max-age=86400"


def test_what_is_no_part_of_the_built_map_is_not_looked_for(tmp_path: Path) -> None:
    """Anybody may ask for it: a step in the file system for each part of an address froze the server."""
    (tmp_path / "static" / "assets").mkdir(parents=True)
    (tmp_path / "static" / "index.html").write_text("<!doctype html>")
    with running(Services(workspace=make_workspace(tmp_path), static_dir=tmp_path / "static")) as url:
        (tmp_path / "static" / "later.js").write_text("")
        assert [httpx.get(f"{url}{path}").status_code for path in ("/", "/index.html")] == [200, 200]
        for path in ("/later.js", "/assets", "/assets/", "//index.html", "/assets/%2e%2e/index.html", "/a/b"):
            assert httpx.get(httpx.URL(url, raw_path=path.encode())).status_code == 404, path
        assert httpx.post(f"{url}/nothing").status_code == 405


@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_error_has_a_status_and_words(language: str) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 20
    for kind in kinds:
        status, body = build_error_payload(kind("a.jpg: broken; take it out"), language)
        assert 400 <= status < 600
        assert body["message"]
    status, body = build_error_payload(ValueError("secret detail"), language)
    assert status == 500
    assert "secret" not in body["message"]
