"""Layers into the catalogue: evidence, audit, refreshing, and addresses that may not be asked."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from flycam.board.layers import LayerRequest, add_layer, fetch_url, refresh_layer, remove_layer
from flycam.errors import LayerInvalid, NotFound, OptionUnusable, SourceUnreadable
from flycam.model.board import LayerKind
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.serve.world import LAT, LON, add_communes, make_workspace

BODY = (
    b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"name":"A","status":"%s"},'
    + (b'"geometry":{"type":"Point","coordinates":[104.8,21.9]}}]}')
)


class Handler(http.server.BaseHTTPRequestHandler):
    """/layer answers, /moved sends elsewhere, /endless never ends, /packed says it is compressed."""

    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Handler.paths.append(self.path)
        path = self.path.partition("?")[0]
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/layer.geojson")
            self.end_headers()
            return
        if path == "/missing":
            self.send_response(404)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Last-Modified", "Tue, 10 Sep 2024 03:15:00 GMT")
        if path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if path in ("/endless", "/slow"):
            try:
                while True:
                    self.wfile.write(b" " * (1 << 16 if path == "/endless" else 1))
                    if path == "/slow":
                        time.sleep(0.02)
            except OSError:
                return
        self.wfile.write(BODY % b"mat dien")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{one.server_address[1]}"
        one.shutdown()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "house")


def layer_file(path: Path, status: str = "mất điện", lon: float = LON) -> Path:
    feature = {
        "type": "Feature",
        "properties": {"ten": "Trạm A", "tinh_trang": status, "cap_nhat": "10:15 10/09/2024"},
        "geometry": {"type": "Point", "coordinates": [lon, LAT]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    return path


def request(source: object, **options: object) -> LayerRequest:
    return LayerRequest(source=str(source), kind=LayerKind.MAST, **options)  # type: ignore[arg-type]


def test_a_layer_is_kept_with_its_bytes_and_a_line_in_the_audit_log(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = layer_file(tmp_path / "Trạm BTS.geojson")
    layer, found = add_layer(workspace, request(path, owner="Viettel"), "Lan")
    assert (layer.name, layer.owner, layer.features, layer.troubles) == ("Trạm BTS", "Viettel", 1, 1)
    assert layer.valid_ns == 1_725_938_100 * 10**9
    assert found.remarks == ()
    assert workspace.store.get(keys.format_original_key(layer.sha256)) == path.read_bytes()
    (line,) = workspace.catalog.audit.lines()
    assert (line.who, line.what, line.subject) == ("Lan", "layer add", layer.layer_id)
    assert layer.sha256 in line.detail


def test_refreshing_reads_the_file_again_and_a_broken_one_changes_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = layer_file(tmp_path / "a.geojson")
    before, _ = add_layer(workspace, request(path), "Lan")
    layer_file(path, "hoạt động")
    after, _ = refresh_layer(workspace, "a", "Minh")
    assert (after.troubles, after.added_ns) == (0, before.added_ns)
    assert after.refreshed_ns > before.refreshed_ns
    path.write_text('{"type":"FeatureCollection","features":[]}')
    with pytest.raises(LayerInvalid):
        refresh_layer(workspace, before.layer_id, "Minh")
    assert workspace.catalog.layers.all() == [after]
    other, _ = refresh_layer(
        workspace, "a", "Minh", source=str(layer_file(tmp_path / "b.geojson")), valid_ns=7
    )
    assert (other.name, other.valid_ns, Path(other.source).name) == ("a", 7, "b.geojson")


def test_a_layer_removed_is_gone_and_its_bytes_stay(workspace: Workspace, tmp_path: Path) -> None:
    layer, _ = add_layer(workspace, request(layer_file(tmp_path / "a.geojson")), "Lan")
    remove_layer(workspace, "a", "Minh")
    assert workspace.catalog.layers.all() == []
    assert workspace.store.exists(keys.format_original_key(layer.sha256))
    assert [line.what for line in workspace.catalog.audit.lines()] == ["layer add", "layer remove"]
    with pytest.raises(NotFound):
        remove_layer(workspace, "a", "Minh")


def test_a_file_of_another_country_and_one_that_nobody_dated_are_said(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_communes(workspace)
    path = tmp_path / "a.geojson"
    path.write_bytes((BODY % b"").replace(b"104.8", b"8.5").replace(b"21.9", b"47.1"))
    _, found = add_layer(workspace, request(path), "Lan")
    undated, far = found.remarks
    assert (undated.values, far.values) == ({"name": "a"}, {"name": "a"})


def moments(workspace: Workspace) -> list[int | None]:
    (layer,) = workspace.catalog.layers.all()
    found, _ = workspace.catalog.layers.features(layer.layer_id, None, 10)
    return [one.valid_ns for one in sorted(found, key=lambda one: one.number)]


@pytest.mark.parametrize("name", ["  ", "x" * 101, "a\u0007"])
def test_a_name_that_cannot_be_is_refused(workspace: Workspace, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionUnusable, match="--name"):
        add_layer(workspace, request(layer_file(tmp_path / "a.geojson"), name=name), "Lan")


def test_an_allowed_address_is_fetched_and_dated_by_its_answer(workspace: Workspace, server: str) -> None:
    address = f"http://{server}/layer.geojson?key=secret"
    layer, _ = add_layer(workspace, request(address), "Lan", [server])
    assert (layer.name, layer.troubles, layer.source) == ("layer", 1, address)
    assert layer.valid_ns == 1_725_938_100 * 10**9
    assert "secret" not in workspace.catalog.audit.lines()[0].detail
    refresh_layer(workspace, "layer", "Lan", allowed_hosts=[server])
    assert not [path for path in workspace.cache_dir.iterdir() if path.name.startswith("layer-")]


@contextmanager
def refused(**values: object) -> Iterator[None]:
    with pytest.raises(SourceUnreadable) as failure:
        yield
    assert failure.value.message.values.items() >= values.items()


@pytest.mark.parametrize(
    "address",
    [
        "http://{}/layer.geojson",  # not listed
        "http://user:pw@listed.vn/layer",
        "http://listed.vn@{}/layer",
        "http://listed.vn:9/layer",
        "http://{}#@listed.vn/",
        "http://listed.vn\\@{}/",
        "http://[::1]/layer",
        "http://listed.vn:99999/",
        "http://[bad/",
        "http:///layer",
        "http://2130706433/layer",
        "http://listed.vn.evil.vn/layer",
        "http://listed.vn /layer",
    ],
)
def test_no_address_reaches_a_host_that_is_not_listed(server: str, tmp_path: Path, address: str) -> None:
    Handler.paths.clear()
    with refused():
        fetch_url(address.format(server), ["listed.vn"], tmp_path)
    assert Handler.paths == []


def test_other_schemes_are_files_which_are_not_there(workspace: Workspace) -> None:
    for source in (
        "file:///etc/passwd",
        "ftp://listed.vn/a",
        "/vsicurl/http://listed.vn/a",
        "/etc/passwd",
        "/dev/zero",
    ):
        with pytest.raises(SourceUnreadable):
            add_layer(workspace, request(source, name="a"), "Lan", ["listed.vn"])


def test_a_redirect_an_error_and_too_much_are_refused(server: str, tmp_path: Path) -> None:
    Handler.paths.clear()
    with refused(status=302):
        fetch_url(f"http://{server}/moved", [server], tmp_path)
    assert Handler.paths == ["/moved"]
    with refused(status=404):
        fetch_url(f"http://{server}/missing", [server], tmp_path)
    with refused(most_bytes=1):
        fetch_url(f"http://{server}/endless", [server], tmp_path, max_bytes=1 << 20)
    with refused(most_seconds=0.5):
        fetch_url(f"http://{server}/slow", [server], tmp_path, timeout_s=0.5)
