"""Whom a line is to believe to be the server that it means, as it was configured; acted on by `believing`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flycam.errors import OptionUnusable
from flycam.frame.loopback import is_loopback
from flycam.messages import _

AUTHORITY_PATH = "/authority.crt"
"""Where a server with an authority of its own hands out that authority's certificate."""
_DIGITS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """ca: a file of authorities (PEM), instead of the system's; fingerprint: SHA-256 of the server's
    certificate or of its own authority's, 64 hex digits, instead of either."""

    ca: Path | None = None
    fingerprint: str | None = None


SYSTEM_TRUST = ServerTrust()


def parse_fingerprint(text: str, where: str) -> str:
    """A fingerprint as people copy it, as 64 hex digits. Raises OptionUnusable."""
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
    """Whether a token would go readable over a network."""
    parts = urlsplit(url)
    return bool(token) and parts.scheme == "http" and not is_loopback(parts.hostname or "")
