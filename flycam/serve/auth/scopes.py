"""Addresses that tokens of a scope reach: a short list each, whatever the role.

A scope narrows what the account may; it never widens it.
"""

from __future__ import annotations

from collections.abc import Mapping

from flycam.catalog.access_records import Scope
from flycam.errors import AccessDenied
from flycam.messages import Message, _, pgettext

_READ_METHODS = frozenset({"GET", "HEAD"})
_SEARCH = "/stac/search"
"""STAC search, which is a POST where the query is long."""

_WRITABLE_PATHS: Mapping[Scope, tuple[str, ...]] = {
    Scope.MAP: ("/tiles", "/tilejson", "/wmts", "/ogc", "/stac", "/cog", "/kml"),
    Scope.UPLOADS: ("/api/uploads", "/files"),
    Scope.SYNC: ("/api/sync",),
}
_READABLE_PATHS: Mapping[Scope, frozenset[str]] = {
    Scope.MAP: frozenset({"/api/session"}),
    Scope.UPLOADS: frozenset({"/api/session", "/api/events"}),
    Scope.SYNC: frozenset({"/api/session"}),
}
_SCOPE_PURPOSES: Mapping[Scope, Message] = {
    Scope.MAP: pgettext("scope", "looking at the map from a GIS program"),
    Scope.UPLOADS: pgettext("scope", "uploads"),
    Scope.SYNC: pgettext("scope", "flycam sync"),
}


def is_in_scope(scope: Scope, method: str, path: str) -> bool:
    """Return True if a token of this scope reaches this method and address."""
    if scope is Scope.ALL:
        return True
    if method in _READ_METHODS and path in _READABLE_PATHS[scope]:
        return True
    is_under = any(path == one or path.startswith(f"{one}/") for one in _WRITABLE_PATHS[scope])
    return is_under and (scope is not Scope.MAP or method in _READ_METHODS or path == _SEARCH)


def build_scope_error(name: str, scope: Scope) -> AccessDenied:
    """Return the error for a token that does not reach an address."""
    return AccessDenied(
        _(
            "{name}: this token is for {said} only; take one for everything, or sign in as yourself",
            name=name,
            said=_SCOPE_PURPOSES[scope],
        )
    )


def can_sign_in(scope: Scope) -> bool:
    """Return True if a browser may sign in by such a token.

    Tokens for uploads have a page of their own.
    """
    return scope in (Scope.ALL, Scope.UPLOADS)
