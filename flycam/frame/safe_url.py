"""URLs without credentials: those of cameras, servers and radios contain passwords and keys.

The form for messages, screens and records distinguishes sources and opens none.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+:/+)([^/?#]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_LEFT_OUT = "…"
_KEY_IS_LAST = ("rtmp", "rtmps")


def strip_url_credentials(url: str) -> str:
    """Strip user, password, query and fragment from a URL.

    Other text (a file's path) is returned unchanged.

    Parts of its path that hold "=" are replaced, since cheap cameras take their password there, and the last
    part of an RTMP path, which is the stream's key. With "@" after the host, where an unescaped password has
    its second half, only the scheme is kept.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return url
    scheme, authority, path, rest = found.groups()
    if "@" in path + rest:
        return scheme + _LEFT_OUT
    parts = [_LEFT_OUT if "=" in part else part for part in path.split("/")]
    if scheme.partition(":")[0].lower() in _KEY_IS_LAST and len(parts) > 1 and parts[-1]:
        parts[-1] = _LEFT_OUT
    return scheme + authority.rpartition("@")[2] + "/".join(parts)
