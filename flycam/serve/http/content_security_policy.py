"""Content-Security-Policy: what browsers may load and run on our pages.

No inline styles or scripts run, but for stylesheets of our own, each known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re

MAP_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Policy of every answer that sets no other."""

_STANDALONE_POLICY = (
    "default-src 'none'; style-src {styles}; img-src data:; base-uri 'none'; form-action 'none'; "
)
_STANDALONE_POLICY += "frame-ancestors 'none'"
_SHEET = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


def build_standalone_policy(page: bytes) -> str:
    """Return the policy of a standalone page (HTML) with styles in its head."""
    sheets = _SHEET.findall(page.partition(b"</head>")[0])
    styles = [_hash_stylesheet(one) for one in sheets]
    return _STANDALONE_POLICY.format(styles=" ".join(styles) or "'none'")


def _hash_stylesheet(style: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}'"
