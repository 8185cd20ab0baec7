"""A card says all that a network needs said, or is refused in one sentence that names what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flycam.analysis import network_card
from flycam.analysis.network_card import find_card, read_card
from flycam.errors import NetworkUnusable, NotFound
from tests.analysis.onnx_made import card_values, onnx_bytes, put_network, redder

DATA = onnx_bytes(redder(), [-4.0])


@pytest.mark.parametrize(
    "licence",
    [
        "AGPL-3.0",
        "GPL-2.0-or-later",
        "GPLv3",
        "GNU Affero General Public License v3",
        "gpl-3.0 OR AGPL-3.0-only",
    ],
)
def test_a_network_under_agpl_or_gpl_is_refused(tmp_path: Path, licence: str) -> None:
    with pytest.raises(NetworkUnusable) as failure:
        read_card(put_network(tmp_path, DATA, licence=licence))
    for sentence in (str(failure.value), failure.value.vi or ""):
        assert sentence.startswith(f"made.yaml: licence: {licence}: ") and "AGPL" in sentence


@pytest.mark.parametrize(
    "licence", ["CC-BY-4.0", "LGPL-3.0-only", "GNU Lesser General Public License", "MIT OR GPL-3.0-only"]
)
def test_any_other_licence_stands_as_it_is_written(tmp_path: Path, licence: str) -> None:
    assert read_card(put_network(tmp_path, DATA, licence=licence)).licence == licence


def test_a_card_is_read(tmp_path: Path) -> None:
    card = read_card(put_network(tmp_path, DATA, weight=0.25))
    assert (card.name, card.file, card.channels) == ("made", tmp_path / "made.onnx", 6)
    assert (card.kinds, card.is_logit, card.weight, card.gsd_m) == (("landslide",), False, 0.25, 0.5)
    assert card.told == f"made (sha256 {card.sha256[:12]})"
    assert read_card(put_network(tmp_path, DATA)).weight == 0.5


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"sha256": None}, "sha256"),
        ({"sha256": "abc"}, "sha256"),
        ({"sha256": 12345}, "sha256"),
        ({"file": "../elsewhere.onnx"}, "file"),
        ({"file": ""}, "file"),
        ({"licence": ""}, "licence"),
        ({"trained_on": None}, "trained_on"),
        ({"figures": None}, "figures"),
        ({"inputs": {"planes": ["before", "infrared"]}}, "inputs.planes"),
        ({"inputs": {"planes": ["before", "before"]}}, "inputs.planes"),
        ({"inputs": {"planes": []}}, "inputs.planes"),
        ({"inputs": {"mean": [0.0] * 5}}, "inputs.mean"),
        ({"inputs": {"spread": [0.0] * 6}}, "inputs.spread"),
        ({"inputs": {"spread": ["1"] * 6}}, "inputs.spread"),
        ({"inputs": {"gsd_m": float("nan")}}, "inputs.gsd_m"),
        ({"inputs": {"tile_px": 4}}, "inputs.tile_px"),
        ({"inputs": {"tile_px": True}}, "inputs.tile_px"),
        ({"inputs": {"tile_px": 48.5}}, "inputs.tile_px"),
        ({"inputs": {"margin_px": 16}}, "inputs.margin_px"),
        ({"outputs": {"kinds": ["avalanche"]}}, "outputs.kinds"),
        ({"outputs": {"as": "odds"}}, "outputs.as"),
        ({"weight": 0}, "weight"),
        ({"weight": 1.5}, "weight"),
    ],
)
def test_a_card_that_does_not_say_enough_is_refused(tmp_path: Path, said: dict[str, Any], names: str) -> None:
    with pytest.raises(NetworkUnusable) as failure:
        read_card(put_network(tmp_path, DATA, **said))
    for sentence in (str(failure.value), failure.value.vi or ""):
        assert sentence.startswith(f"made.yaml: {names}: ") and "\n" not in sentence


@pytest.mark.parametrize("text", ["", "- a\n- b", "{", "a: !!python/object:os.system x", "[" * 5000, "\x00"])
def test_what_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(text)
    with pytest.raises(NetworkUnusable, match="is no card"):
        read_card(path)


@pytest.mark.parametrize("part", ["inputs", "outputs", "name", "file"])
def test_a_part_that_is_missing_is_named(tmp_path: Path, part: str) -> None:
    values = card_values("made", DATA)
    del values[part]
    path = tmp_path / "made.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(NetworkUnusable, match=f"made.yaml: {part}: "):
        read_card(path)


def test_a_card_is_found_by_its_path_or_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = put_network(tmp_path / "networks", DATA)
    put_network(tmp_path, DATA, "outside")
    monkeypatch.setattr(network_card, "models_dir", lambda: tmp_path)
    assert find_card(str(card)) == find_card("made") == card
    for ref in ("other", "../outside", str(tmp_path / "other.yaml"), ""):
        with pytest.raises(NotFound) as failure:
            find_card(ref)
        assert "made" in str(failure.value) and "made" in (failure.value.vi or "")


def test_the_cards_that_come_with_flycam_can_be_read() -> None:
    folder = network_card.models_dir() / "networks"
    assert (folder / "README.md").is_file()
    for path in folder.glob("*.y*ml"):
        assert read_card(path).file.is_file()
