"""A network has a word in what is found; without one nothing is other than it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flycam.analysis import change, evidence, relief
from flycam.analysis.change import Candidate, detect
from flycam.analysis.learned import Learned
from flycam.analysis.network import Network, load_network
from flycam.analysis.objects import Patch
from flycam.analysis.pair import ImagePair
from flycam.drill.topview import ViewPair
from tests.analysis.onnx_made import onnx_bytes, put_network
from tests.analysis.test_change import drawn


def saying(folder: Path, logit: float, kinds: list[str], **more: Any) -> Network:
    """A network that says the same of every pixel."""
    data = onnx_bytes(np.zeros((len(kinds), 6)), [logit] * len(kinds))
    return load_network(str(put_network(folder, data, outputs={"kinds": kinds}, **more)))


@pytest.fixture(scope="module")
def found(storm: ImagePair) -> tuple[Candidate, ...]:
    return detect(storm)


def landslides(found: tuple[Candidate, ...]) -> list[float]:
    return sorted(one.score for one in found if one.kind == "landslide")


def test_what_it_believes_is_surer_and_what_it_does_not_is_gone(
    storm: ImagePair, found: tuple[Candidate, ...], tmp_path: Path
) -> None:
    doubted = detect(storm, network=saying(tmp_path, -5.0, ["landslide"], weight=0.9))
    assert landslides(found) and not landslides(doubted), "no slide is likely where the network says no"
    weak = detect(storm, network=saying(tmp_path, -5.0, ["landslide"], weight=0.01))
    assert len(landslides(weak)) == len(landslides(found))
    assert [one.rings[0].shape for one in weak if one.kind == "flood"] == [
        one.rings[0].shape for one in found if one.kind == "flood"
    ], "of floods it says nothing"


def test_the_relief_is_worked_out_once(
    storm: ImagePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out: list[float] = []

    def counted(heights_m: np.ndarray, cell_m: float) -> relief.Relief:
        worked_out.append(cell_m)
        return relief.relief_of(heights_m, cell_m)

    for module in (change, evidence):
        monkeypatch.setattr(module, "relief_of", counted)
    detect(storm, network=saying(tmp_path, -5.0, ["landslide"]))
    assert len(worked_out) == 1


def test_it_proposes_what_the_rules_did_not_find(storm: ImagePair, views: ViewPair, tmp_path: Path) -> None:
    """A network that knows the truth, as far as a colour tells it: ground that lost its green."""
    weights = np.array([[-60.0, 60.0, 0.0, 60.0, -60.0, 0.0]])
    card = put_network(tmp_path, onnx_bytes(weights, [-3.0]), weight=1.0)
    shown = detect(storm, network=load_network(str(card)))
    rgb = (storm.after_rgb / 255.0) - (storm.before_rgb / 255.0)
    believed = 60.0 * (rgb[..., 0] - rgb[..., 1]) - 3.0 > 0.0
    mine = drawn(shown, believed.shape, "landslide")
    assert mine.any()
    assert (mine & believed).sum() > 0.5 * mine.sum(), "with all the weight, it decides what is drawn"
    assert shown != detect(storm)


def test_a_word_is_pooled_over_the_patch_and_only_of_kinds_that_it_knows() -> None:
    plane = np.zeros((4, 5), np.float32)
    plane[1:3, 1:3] = [[2.0, 4.0], [6.0, -100.0]]
    patch = Patch(rows=slice(1, 3), cols=slice(1, 3), mask=np.array([[True, True], [True, False]]))
    learned = Learned(logits={"flood": plane}, weight=0.25)
    assert learned.pooled("flood", patch, -2.0) == pytest.approx(0.75 * -2.0 + 0.25 * 4.0)
    assert learned.pooled("landslide", patch, -2.0) == -2.0


def test_ground_that_was_not_seen_is_not_proposed(storm: ImagePair, tmp_path: Path) -> None:
    from dataclasses import replace

    seen = storm.after_seen.copy()
    seen[: seen.shape[0] // 2] = False
    network = saying(tmp_path, 5.0, ["landslide", "flood"], weight=1.0)
    shown = detect(replace(storm, after_seen=seen), network=network)
    outside = drawn(shown, seen.shape, "landslide", "flood", "other") & ~seen
    assert shown and outside.sum() < 0.002 * seen.size
    assert detect(replace(storm, after_seen=np.zeros_like(seen)), network=network) == ()
