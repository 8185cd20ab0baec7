"""The page behind a link that lets somebody in: a button, for what only fetches it must not go in."""

from __future__ import annotations


def render_button_page(sentence: str) -> str:
    """HTML with one sentence (said in HTML) and the button, which sends a POST to the same address."""
    return f"""<!doctype html><html lang="vi"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>flycam</title><body><form method="post"><h1>flycam</h1>
<p>{sentence}</p>
<button type="submit">Vào bản đồ / Open the map</button></form></body></html>"""
