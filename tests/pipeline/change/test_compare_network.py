"""A comparison that asked a learned model says so: in its file, in the catalogue, in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from click.testing import CliRunner

from flycam.analysis.network import load_network
from flycam.answers.compared import of_compare
from flycam.cli import flycam
from flycam.errors import NetworkUnusable
from flycam.frame.flight import Event, EventKind
from flycam.pipeline.change.compare import compare
from tests.analysis.ground import field, ground, moved, other_light
from tests.analysis.onnx_made import onnx_bytes, put_network, redder
from tests.pipeline.compared import Finder, Found, picture, square


class Asked(Finder):
    """Keeps which network it was given."""

    network = None

    def __call__(self, pair, *, stable=None, network=None):
        self.network = network
        return super().__call__(pair, stable=stable)


@pytest.fixture(scope="module")
def scenes() -> tuple[np.ndarray, np.ndarray]:
    before = ground(1, 900)
    return before, other_light(moved(before, field(before.shape[:2], (9.0, -6.0))))


@pytest.fixture
def files(scenes, tmp_path) -> tuple[str, str]:
    before, after = scenes
    return str(picture(tmp_path / "before.tif", before)), str(picture(tmp_path / "after.tif", after))


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return put_network(tmp_path / "nets", onnx_bytes(redder(), [-4.0]), "slides", figures="recall 0.8")


@pytest.fixture
def workspace(make_house):
    one = make_house().workspace
    one.catalog.flights.put_event(Event(event_id="e1", name="Bão", kind=EventKind.STORM, is_drill=False))
    return one


def _texts(path: Path, layer: str, name: str) -> list[str]:
    meta, _, _, values = pyogrio.raw.read(path, layer=layer)
    return list(dict(zip(meta["fields"], values, strict=True))[name])


def test_file_catalogue_and_answer_name_the_network_and_its_hash(workspace, files, card, tmp_path):
    network = load_network(str(card))
    said = f"slides (sha256 {network.card.sha256[:12]})"
    finder = Asked([Found(square((200 - 0.5, 200 - 0.5), 40.0))])
    out = tmp_path / "changes.gpkg"
    done = compare(workspace, *files, out, finder, event="e1", network=network)
    assert finder.network is network
    assert _texts(out, "changes", "network") == [said] and _texts(out, "compared", "network") == [said]
    (line,) = workspace.catalog.changes.current("e1")
    assert line.note == f"network {said}"
    told = [one.detail for one in workspace.catalog.audit.lines() if one.what == "changes found"]
    assert told and told[-1].endswith(f"with network {said}")
    answer, lines = of_compare(done)
    assert answer["network"] == {"name": "slides", "sha256": network.card.sha256}
    for words in (answer["warnings"], answer["warnings_vi"], lines, of_compare(done, "vi")[1]):
        assert any(said in one and "recall 0.8" in one for one in words)
    compare(workspace, *files, tmp_path / "c.geojson", Asked(), for_review=False, network=network)
    assert json.loads((tmp_path / "c.geojson").read_text())["network"] == said, "nothing found, yet asked"


def test_without_a_network_nothing_of_one_is_said(workspace, files, tmp_path):
    out = tmp_path / "changes.gpkg"
    done = compare(workspace, *files, out, Finder([Found(square((200 - 0.5, 200 - 0.5), 40.0))]), event="e1")
    for layer in ("changes", "compared"):
        assert "network" not in pyogrio.read_info(out, layer=layer)["fields"]
    (line,) = workspace.catalog.changes.current("e1")
    answer, lines = of_compare(done)
    assert line.note == "" and answer["network"] is None
    assert not any("network" in one for one in [*answer["warnings"], *lines[1:]])


def test_pictures_that_are_too_coarse_for_it_are_told_before_the_work(workspace, files, tmp_path):
    data = onnx_bytes(redder(), [-4.0])
    fine = load_network(str(put_network(tmp_path / "nets", data, "fine", inputs={"gsd_m": 0.05})))
    finder, out = Asked(), tmp_path / "changes.gpkg"
    with pytest.raises(NetworkUnusable, match=r"0\.05 m"):
        compare(workspace, *files, out, finder, network=fine)
    assert not finder.pairs and not out.exists()


def test_the_command_asks_the_network_that_is_named(files, card, tmp_path):
    out = tmp_path / "changes.gpkg"
    asked = ["compare", *files, "--out", str(out), "--data", str(tmp_path / "data"), "--json"]
    done = CliRunner().invoke(flycam, [*asked, "--network", str(card)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["network"]["name"] == "slides"
    card.with_suffix(".onnx").write_bytes(onnx_bytes(redder(), [0.0]))
    for name, said in (
        (str(card), "is not the network of its card"),
        ("no-such", "no card of such a network"),
    ):
        refused = CliRunner().invoke(flycam, [*asked, "--network", name])
        assert refused.exit_code == 3 and said in refused.output
