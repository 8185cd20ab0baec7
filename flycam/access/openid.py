"""Sign-in by OpenID Connect, authorization code with PKCE.

The issuer is the province's sign-in service, as configured: no request can name an address that is fetched.
Its discovery document names the others; all are fetched over https (or on this machine, if the issuer is
there too), without redirects, and with limits of size and time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import urllib3
from joserfc import jwt
from joserfc.errors import InvalidClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from urllib3.exceptions import HTTPError

from flycam.config import OpenIdClient, is_loopback, is_secure_url
from flycam.errors import AccessDenied, SignInUnavailable
from flycam.messages import _
from flycam.model.text import strip_url_credentials

ALGORITHMS = ("RS256", "PS256", "ES256", "RS384", "PS384", "ES384", "RS512", "PS512", "ES512")
"""Asymmetric algorithms only: the service alone has the private key."""
_DOCUMENT_TTL_S = 3600.0
_MIN_REFRESH_S = 60.0
_FAILURE_TTL_S = 15.0
"""Time without requests to a service that failed: it may take 10 s to fail, for each sign-in."""
_MAX_CLOCK_SKEW_S = 60
_MAX_BYTES = 1 << 20
_MAX_ANSWER_S = 30.0
"""Time for an answer's body: a byte now and then keeps a connection alive for ever."""
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class _Known:
    """Discovery document and keys of the service, and the time when they were read."""

    document: Mapping[str, Any]
    keys: KeySet
    read_s: float


