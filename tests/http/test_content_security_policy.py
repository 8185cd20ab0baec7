"""What browsers may load and run on pages of ours."""

from __future__ import annotations

import base64
import hashlib

from flycam.http.protocol import build_standalone_policy


def known(style: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


def test_no_attribute_of_a_report_says_how_it_looks() -> None:
    page = b"""<html><head><style>p { color: red }</style></head><body><i style="background:#aa00ff"></i>
    <p style="background:url(x)">a</p><style>body { display: none }</style></body></html>"""
    policy = build_standalone_policy(page)
    styles = policy.partition("style-src ")[2].partition(";")[0].split()
    assert styles == [known("p { color: red }")]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy


def test_a_page_without_a_sheet_has_no_style() -> None:
    assert "style-src 'none'; " in build_standalone_policy(b"%PDF")
