"""Mapping of a sign-in service's claims to a person of this node, and the person's account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flycam.catalog.records import Account, Role
from flycam.catalog.sharing_records import Person
from flycam.errors import AccessDenied, InputUnusable
from flycam.frame.text_normalization import strip_unprintable
from flycam.messages import _
from flycam.pipeline.access.accounts import resolve_commune_codes
from flycam.pipeline.access.openid_client import ROLES, OpenIdClient
from flycam.pipeline.workspace import Workspace

_MAX_NAME_LENGTH = 100


def sign_in_with_openid(workspace: Workspace, client: OpenIdClient, claims: Mapping[str, Any]) -> Account:
    """Return the account of the person with these verified claims.

    It is made if there is none. Raises AccessDenied: no communes are named where they must be, the account
    was removed, or there is no account at all yet.
    """
    person = Person(
        issuer=client.issuer,
        subject=str(claims["sub"]),
        name=_name(client, claims),
        role=map_role(client, claims),
        communes=_communes(workspace, client, claims),
    )
    return workspace.catalog.identities.sign_in(person, workspace.clock_ns())


def map_role(client: OpenIdClient, claims: Mapping[str, Any]) -> Role:
    """Return the highest role that the claim's words give; viewer without any."""
    given = {client.roles[word] for word in _words(_claim(claims, client.role_claim)) if word in client.roles}
    return max(given, key=ROLES.index, default=Role.VIEWER)


def _communes(workspace: Workspace, client: OpenIdClient, claims: Mapping[str, Any]) -> tuple[str, ...]:
    if client.communes_claim is None:
        return ()
    text = ",".join(_words(_claim(claims, client.communes_claim)))
    try:
        return resolve_commune_codes(workspace, text)
    except InputUnusable as error:
        raise AccessDenied(
            _(
                '{communes_claim} "{text}": the sign-in service names no communes of this '
                "map: its administrator enters names or codes, or all",
                communes_claim=client.communes_claim,
                text=text[:200],
            )
        ) from error


def _name(client: OpenIdClient, claims: Mapping[str, Any]) -> str:
    """Return the person's name at the service.

    The service's host is appended unless it is an e-mail address.
    """
    offered = (claims.get(one) for one in ("preferred_username", "email", "sub"))
    plain = (strip_unprintable(str(one)) for one in offered if one)
    name = next(one for one in plain if one)[:_MAX_NAME_LENGTH]
    return name if "@" in name else f"{name}@{urlsplit(client.issuer).hostname}"


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """Look up a claim by name, else by a dotted path of nested claims."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _words(claim: Any) -> list[str]:
    """Split a claim into words: one, several with commas between, or a list."""
    if isinstance(claim, str):
        return [one.strip() for one in claim.split(",") if one.strip()]
    return [one for one in claim if isinstance(one, str)] if isinstance(claim, list) else []
