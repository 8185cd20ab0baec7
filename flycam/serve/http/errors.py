"""Errors to HTTP, by `flycam.outcomes`: status and messages; no `try` in routes."""

from __future__ import annotations

import html
import json
import logging
import math
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from flycam import messages
from flycam.errors import FlycamError
from flycam.outcomes import format_error, format_error_detail, get_http_status

Message = dict[str, Any]

_LOG = logging.getLogger("flycam.serve")
_MESSAGES: Mapping[str, tuple[str, str]] = {
    "sign_in": ("Chưa đăng nhập: hãy nhập mã truy cập", "Not signed in: enter an access token"),
    "bad_token": ("Mã truy cập không đúng hoặc đã bị thu hồi", "The access token is wrong or was revoked"),
    "bad_link": (
        "Liên kết đã dùng hoặc hết hạn: hãy xin liên kết mới",
        "The link is spent or expired: ask for a new one",
    ),
    "bad_guest": (
        "Liên kết khách không đúng, hết hạn hoặc đã bị thu hồi: hãy xin liên kết mới",
        "The guest link is wrong, expired or revoked: ask for a new one",
    ),
    "too_many": (
        "Đăng nhập không thành công quá nhiều lần: hãy thử lại sau {minutes} phút",
        "Too many failed sign-ins: try again in {minutes} min",
    ),
    "bad_request": ("Yêu cầu không hợp lệ", "The request is not valid"),
    "no_page": ("Không có trang này", "There is no such page"),
    "internal": (
        "Lỗi bên trong phần mềm; đã ghi vào nhật ký máy chủ",
        "Internal error; it is in the server's log",
    ),
}


_VALIDATION_MESSAGES_VI: Mapping[str, str] = {
    "missing": "thiếu",
    "int_": "phải là số nguyên",
    "float_": "phải là số",
    "finite_number": "phải là số hữu hạn",
    "date_": "phải là ngày, ví dụ 2025-07-01",
    "bool_": "phải là true hoặc false",
    "greater_than_equal": "phải từ {ge} trở lên",
    "greater_than": "phải lớn hơn {gt}",
    "less_than_equal": "không được quá {le}",
    "less_than": "phải nhỏ hơn {lt}",
    "string_too_long": "dài quá {max_length} ký tự",
    "string_too_short": "phải có ít nhất {min_length} ký tự",
    "literal_error": "phải là một trong {expected}",
    "enum": "phải là một trong {expected}",
    "json_": "không phải JSON hợp lệ",
}
"""Messages for invalid values, by the beginning of pydantic's error type."""


def _describe_invalid_value(one: Mapping[str, Any], language: str) -> str:
    """Describe which value of a request is invalid, and why.

    Kinds of errors without a message here are only named.
    """
    if language != "vi":
        return f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
    said = next(
        (words for kind, words in _VALIDATION_MESSAGES_VI.items() if one["type"].startswith(kind)),
        "không dùng được",
    )
    limits = {name: str(value).replace(" or ", " hoặc ") for name, value in one.get("ctx", {}).items()}
    return f"{one['loc'][-1]}: {said.format_map(limits)}"


_STANDARDS = ("/ogc", "/stac")
"""Where the standards answer an unreadable parameter with 400 (OGC 17-069r4, 7.5.1)."""


class SignInRequired(FlycamError):
    """Sign-in is missing or wrong; `message_key` names the message."""

    def __init__(self, word: str = "sign_in") -> None:
        super().__init__(_MESSAGES[word][1])
        self.message_key = word


