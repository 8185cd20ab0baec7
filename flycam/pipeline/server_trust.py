"""Configured trust in a server: which certificates are accepted; applied by `flycam.pipeline.tls_client`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flycam.errors import OptionUnusable
from flycam.frame.loopback import is_loopback
from flycam.messages import _

AUTHORITY_PATH = "/authority.crt"
"""Path at which a server with its own authority offers that authority's certificate."""
_DIGITS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """Trust in a server's certificate.

    ca           a file of authorities (PEM), instead of the system's
    fingerprint  SHA-256 of the server's certificate or of its own authority's, 64 hex digits, instead of
                 either
    """

    ca: Path | None = None
    fingerprint: str | None = None


SYSTEM_TRUST = ServerTrust()


def parse_fingerprint(text: str, where: str) -> str:
    """Parse a fingerprint as people copy it into 64 hex digits.

    Raises OptionUnusable.
    """
    digits = re.sub(r"^sha-?256[:= ]|[\s:]", "", text.strip().lower())
    if not _DIGITS.fullmatch(digits):
        raise OptionUnusable(
            _(
                "{where}: {text}: give the SHA-256 fingerprint of 64 digits that 'flycam serve --tls' prints",
                where=where,
                text=text[:100],
            )
        )
    return digits


def is_token_exposed(url: str, token: str | None) -> bool:
    """Return True if a token would be sent unencrypted over a network."""
    parts = urlsplit(url)
    return bool(token) and parts.scheme == "http" and not is_loopback(parts.hostname or "")
