"""Cookies that sign a browser in again: hidden from scripts and from other sites."""

from __future__ import annotations

from fastapi import Response


def set_auth_cookie(
    response: Response, name: str, value: str, seconds: int, *, is_secure: bool, path: str = "/"
) -> None:
    """Set a cookie that lasts `seconds`.

    is_secure: it is sent over https only; path: below which it is sent.
    """
    response.set_cookie(
        name, value, max_age=seconds, path=path, httponly=True, samesite="lax", secure=is_secure
    )
