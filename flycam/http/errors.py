"""Errors as HTTP answers: status (`flycam.errors`), messages; no `try` in routes."""

from __future__ import annotations

import html
import logging
import math
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from flycam.errors import FlycamError, format_error, format_error_detail, get_http_status
from flycam.messages import Message, _, join, pgettext
from flycam.model.text import to_json_line, to_visible_lines

AsgiMessage = dict[str, Any]

_LOG = logging.getLogger("flycam.serve")
_SIGN_IN = _("Not signed in: enter an access token")
BAD_TOKEN = _("The access token is wrong or was revoked")
BAD_LINK = _("The link is spent or expired: ask for a new one")
BAD_GUEST_LINK = _("The guest link is wrong, expired or revoked: ask for a new one")
_BAD_REQUEST = _("The request is not valid")
_MAX_INVALID_VALUES = 20

_INVALID_VALUES: Mapping[str, Message] = {
    "missing": pgettext("invalid value: missing", "{text}"),
    "int_": pgettext("invalid value: an integer", "{text}"),
    "float_": pgettext("invalid value: a number", "{text}"),
    "finite_number": pgettext("invalid value: a finite number", "{text}"),
    "date_": pgettext("invalid value: a date", "{text}"),
    "bool_": pgettext("invalid value: true or false", "{text}"),
    "greater_than_equal": pgettext("invalid value: from a minimum", "{text}"),
    "greater_than": pgettext("invalid value: above a limit", "{text}"),
    "less_than_equal": pgettext("invalid value: up to a maximum", "{text}"),
    "less_than": pgettext("invalid value: below a limit", "{text}"),
    "string_too_long": pgettext("invalid value: too long", "{text}"),
    "string_too_short": pgettext("invalid value: too short", "{text}"),
    "literal_error": pgettext("invalid value: of choices", "{text}"),
    "enum": pgettext("invalid value: of choices", "{text}"),
    "json_": pgettext("invalid value: JSON", "{text}"),
}
"""Messages for invalid values, by the beginning of pydantic's error type. English has pydantic's own."""


def _describe_invalid_value(one: Mapping[str, Any]) -> Message:
    """Describe which value of a request is invalid, and why.

    Kinds of errors without a message here are only named, except in English.
    """
    problem = next(
        (message for kind, message in _INVALID_VALUES.items() if one["type"].startswith(kind)),
        pgettext("invalid value", "{text}"),
    )
    limits: dict[str, str | Message] = {
        f"vi_{name}": str(value) for name, value in one.get("ctx", {}).items()
    }
    others, __, last = str(limits.get("vi_expected", "")).rpartition(" or ")
    if others:
        limits["vi_expected"] = _("{others} or {last}", others=others, last=last)
    return pgettext(
        "invalid value",
        "{place}: {problem}",
        place=".".join(map(str, one["loc"])),
        place_vi=one["loc"][-1],
        problem=replace(problem, values={"text": one["msg"], **limits}),
    )


_STANDARDS = ("/ogc", "/stac")
"""Where the standards answer an unreadable parameter with 400 (OGC 17-069r4, 7.5.1)."""


class Refused(FlycamError):
    """Error with a status of HTTP alone, as body too large or wrong upload offset."""

    def __init__(self, status: int, message: Message, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class SignInRequired(Refused):
    """Sign-in is missing or wrong."""

    def __init__(self, message: Message = _SIGN_IN) -> None:
        super().__init__(401, message)


class TooManyAttempts(Refused):
    """Sign-in failed too often; `wait_s` seconds until the next try."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = max(math.ceil(wait_s), 1)
        super().__init__(
            429,
            _("Too many failed sign-ins: try again in {minutes} min", minutes=-(-self.wait_s // 60)),
            {"Retry-After": str(self.wait_s)},
        )


def read_language(query_string: bytes) -> str:
    """Return "en" if the query says lang=en, else "vi"."""
    return "en" if parse_qs(query_string.decode("latin-1")).get("lang") == ["en"] else "vi"


def build_error_payload(error: Exception, language: str) -> tuple[int, dict[str, str]]:
    """Return (status, JSON body) for an error.

    message: for a person to read; detail: the same without its heading, for a program that puts a heading of
    its own before it.
    """
    if isinstance(error, Refused):
        return error.status, {"error": type(error).__name__, "message": error.message.in_language(language)}
    if isinstance(error, FlycamError):
        sentences = {"message": format_error(error), "detail": format_error_detail(error)}
        texts = {key: sentence.in_language(language) for key, sentence in sentences.items()}
        return get_http_status(error), {"error": type(error).__name__, **texts}
    internal = _("Internal error; it is in the server's log")
    return 500, {"error": "Internal", "message": internal.in_language(language)}


def build_error_response(
    error: Exception, scope: MutableMapping[str, Any]
) -> tuple[AsgiMessage, AsgiMessage]:
    """Return ASGI messages for an error, for the tile route in front of FastAPI."""
    status, body = build_error_payload(error, read_language(scope["query_string"]))
    data = to_json_line(body).encode()
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
    return SignInRequired(BAD_TOKEN if any(name == b"authorization" for name, __ in headers) else _SIGN_IN)


def build_sign_in_response(scope: MutableMapping[str, Any]) -> tuple[AsgiMessage, AsgiMessage]:
    """Return ASGI messages that ask for a sign-in."""
    return build_error_response(build_sign_in_error(scope["headers"]), scope)


def _render_error_page(message: str, language: str) -> str:
    """Render an error as a page, for a person who followed a link."""
    to_map = _("To the map").in_language(language)
    escaped = html.escape(to_visible_lines(message))
    return f"""<!doctype html><html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>flycam</title>
<body><h1>flycam</h1><p role="alert">{escaped}</p><p><a href="/">{to_map}</a></p></body></html>"""


class _EscapedJsonResponse(JSONResponse):
    def render(self, content: Mapping[str, str]) -> bytes:
        return to_json_line(content).encode()


def install_error_handlers(app: FastAPI) -> None:
    """Install one handler for all errors."""

    def respond(request: Request, error: Exception) -> Response:
        language = read_language(request.scope["query_string"])
        if isinstance(error, RequestValidationError):
            where = join(map(_describe_invalid_value, error.errors()[:_MAX_INVALID_VALUES]), "; ")
            message = join((_BAD_REQUEST, where), ": ")
            body = {"error": "BadRequest", "message": message.in_language(language)}
            return _EscapedJsonResponse(body, 400 if request.url.path.startswith(_STANDARDS) else 422)
        if isinstance(error, HTTPException):
            message = _("There is no such page") if error.status_code == 404 else _BAD_REQUEST
            return _EscapedJsonResponse(
                {"error": "Http", "message": message.in_language(language)}, error.status_code
            )
        status, body = build_error_payload(error, language)
        if status == 500:
            _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        headers = {"Cache-Control": "no-store"}
        if isinstance(error, Refused):
            headers.update(error.headers)
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_render_error_page(body["message"], language), status, headers=headers)
        return _EscapedJsonResponse(body, status, headers=headers)

    for kind in (FlycamError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, respond)
