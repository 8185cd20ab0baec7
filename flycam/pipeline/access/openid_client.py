"""Configuration of this node as a client of the province's sign-in service (OpenID Connect)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flycam.catalog.records import Role
from flycam.frame.loopback import is_loopback
from flycam.frame.text_normalization import is_printable

CALLBACK_PATH = "/openid/callback"
ROLES = (Role.VIEWER, Role.OPERATOR, Role.ANALYST, Role.ADMIN)
"""Roles that a service may give, lowest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenIdClient:
    """Configured sign-in service, client credentials, and mapping of claims.

    issuer          its address, exactly as it names itself
    secret          None: a client without one; the exchange is bound by PKCE in any case
    address         of the map in browsers, "https://map.laocai.gov.vn"
    role_claim      the claim that holds one or more words; of nested claims "realm_access.roles"
    roles           the role that each of these words gives; the highest holds, without any: viewer
    communes_claim  the claim that names the communes of a person; None: everybody has all of them
    """

    issuer: str
    client_id: str
    address: str
    secret: str | None = field(default=None, repr=False)
    role_claim: str = "groups"
    roles: Mapping[str, Role] = field(default_factory=dict)
    communes_claim: str | None = None

    @property
    def redirect_uri(self) -> str:
        return f"{self.address}{CALLBACK_PATH}"


def is_secure_url(address: str) -> bool:
    """Return True if secrets may be sent there: https, or this machine itself.

    The address has no password and no fragment.
    """
    try:
        place = urlsplit(address)
        place.port  # noqa: B018  # raises for what is no number
    except ValueError:
        return False
    plain = is_printable(address) and not any(one.isspace() or one == "\\" for one in address)
    if not plain or not place.hostname or "@" in place.netloc or place.fragment:
        return False
    return place.scheme == "https" or (place.scheme == "http" and is_loopback(place.hostname))
