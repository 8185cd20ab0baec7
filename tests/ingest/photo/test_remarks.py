"""Every remark of a reader is said in both languages."""

from __future__ import annotations

import ast
from pathlib import Path

import flycam.ingest.photo
from flycam.ingest.photo.remarks import REMARKS_VI

_SENTENCES = ("the JPEG ", "the EXIF ", "EXIF position ", "the XMP packet ", "angles come ")


def test_every_remark_has_its_vietnamese() -> None:
    folder = Path(flycam.ingest.photo.__file__).parent
    texts = {
        node.value
        for name in ("container", "exif", "xmp", "photo_reader", "photo_head", "png_head", "tiff")
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
    }
    assert {text for text in texts if text.startswith(_SENTENCES)} == set(REMARKS_VI)
