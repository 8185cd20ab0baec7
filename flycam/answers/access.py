"""Tokens, and codes that let in once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.answered import Answered
from flycam.frame.moment import iso
from flycam.frame.secret_line import SecretLine

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.catalog.access_records import Token


def of_code(code: str, name: str, language: str = "en") -> Answered:
    """account ("": of the first administrator), code."""
    vi = language == "vi"
    if name:
        said = f"{name}, {'một lần, trong 15 phút' if vi else 'once, within 15 min'}: {code}"
    else:
        said = setup_words(code, language)
    return {"account": name, "code": code}, [said]


def setup_words(code: str, language: str = "en") -> str:
    """What a server, or the command, says of the code by which the first administrator is made."""
    if language == "vi":
        return (
            f"chưa có tài khoản nào. Mã thiết lập, dùng một lần trong 60 phút: {code}   (mở bản đồ rồi "
            "nhập mã; lấy mã khác: flycam account code)"
        )
    return (
        f"no account yet. Set-up code, good once within 60 min: {code}   (open the map and enter it; "
        "another: flycam account code)"
    )


def of_token(token: Token, secret: str, language: str = "en") -> Answered:
    """As in `of_tokens`, and token."""
    line = SecretLine(f"{_line(token, language)}: {secret}")
    return {**_token(token), "token": secret}, [line]


def of_tokens(tokens: Sequence[Token], language: str = "en") -> Answered:
    """tokens[]: token_id, account, label, scope, made_by, made, expires, used (null: never)."""
    none = "chưa có mã truy cập nào" if language == "vi" else "no tokens"
    lines = [f"{one.token_id}  {_line(one, language)}{_used(one, language)}" for one in tokens]
    return {"tokens": [_token(one) for one in tokens]}, lines or [none]


def of_revoked(token: Token, language: str = "en") -> Answered:
    """As in `of_tokens`."""
    ended = "đã thu hồi, cùng các phiên mở bằng nó" if language == "vi" else "revoked, with its sessions"
    return _token(token), [f"{_line(token, language)}: {ended}"]


def _token(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "account": token.account,
        "label": token.label,
        "scope": token.scope.value,
        "made_by": token.made_by,
        "made": iso(token.made_ns),
        "expires": None if token.expires_ns is None else iso(token.expires_ns),
        "used": None if token.used_ns is None else iso(token.used_ns),
    }


def _line(token: Token, language: str) -> str:
    vi = language == "vi"
    label = token.label or ("mã đầu tiên" if vi else "the first")
    if token.expires_ns is None:
        until = "không hết hạn" if vi else "no end"
    else:
        until = f"{'đến' if vi else 'until'} {iso(token.expires_ns)}"
    return f"{token.account}, {label} ({token.scope.value}, {until})"


def _used(token: Token, language: str) -> str:
    vi = language == "vi"
    if token.used_ns is None:
        return ", chưa dùng" if vi else ", never used"
    return f", {'dùng lần cuối' if vi else 'last used'} {iso(token.used_ns)}"
