"""Answers about tokens and one-time codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.catalog.access_records import Descendants
from flycam.frame.secret_text import SecretText
from flycam.frame.timestamp import format_iso

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.access_records import Token


def format_code(code: str, name: str, language: str = "en") -> Output:
    """Return account ("" for the first administrator) and code."""
    vi = language == "vi"
    if name:
        said = f"{name}, {'một lần, trong 15 phút' if vi else 'once, within 15 min'}: {code}"
    else:
        said = format_setup_code(code, language)
    return {"account": name, "code": code}, [said]


def format_setup_code(code: str, language: str = "en") -> str:
    """Format the message with the code by which the first administrator is made.

    A server and the command print the same.
    """
    if language == "vi":
        return (
            f"chưa có tài khoản nào. Mã thiết lập, dùng một lần trong 60 phút: {code}   (mở bản đồ rồi "
            "nhập mã; lấy mã khác: flycam account code)"
        )
    return (
        f"no account yet. Set-up code, good once within 60 min: {code}   (open the map and enter it; "
        "another: flycam account code)"
    )


def format_admission(accounts: int, language: str = "en") -> str:
    """Format a starting server's message on who may sign in without a set-up code."""
    vi = language == "vi"
    if accounts:
        return f"tài khoản: {accounts}; phải đăng nhập" if vi else f"accounts: {accounts}; they sign in"
    if vi:
        return (
            "chưa có tài khoản: ai ngồi tại máy này đều làm được mọi việc. Trước khi đặt máy trung gian ở "
            "trước, hãy tạo tài khoản: flycam user add TÊN --role admin"
        )
    return (
        "no account yet: open to whoever sits at this machine, for everything. Before a proxy stands in "
        "front, make one: flycam user add NAME --role admin"
    )


def format_token(token: Token, secret: str, language: str = "en") -> Output:
    """Return a token as `format_tokens` does, with its secret as token."""
    line = SecretText(f"{_format_line(token, language)}: {secret}")
    return {**_describe_token(token), "token": secret}, [line]


def format_tokens(tokens: Sequence[Token], made: Mapping[str, Descendants], language: str = "en") -> Output:
    """Return tokens[].

    Keys: token_id, account, label, scope, made_by, made, expires, used (null: never), made_with (id of the
    token with which its maker signed in), ends_with_it (tokens[], guests[]: ids of what was made with it).

    made  what would end with each token, by its id
    """
    none = "chưa có mã truy cập nào" if language == "vi" else "no tokens"
    lines = []
    for one in tokens:
        lines.append(f"{one.token_id}  {_format_line(one, language)}{_format_last_use(one, language)}")
        lines += format_ending_lines(made.get(one.token_id), language)
    return {"tokens": [_describe_token(one, made.get(one.token_id)) for one in tokens]}, lines or [none]


def format_revoked_token(token: Token, made: Descendants, language: str = "en") -> Output:
    """Return a revoked token as `format_tokens` does."""
    ended = "đã thu hồi, cùng các phiên mở bằng nó" if language == "vi" else "revoked, with its sessions"
    return _describe_token(token, made), [
        f"{_format_line(token, language)}: {ended}",
        *format_ending_lines(made, language),
    ]


def format_ending_lines(made: Descendants | None, language: str) -> list[str]:
    """List what ends with a token, a line each."""
    if made is None:
        return []
    word = "kết thúc cùng với nó" if language == "vi" else "ends with it"
    named = [f"{one.token_id} ({one.account}, {one.label})" for one in made.tokens]
    return [f"    {word}: {one}" for one in [*named, *made.guest_ids]]


def _describe_token(token: Token, made: Descendants | None = None) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "account": token.account,
        "label": token.label,
        "scope": token.scope.value,
        "made_by": token.made_by,
        "made": format_iso(token.made_ns),
        "expires": None if token.expires_ns is None else format_iso(token.expires_ns),
        "used": None if token.used_ns is None else format_iso(token.used_ns),
        "made_with": token.made_with,
        "ends_with_it": (made or Descendants()).ids,
    }


def _format_line(token: Token, language: str) -> str:
    vi = language == "vi"
    label = token.label or ("mã đầu tiên" if vi else "the first")
    if token.expires_ns is None:
        until = "không hết hạn" if vi else "no end"
    else:
        until = f"{'đến' if vi else 'until'} {format_iso(token.expires_ns)}"
    return f"{token.account}, {label} ({token.scope.value}, {until})"


def _format_last_use(token: Token, language: str) -> str:
    vi = language == "vi"
    if token.used_ns is None:
        return ", chưa dùng" if vi else ", never used"
    return f", {'dùng lần cuối' if vi else 'last used'} {format_iso(token.used_ns)}"
