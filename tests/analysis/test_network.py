"""A network is what its card says or is refused; tile by tile it says what it says of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flycam.analysis.network import Ground, Network, load_network
from flycam.analysis.pair import ImagePair
from flycam.errors import NetworkUnusable, NotFound
from tests.analysis.onnx_made import TILE, onnx_bytes, put_network, redder


def made(folder: Path, data: bytes | None = None, **more: Any) -> Network:
    return load_network(str(put_network(folder, data or onnx_bytes(redder(), [-4.0]), **more)))


def pair_of(rows: int, cols: int, gsd_m: float = 0.5, seed: int = 3) -> ImagePair:
    """Smooth colours, so that resampling changes little."""
    chance = np.random.default_rng(seed)
    coarse = chance.integers(60, 200, (2, 5, 6, 3)).astype(np.float32)
    y, x = np.linspace(0, 3.999, rows), np.linspace(0, 4.999, cols)
    top, left = y.astype(int), x.astype(int)
    b, a = (y - top)[:, None, None], (x - left)[None, :, None]

    def smooth(values: np.ndarray) -> np.ndarray:
        upper = values[top][:, left] * (1 - a) + values[top][:, left + 1] * a
        lower = values[top + 1][:, left] * (1 - a) + values[top + 1][:, left + 1] * a
        return np.rint(upper * (1 - b) + lower * b).astype(np.uint8)

    seen = np.ones((rows, cols), bool)
    return ImagePair(
        before_rgb=smooth(coarse[0]),
        after_rgb=smooth(coarse[1]),
        before_seen=seen,
        after_seen=seen,
        gsd_m=gsd_m,
        heights_m=np.zeros((rows, cols), np.float32),
    )


def ground_of(pair: ImagePair, cell_m: float = 0.5) -> Ground:
    rows, cols = pair.before_seen.shape
    shape = max(round(rows * pair.gsd_m / cell_m), 1), max(round(cols * pair.gsd_m / cell_m), 1)
    return Ground(
        shape=shape,
        to_pixels=(cols / shape[1], rows / shape[0]),
        slope=np.full(shape, 0.4, np.float32),
    )


def wanted(pair: ImagePair, weight: float = 40.0, bias: float = -4.0) -> np.ndarray:
    """What the made network says of each pixel, worked out without it."""
    red, green, _ = np.moveaxis(pair.after_rgb / 255.0 - pair.before_rgb / 255.0, -1, 0)
    return np.clip(weight * (red - green) + bias, -np.log(249), np.log(249))


@pytest.mark.parametrize("shape", [(TILE, TILE), (75, 101), (9, 200), (1, 1)])
def test_tiles_say_what_the_whole_says(tmp_path: Path, shape: tuple[int, int]) -> None:
    pair = pair_of(*shape)
    found = made(tmp_path).logits(pair, ground_of(pair))
    assert list(found) == ["landslide"]
    np.testing.assert_allclose(found["landslide"], wanted(pair), atol=0.02)


def test_finer_pictures_are_given_in_the_pixels_it_was_trained_on(tmp_path: Path) -> None:
    fine = pair_of(300, 400, gsd_m=0.125)
    found = made(tmp_path).logits(fine, ground_of(fine))["landslide"]
    assert found.shape == (75, 100)
    mean = wanted(fine).reshape(75, 4, 100, 4).mean((1, 3))
    inner = np.abs(mean) < 4.0
    assert np.abs(found - mean)[inner].max() < 0.7


def test_a_network_may_say_logits_and_several_kinds(tmp_path: Path) -> None:
    weights = np.vstack([redder(), np.zeros((1, 6))])
    data = onnx_bytes(weights, [-4.0, 2.0], op="Identity")
    outputs = {"kinds": ["landslide", "flood"], "as": "logit"}
    pair = pair_of(40, 50)
    found = made(tmp_path, data, outputs=outputs).logits(pair, ground_of(pair))
    np.testing.assert_allclose(found["landslide"], wanted(pair), atol=0.02)
    np.testing.assert_allclose(found["flood"], 2.0, atol=1e-3)


def test_slope_is_a_plane_and_what_is_fed_is_levelled_by_the_card(tmp_path: Path) -> None:
    inputs = {"planes": ["slope"], "mean": [0.3], "spread": [0.05]}
    data = onnx_bytes(np.array([[1.0]]), [0.0])
    pair = pair_of(40, 50)
    found = made(tmp_path, data, inputs=inputs).logits(pair, ground_of(pair))["landslide"]
    np.testing.assert_allclose(found, (0.4 - 0.3) / 0.05, atol=1e-3)


def test_what_was_not_imaged_on_both_dates_is_fed_as_nothing(tmp_path: Path) -> None:
    pair = pair_of(64, 96)
    seen = pair.before_seen.copy()
    seen[:, 48:] = False
    garbage = pair.after_rgb.copy()
    garbage[:, 48:] = (255, 0, 0)
    found = made(tmp_path).logits(replace(pair, after_seen=seen, after_rgb=garbage), ground_of(pair))
    assert (found["landslide"][:, 50:] <= 0.0).all(), "not one of the pixels it was not to see spoke"
    np.testing.assert_allclose(found["landslide"][:, :46], wanted(pair)[:, :46], atol=0.02)


def test_pictures_coarser_than_it_ever_saw_are_refused(tmp_path: Path) -> None:
    network, pair = made(tmp_path), pair_of(20, 20, gsd_m=0.8)
    with pytest.raises(NetworkUnusable, match=r"made: was trained on pixels of 0\.5 m.* 0\.8 m") as failure:
        network.logits(pair, ground_of(pair, 0.8))
    assert "0.5 m" in (failure.value.vi or "")


def test_another_file_than_that_of_the_card_is_refused(tmp_path: Path) -> None:
    card = put_network(tmp_path, onnx_bytes(redder(), [-4.0]))
    (tmp_path / "made.onnx").write_bytes(onnx_bytes(redder(), [-3.0]))
    with pytest.raises(NetworkUnusable, match=r"made\.onnx: is not the network of its card") as failure:
        load_network(str(card))
    assert "không phải mạng ghi trong thẻ" in (failure.value.vi or "")


def test_a_file_that_is_not_there_and_a_card_that_is_not_there(tmp_path: Path) -> None:
    card = put_network(tmp_path, onnx_bytes(redder(), [-4.0]))
    (tmp_path / "made.onnx").unlink()
    with pytest.raises(NetworkUnusable, match="is not beside its card"):
        load_network(str(card))
    with pytest.raises(NotFound, match="no card of such a network"):
        load_network("no-such-network")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (onnx_bytes(np.ones((1, 3)), [0.0]), "takes float32 1×3×32×32"),
        (onnx_bytes(redder(), [0.0], dims=(1, 6, 64, 64)), "takes float32 1×6×64×64"),
        (onnx_bytes(redder(), [0.0], dims=(1, TILE, TILE, 6)), "takes float32 1×32×32×6"),
        (onnx_bytes(redder(), [0.0], kind=10), "takes float16 1×6×32×32"),
        (onnx_bytes(np.ones((2, 6)), [0.0, 0.0]), "gives float32 1×2×32×32"),
        (onnx_bytes(redder(), [0.0], op="GlobalAveragePool"), "gives 1×1×1×1"),
        (onnx_bytes(redder(), [0.0], external="weights.bin"), "keeps weights in another file"),
        (onnx_bytes(redder(), [0.0], op="NoSuchOperator"), "is no ONNX that OpenCV"),
        (b"no network at all", "is no ONNX that OpenCV"),
        (b"", "is no ONNX that OpenCV"),
    ],
)
def test_a_network_that_is_not_what_its_card_says_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    card = put_network(tmp_path, data)
    with pytest.raises(NetworkUnusable) as failure:
        load_network(str(card))
    assert str(failure.value).startswith("made.onnx: ") and said in str(failure.value)
    for sentence in (str(failure.value), failure.value.vi or ""):
        assert sentence and "\n" not in sentence


def test_sizes_that_the_network_leaves_open_are_those_of_the_card(tmp_path: Path) -> None:
    data = onnx_bytes(redder(), [-4.0], dims=("n", 6, "h", "w"), gives=("n", 1, "h", "w"))
    pair = pair_of(50, 50)
    found = made(tmp_path, data, inputs={"tile_px": 64}).logits(pair, ground_of(pair))["landslide"]
    np.testing.assert_allclose(found, wanted(pair), atol=0.02)
