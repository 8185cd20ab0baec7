"""What lets a browser in again, given to it: no script reads it, and no other site sends it."""

from __future__ import annotations

from fastapi import Response


def set_auth_cookie(
    response: Response, name: str, value: str, seconds: int, *, is_secure: bool, path: str = "/"
) -> None:
    """Set a cookie that lasts so long. is_secure: it goes over https only; path: below which it is sent."""
    response.set_cookie(
        name, value, max_age=seconds, path=path, httponly=True, samesite="lax", secure=is_secure
    )
