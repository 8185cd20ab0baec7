"""TLS verification of a server: by the system's authorities, a file's, or one fingerprint.

A refusal is one sentence with its cure, and comes before anything is sent: no token goes to an untrusted
server.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from http.client import HTTPException, HTTPSConnection, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

from flycam.errors import OptionUnusable, ServerUntrusted
from flycam.messages import _, join
from flycam.pipeline.server_trust import AUTHORITY_PATH, ServerTrust

_TIMEOUT_S = 60.0
# for the test whether it speaks TLS at all
_PROBE_TIMEOUT_S = 10.0
_MAX_BYTES = 64 << 10
_CERTIFICATE_DATE_CODES = frozenset({9, 10})  # OpenSSL: not valid yet, or expired
_CERTIFICATE_NAME_CODES = frozenset({62, 64})  # OpenSSL: other host name, other address


def build_pool_arguments(url: str, trust: ServerTrust) -> dict[str, Any]:
    """Build arguments of urllib3's pool for `url`.

    A fingerprint is compared with the server first. Raises ServerUntrusted, OptionUnusable (the file of
    authorities), OSError (no answer).
    """
    if urlsplit(url).scheme != "https":
        return {}
    if trust.fingerprint is not None:
        return _pinned(url, trust.fingerprint)
    try:
        context = ssl.create_default_context(cafile=None if trust.ca is None else str(trust.ca))
    except (OSError, ssl.SSLError) as error:
        raise OptionUnusable(
            _(
                "{ca}: is no file of certificates that can be read; fetch the authority's "
                "from {url}{authority_path}, as PEM",
                ca=trust.ca,
                url=url,
                authority_path=AUTHORITY_PATH,
            )
        ) from error
    # a file may hold the server's certificate itself
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return {"ssl_context": context}


def require_trusted(url: str, error: BaseException, trust: ServerTrust) -> None:
    """Raise ServerUntrusted if a connection failed for its certificate or TLS."""
    for cause in list_causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise _make_refusal_error(url, cause, trust) from error
        if isinstance(cause, ssl.SSLError) and cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            plain = url.replace("https://", "http://", 1)
            raise ServerUntrusted(
                _(
                    "{url}: speaks no TLS; write {plain}, or start that server with 'flycam serve --tls'",
                    url=url,
                    plain=plain,
                )
            ) from error
        if trust.fingerprint and "Fingerprints did not match" in str(cause):
            raise _make_mismatch_error(url, trust.fingerprint, ()) from error


def require_plain(url: str, error: BaseException) -> None:
    """Raise ServerUntrusted if a TLS server closed a connection over http.

    The server is probed for TLS, because a broken connection looks the same.
    """
    ended = any(isinstance(one, (RemoteDisconnected, ConnectionResetError)) for one in list_causes(error))
    if urlsplit(url).scheme != "http" or not ended or not _speaks_tls(url):
        return
    encrypted = url.replace("http://", "https://", 1)
    raise ServerUntrusted(
        _(
            "{url}: speaks HTTPS; write {encrypted}, with --fingerprint as that server prints "
            "it at its start",
            url=url,
            encrypted=encrypted,
        )
    ) from error


def _speaks_tls(url: str) -> bool:
    parts = urlsplit(url)
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # no secret is sent to it
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 80), _PROBE_TIMEOUT_S) as opened,
            anybody.wrap_socket(opened, server_hostname=parts.hostname),
        ):
            return True
    except OSError:  # includes ssl.SSLError
        return False


def _pinned(url: str, fingerprint: str) -> dict[str, Any]:
    """Build pool arguments for a fingerprint.

    The certificates fetched here are untrusted until they match the fingerprint, and no secret is sent.
    """
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    parts = urlsplit(url)
    asked = HTTPSConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S, context=anybody)
    try:
        asked.connect()
        leaf = asked.sock.getpeercert(binary_form=True)
        if leaf and hashlib.sha256(leaf).hexdigest() == fingerprint:
            return {"ssl_context": anybody, "assert_fingerprint": fingerprint}
        asked.request("GET", f"{parts.path}{AUTHORITY_PATH}")
        answer = asked.getresponse()
        told = answer.read(_MAX_BYTES) if answer.status == 200 else b""
        shown = [hashlib.sha256(leaf).hexdigest()] if leaf else []
    except HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        asked.close()
    try:
        der = ssl.PEM_cert_to_DER_cert(told.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        der = b""
    if not der and parts.path:
        raise _no_flycam_at(url, f"{parts.scheme}://{parts.netloc}")
    if der:
        shown.append(hashlib.sha256(der).hexdigest())
    if not der or shown[-1] != fingerprint:
        raise _make_mismatch_error(url, fingerprint, shown)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # this authority, and no other
    context.load_verify_locations(cadata=der)
    return {"ssl_context": context}


def _no_flycam_at(url: str, root: str) -> OptionUnusable:
    return OptionUnusable(
        _(
            "{url}: no flycam answers at this address, so whether it is the server of this "
            "fingerprint is not known; nothing was sent: give the server's address as in "
            "its map, such as {root}",
            url=url,
            root=root,
        )
    )


def list_causes(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, the root cause last."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        inner = next((one for one in cause.args if isinstance(one, BaseException)), None)
        cause = cause.__cause__ or cause.__context__ or inner
    return found


def _make_refusal_error(url: str, cause: ssl.SSLCertVerificationError, trust: ServerTrust) -> ServerUntrusted:
    if cause.verify_code in _CERTIFICATE_DATE_CODES:
        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        return ServerUntrusted(
            _(
                "{url}: by this machine's clock ({now}) the server's certificate does not "
                "hold: {verify_message}; set the clock, or renew the certificate if the "
                "clock is right",
                url=url,
                now=now,
                verify_message=cause.verify_message,
            )
        )
    if cause.verify_code in _CERTIFICATE_NAME_CODES:
        return ServerUntrusted(
            _(
                "{url}: the server's certificate is for other names or addresses "
                "({verify_message}); use one of those that it prints at its start, or add "
                "this one there with FLYCAM_TLS_NAMES",
                url=url,
                verify_message=cause.verify_message,
            )
        )
    if trust.fingerprint is not None:
        return _make_mismatch_error(url, trust.fingerprint, ())
    return ServerUntrusted(
        _(
            "{url}: {believed} does not know the authority of the server's certificate "
            "({verify_message}); give the fingerprint that the server prints at its start "
            "(--fingerprint), or its authority's file (--ca)",
            url=url,
            believed=_("this machine") if trust.ca is None else trust.ca,
            verify_message=cause.verify_message,
        )
    )


def _make_mismatch_error(url: str, wanted: str, shown: list[str] | tuple[()]) -> ServerUntrusted:
    owners = (_("its certificate's"), _("its authority's"))
    told = join(
        (
            _("{fingerprint} ({owner})", fingerprint=one, owner=of)
            for one, of in zip(shown, owners, strict=False)
        ),
        ", ",
    )
    return ServerUntrusted(
        _(
            "{url}: does not show the fingerprint {wanted}{told}: it is another machine, or "
            "that one has a new certificate; nothing was sent: read the fingerprint at the "
            "server itself",
            url=url,
            wanted=wanted,
            told=_(" but {told}", told=told) if shown else "",
        )
    )
