"""What an ONNX file declares is read from its bytes, whatever these are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.analysis.onnx_said import read_onnx_said
from tests.analysis.onnx_made import TILE, onnx_bytes, redder

MADE = onnx_bytes(redder(), [-4.0], dims=("n", 6, TILE, TILE), lists_weights=True)


def test_inputs_are_told_without_weights_and_with_what_may_be_anything() -> None:
    said = read_onnx_said(MADE)
    assert [(one.name, one.kind, one.dims) for one in said.inputs] == [("pictures", 1, (None, 6, TILE, TILE))]
    assert [(one.name, one.dims) for one in said.outputs] == [("changed", (1, 1, TILE, TILE))]
    assert said.is_whole


def test_weights_in_another_file_are_told() -> None:
    assert not read_onnx_said(onnx_bytes(redder(), [-4.0], external="weights.bin")).is_whole


@given(st.integers(0, len(MADE) - 1))
def test_what_is_cut_short_is_no_onnx_or_says_less(length: int) -> None:
    try:
        said = read_onnx_said(MADE[:length])
    except ValueError:
        return
    assert length < len(MADE) and said.inputs, "only what comes after the graph may be missing"


@given(st.binary(max_size=200))
def test_bytes_of_anything_else_are_refused_or_read_and_never_worse(data: bytes) -> None:
    try:
        read_onnx_said(data)
    except ValueError as error:
        assert str(error)


def test_an_endless_number_is_refused() -> None:
    with pytest.raises(ValueError, match="cut short"):
        read_onnx_said(b"\xff" * 50)
