"""What a pack says of things that changes touch, where layers cover all of them, a part, or none."""

from __future__ import annotations

import pytest

from flycam.frame.specialist import LayerKind
from flycam.report.pack_changes import _count
from flycam.report.pack_figures import PackCount


@pytest.mark.parametrize(
    ("count", "english", "vietnamese"),
    [
        (PackCount(inside=0, near=3, is_whole=True), "0 inside, 3 near", "0 trong vùng, 3 ở gần"),
        (PackCount(inside=0, near=3, is_whole=False), "at least 3 near", "ít nhất 3 ở gần"),
        (
            PackCount(inside=2, near=1, is_whole=False),
            "at least 2 inside, at least 1 near",
            "ít nhất 2 trong vùng, ít nhất 1 ở gần",
        ),
        (
            PackCount(inside=0, near=0, is_whole=False),
            "none seen, the layers cover only a part",
            "chưa thấy, lớp chỉ phủ một phần",
        ),
        (None, "not known (no layer)", "chưa biết (không có lớp)"),
    ],
)
def test_none_at_the_least_is_never_said(count: PackCount | None, english: str, vietnamese: str) -> None:
    assert _count(LayerKind.HOUSE, {LayerKind.HOUSE: count}, "en") == english
    assert _count(LayerKind.HOUSE, {LayerKind.HOUSE: count}, "vi") == vietnamese
