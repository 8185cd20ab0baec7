"""Confirmation page of a sign-in link.

It has a button, so that programs that only fetch a link do not sign in.
"""

from __future__ import annotations

from flycam.messages import Message, _

_OPEN = _("Open the map")


def render_button_page(sentence: Message) -> str:
    """Return HTML with one sentence (HTML), in both languages, and a button.

    The button posts to the same address.
    """
    return f"""<!doctype html><html lang="vi"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>flycam</title><body><form method="post"><h1>flycam</h1>
<p>{_in_both(sentence)}</p>
<button type="submit">{_in_both(_OPEN)}</button></form></body></html>"""


def _in_both(message: Message) -> str:
    return f"{message.in_language('vi')} / {message}"
