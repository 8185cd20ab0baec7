"""Whether a form that lets somebody in was sent by a page of our own.

A page of another site could send it too, and the browser would come back signed in as somebody whom that site
chose. Browsers say whose page it was; programs say nothing, and need no cookie.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from flycam.errors import AccessDenied

SAYS_WHOSE = {"Referrer-Policy": "same-origin"}
"""Headers of a page whose form is checked: without it browsers send "null", as from another site's page."""

_OURS = ("same-origin", "none")


def require_own_page(request: Request) -> None:
    """Raise AccessDenied for a request that a page of another site sent."""
    said = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if said is not None:
        is_ours = said in _OURS
    else:  # over http browsers say no more than this
        is_ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not is_ours:
        raise AccessDenied(
            "this sign-in was sent by a page of another site: open the link itself, and press its button",
            vi="yêu cầu đăng nhập này do trang khác gửi: hãy mở chính liên kết rồi bấm nút trên trang đó",
        )
