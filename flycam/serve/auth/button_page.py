"""Confirmation page of a sign-in link.

It has a button, so that programs that only fetch a link do not sign in.
"""

from __future__ import annotations


def render_button_page(sentence: str) -> str:
    """Return HTML with one sentence (HTML) and a button.

    The button posts to the same address.
    """
    return f"""<!doctype html><html lang="vi"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>flycam</title><body><form method="post"><h1>flycam</h1>
<p>{sentence}</p>
<button type="submit">Vào bản đồ / Open the map</button></form></body></html>"""