class OpenIdProvider:
    """The sign-in service.

    Document and keys are cached for an hour, a failure for 15 s, in which it is raised at once. Thread-safe;
    one thread reads, and threads that have what they need do not wait for it.
    """

    def __init__(self, client: OpenIdClient, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._clock_s = clock_s
        self._reading = threading.Lock()
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=10.0, read=10.0))
        self._known = _Known({}, KeySet([]), float("-inf"))
        self._failed: tuple[float, SignInUnavailable] | None = None

    def begin(self, state: str, nonce: str, verifier: str) -> str:
        """Return the service's address to which a browser is redirected.

        Raises SignInUnavailable.
        """
        address = urlsplit(str(self._document()["authorization_endpoint"]))
        parameters = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.client.redirect_uri,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": _encode_hash(verifier, "sha256"),
            "code_challenge_method": "S256",
        }
        query = urlencode([*parse_qsl(address.query, keep_blank_values=True), *parameters.items()])
        return address._replace(query=query).geturl()

    def fetch_claims(self, code: str, nonce: str, verifier: str) -> Mapping[str, Any]:
        """Exchange a code for the verified claims of the person who signed in.

        Raises AccessDenied (the service does not confirm the person), SignInUnavailable.
        """
        answer = self._exchanged(code, verifier)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise _unusable(self.client.issuer, "no id_token")
        try:
            proven = self._proven(token)
            _require_claims(proven, self.client, nonce, answer.get("access_token"))
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _not_confirmed(self.client.issuer, str(error) or type(error).__name__) from error
        return dict(proven.claims)

    def _exchanged(self, code: str, verifier: str) -> dict[str, Any]:
        client, document = self.client, self._document()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": _FORM, "Accept": "application/json"}
        if client.secret is None:
            form["client_id"] = client.client_id
        elif "client_secret_basic" in document.get(
            # the default of OpenID Connect Discovery 1.0
            "token_endpoint_auth_methods_supported",
            ["client_secret_basic"],
        ):
            both = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
            headers |= urllib3.make_headers(basic_auth=both)
        else:
            form |= {"client_id": client.client_id, "client_secret": client.secret}
        body = urlencode(form)
        status, answer = self._send("POST", document["token_endpoint"], body, headers)
        if status == 200:
            return answer
        why = str(answer.get("error", status))[:80]
        if why == "invalid_grant":
            raise _not_confirmed(client.issuer, why)
        raise _unusable(document["token_endpoint"], why)

    def _proven(self, token: str) -> jwt.Token:
        """Verify a token by the service's keys.

        An unknown key may be newer than those cached.
        """
        try:
            return jwt.decode(token, self._not_older(_DOCUMENT_TTL_S).keys, ALGORITHMS)
        except (InvalidKeyIdError, ValueError):
            return jwt.decode(token, self._not_older(_MIN_REFRESH_S).keys, ALGORITHMS)

    def _document(self) -> Mapping[str, Any]:
        return self._not_older(_DOCUMENT_TTL_S).document

    def _not_older(self, max_age_s: float) -> _Known:
        """Return document and keys, read again by one thread if they are older."""
        if self._age_s() < max_age_s:
            return self._known
        with self._reading:
            # otherwise another thread read it meanwhile
            if self._age_s() >= max_age_s:
                self._known = self._read()
            return self._known

    def _age_s(self) -> float:
        return self._clock_s() - self._known.read_s

    def _read(self) -> _Known:
        issuer = self.client.issuer
        where = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
        document = self._got(where)
        if document.get("issuer") != issuer:
            raise _unusable(where, f"it names itself {str(document.get('issuer'))[:200]}, not {issuer}")
        for name in _ENDPOINTS:
            if not isinstance(document.get(name), str) or not _is_endpoint(document[name], issuer):
                raise _unusable(where, f"{name} is no https address")
        keys = self._got(document["jwks_uri"]).get("keys")
        try:
            usable = [one for one in keys or [] if one["kty"] in ("RSA", "EC") and one.get("use") != "enc"]
            return _Known(document, KeySet.import_key_set({"keys": usable}), self._clock_s())
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _unusable(document["jwks_uri"], f"its keys cannot be read: {error}") from error

    def _got(self, address: str) -> dict[str, Any]:
        status, answer = self._send("GET", address, None, {"Accept": "application/json"})
        if status != 200:
            raise _unusable(address, str(status))
        return answer

    def _send(
        self, method: str, address: str, body: str | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        self._require_present()
        try:
            answer = self._pool.request(
                method, address, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                data = _read_bounded(answer)
            finally:
                answer.close()
        except HTTPError as error:
            away = SignInUnavailable(
                _(
                    "{address}: does not answer ({name}): check the line; an access token still signs you in",
                    address=strip_url_credentials(address),
                    name=type(error).__name__,
                )
            )
            self._failed = (self._clock_s(), away)
            raise away from error
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise _unusable(address, f"{answer.status}, and no JSON object")
        return answer.status, values

    def _require_present(self) -> None:
        failed = self._failed
        if failed is not None and self._clock_s() - failed[0] < _FAILURE_TTL_S:
            raise SignInUnavailable(failed[1].message)  # a new exception for each caller


def _is_endpoint(address: str, issuer: str) -> bool:
    """Return True for an address where an issuer's secrets may go.

    A service elsewhere names nothing on this machine, where it may be anything.
    """
    return is_secure_url(address) and (not _is_here(address) or _is_here(issuer))


def _is_here(address: str) -> bool:
    return is_loopback(urlsplit(address).hostname or "")


def _read_bounded(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Return the body of an answer; nothing of one that is too long, in bytes or time."""
    until_s, data = time.monotonic() + _MAX_ANSWER_S, b""
    while block := answer.read1(_MAX_BYTES, decode_content=True):
        data += block
        if len(data) > _MAX_BYTES or time.monotonic() > until_s:
            return b""
    return data


def _require_claims(token: jwt.Token, client: OpenIdClient, nonce: str, access_token: object) -> None:
    """Require that an ID token was issued now, by our issuer, to us, for this sign-in.

    OpenID Connect Core 1.0, section 3.1.3.7. Raises JoseError.
    """
    claims = token.claims
    audience = claims.get("aud")
    is_shared = audience not in (client.client_id, [client.client_id])
    jwt.JWTClaimsRegistry(
        leeway=_MAX_CLOCK_SKEW_S,
        iss={"essential": True, "value": client.issuer},
        aud={"essential": True, "value": client.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
        azp={"essential": is_shared, "value": client.client_id},
    ).validate(claims)
    if isinstance(access_token, str) and claims.get("at_hash"):
        # the left half of the hash that the token's own algorithm uses: RS256 means SHA-256
        half = _encode_hash(access_token, f"sha{token.header['alg'][-3:]}", left_half=True)
        if claims["at_hash"] != half:
            raise InvalidClaimError("at_hash")


def _encode_hash(text: str, algorithm: str, *, left_half: bool = False) -> str:
    """Return the hash of a text, or its left half, as base64url without padding (RFC 7636, section 4.2)."""
    digest = hashlib.new(algorithm, text.encode()).digest()
    if left_half:
        digest = digest[: len(digest) // 2]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _unusable(where: str, why: str) -> SignInUnavailable:
    return SignInUnavailable(
        _(
            "{where}: {why}: who runs the sign-in service can repair that; an access token "
            "still signs you in",
            where=strip_url_credentials(where),
            why=why,
        )
    )


def _not_confirmed(issuer: str, why: str) -> AccessDenied:
    return AccessDenied(
        _("{issuer}: does not confirm who you are ({why}): sign in again", issuer=issuer, why=why)
    )
