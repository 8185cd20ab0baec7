"""Check that a sign-in form, or a request without a body, is from our own page.

A page of another site could send it too, and the browser would come back signed in to an account which that
site chose. A request without a body can be sent by any page, too. Browsers state whose page it was; programs
state nothing, and need no cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi import Request

from flycam.errors import AccessDenied
from flycam.messages import Message, _

FORM_HEADERS = {"Referrer-Policy": "same-origin"}
"""Headers of a page whose form is checked: without it browsers send "null", as from another site's page."""

CROSS_SITE_REQUEST = _(
    "this was asked by a page of another site: open this server's own page and press the button there"
)
"""Message where nobody signs in."""

_SIGN_IN = _("this sign-in was sent by a page of another site: open the link itself, and press its button")
_SAME_ORIGIN_VALUES = ("same-origin", "none")


def require_same_origin(request: Request, message: Message = _SIGN_IN) -> None:
    """Raise AccessDenied for a request from a page of another site."""
    if not is_same_origin(request.headers):
        raise AccessDenied(message)


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return True unless a page of another site sent these headers."""
    said, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if said is not None:
        return said in _SAME_ORIGIN_VALUES
    # over http browsers state only the origin
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host")
    except ValueError:  # not an address: "http://[x"
        return False