class TooManyAttempts(FlycamError):
    """Sign-in failed too often; `wait_s` seconds until the next try."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = max(math.ceil(wait_s), 1)
        super().__init__(self.format_message("en"))

    def format_message(self, language: str) -> str:
        """Format the message in "vi" or "en"."""
        return get_message("too_many", language).format(minutes=-(-self.wait_s // 60))


class Refused(FlycamError):
    """Error with a status of HTTP alone, as body too large or wrong upload offset."""

    def __init__(
        self, status: int, message: messages.Message, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def read_language(query_string: bytes) -> str:
    """Return "en" if the query says lang=en, else "vi"."""
    return "en" if parse_qs(query_string.decode("latin-1")).get("lang") == ["en"] else "vi"


def get_message(key: str, language: str) -> str:
    """Return a message of this module in one language."""
    return _MESSAGES[key][0 if language == "vi" else 1]


def build_error_payload(error: Exception, language: str) -> tuple[int, dict[str, str]]:
    """Return (status, JSON body) for an error.

    message: for a person to read; detail: the same without its heading, for a program that puts a heading of
    its own before it.
    """
    if isinstance(error, SignInRequired):
        return 401, {"error": "SignInRequired", "message": get_message(error.message_key, language)}
    if isinstance(error, TooManyAttempts):
        return 429, {"error": "TooManyAttempts", "message": error.format_message(language)}
    if isinstance(error, Refused):
        return error.status, {"error": type(error).__name__, "message": error.message.in_language(language)}
    if isinstance(error, FlycamError):
        sentences = {"message": format_error(error, language), "detail": format_error_detail(error, language)}
        return get_http_status(error), {"error": type(error).__name__, **sentences}
    return 500, {"error": "Internal", "message": get_message("internal", language)}


def build_error_response(error: Exception, scope: MutableMapping[str, Any]) -> tuple[Message, Message]:
    """Return ASGI messages for an error, for the tile route in front of FastAPI."""
    status, body = build_error_payload(error, read_language(scope["query_string"]))
    data = _encode_json(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
        (b"cache-control", b"no-store"),
    ]
    return (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": data},
    )


def build_sign_in_error(headers: Iterable[tuple[bytes, bytes]]) -> SignInRequired:
    """Return the error for missing credentials, or for a wrong token if one was sent."""
    return SignInRequired("bad_token" if any(name == b"authorization" for name, _ in headers) else "sign_in")


def build_sign_in_response(scope: MutableMapping[str, Any]) -> tuple[Message, Message]:
    """Return ASGI messages that ask for a sign-in."""
    return build_error_response(build_sign_in_error(scope["headers"]), scope)


def _encode_json(body: Mapping[str, str]) -> bytes:
    """Encode JSON that can always be sent.

    Lone surrogates of UTF-16, which requests may hold and messages repeat, become the escapes that they came
    in.
    """
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _render_error_page(message: str, language: str) -> str:
    """Render an error as a page, for a person who followed a link."""
    to_map = "Về bản đồ" if language == "vi" else "To the map"
    said = html.escape(message).encode("utf-8", "backslashreplace").decode()
    return f"""<!doctype html><html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>flycam</title>
<body><h1>flycam</h1><p role="alert">{said}</p><p><a href="/">{to_map}</a></p></body></html>"""


class _EscapedJsonResponse(JSONResponse):
    def render(self, content: Mapping[str, str]) -> bytes:
        return _encode_json(content)


def install_error_handlers(app: FastAPI) -> None:
    """Install one handler for all errors."""

    def respond(request: Request, error: Exception) -> Response:
        language = read_language(request.scope["query_string"])
        if isinstance(error, RequestValidationError):
            where = "; ".join(_describe_invalid_value(one, language) for one in error.errors())
            body = {"error": "BadRequest", "message": f"{get_message('bad_request', language)}: {where}"}
            return _EscapedJsonResponse(body, 400 if request.url.path.startswith(_STANDARDS) else 422)
        if isinstance(error, HTTPException):
            key = "no_page" if error.status_code == 404 else "bad_request"
            return _EscapedJsonResponse(
                {"error": "Http", "message": get_message(key, language)}, error.status_code
            )
        status, body = build_error_payload(error, language)
        if status == 500:
            _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        headers = {"Cache-Control": "no-store"}
        if isinstance(error, TooManyAttempts):
            headers["Retry-After"] = str(error.wait_s)
        if isinstance(error, Refused):
            headers.update(error.headers)
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_render_error_page(body["message"], language), status, headers=headers)
        return _EscapedJsonResponse(body, status, headers=headers)

    for kind in (FlycamError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, respond)
