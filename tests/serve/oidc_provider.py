"""A small OpenID Connect provider, run as a process: real codes, PKCE checked, tokens really signed.

    python -m tests.serve.oidc_provider        prints its issuer, serves until it is ended

Whoever tests it says who may sign in (`PUT /people`), what it does wrongly (`PUT /faults`), and gives it
another key (`POST /rotate`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, SECRET = "flycam map", "s3cret/+: %"
_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def provider() -> Iterator[str]:
    """Its issuer, for as long as it is wanted."""
    command = [sys.executable, "-m", "tests.serve.oidc_provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def tell(issuer: str, what: str, said: Any) -> None:
    """Say who may sign in (people), or what goes wrong (faults)."""
    httpx.put(f"{issuer}/{what}", json=said).raise_for_status()


def half_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")


class _Provider(BaseHTTPRequestHandler):
    issuer: ClassVar[str]
    redirects: ClassVar[set[str]] = set()
    people: ClassVar[dict[str, dict[str, Any]]] = {}
    faults: ClassVar[dict[str, Any]] = {}
    codes: ClassVar[dict[str, dict[str, str]]] = {}
    keys: ClassVar[list[RSAKey]] = []

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path == "/.well-known/openid-configuration":
            self._say(self._document())
        elif place.path == "/keys":
            self._say({"keys": [one.as_dict(private=False) for one in self.keys]})
        elif place.path == "/authorize":
            self._ask(asked)
        elif place.path == "/choose":
            self._choose(asked)
        else:
            self._say({"error": "not_found"}, 404)

    def do_PUT(self) -> None:
        said = json.loads(self._body())
        setattr(_Provider, self.path.strip("/"), said)
        self._say({})

    def do_POST(self) -> None:
        if self.path == "/rotate":
            _Provider.keys = [_new_key()]
            self._say({})
        else:
            self._token({name: values[0] for name, values in parse_qs(self._body()).items()})

    def _document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            **self.faults.get("document", {}),
        }

    def _ask(self, asked: dict[str, str]) -> None:
        """A page with a link for everybody who may sign in."""
        wanted = {"client_id": CLIENT_ID, "response_type": "code", "code_challenge_method": "S256"}
        if any(asked.get(name) != value for name, value in wanted.items()) or not (
            asked.get("state") and asked.get("nonce") and asked.get("code_challenge")
        ):
            self._say({"error": "invalid_request"}, 400)
            return
        kept = {name: asked[name] for name in ("redirect_uri", "state", "nonce", "code_challenge")}
        links = (
            f'<p><a href="/choose?{urlencode({**kept, "person": one})}">{one}</a></p>' for one in self.people
        )
        self._answer(200, f"<!doctype html><title>id</title>{''.join(links)}".encode(), "text/html")

    def _choose(self, asked: dict[str, str]) -> None:
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{back}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _token(self, form: dict[str, str]) -> None:
        kind, _, both = self.headers.get("Authorization", "").partition(" ")
        name, _, secret = base64.b64decode(both).decode().partition(":")
        if kind != "Basic" or (unquote_plus(name), unquote_plus(secret)) != (CLIENT_ID, SECRET):
            self._say({"error": "invalid_client"}, 401)
            return
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or form.get("redirect_uri") != asked["redirect_uri"]
        ):
            self._say({"error": "invalid_grant"}, 400)
            return
        access = secrets.token_urlsafe(16)
        claims = self._claims(asked, access)
        self._say({"access_token": access, "token_type": "Bearer", "id_token": self._signed(claims)})

    def _claims(self, asked: dict[str, str], access: str) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "at_hash": half_hash(access),
            **self.people[asked["person"]],
            **self.faults.get("claims", {}),
        }

    def _signed(self, claims: dict[str, Any]) -> str:
        key = self.keys[0]
        header = {"alg": "RS256", "kid": key.kid}
        match self.faults.get("signature"):
            case "none":
                return f"{_body_of({'alg': 'none'}, claims)}."
            case "public key as secret":
                body = _body_of({"alg": "HS256", "kid": key.kid}, claims)
                digest = hmac.new(key.as_pem(private=False), body.encode(), hashlib.sha256).digest()
                return f"{body}.{_part(digest)}"
            case "another key":
                return jwt.encode(header, claims, _new_key(), ["RS256"])
        return jwt.encode(header, claims, key, ["RS256"])

    def _body(self) -> str:
        return self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()

    def _say(self, said: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(said).encode(), "application/json")

    def _answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _body_of(header: dict[str, str], claims: dict[str, Any]) -> str:
    return ".".join(_part(json.dumps(one).encode()) for one in (header, claims))


def _new_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    _Provider.issuer = f"http://127.0.0.1:{server.server_port}"
    _Provider.keys = [_new_key()]
    print(_Provider.issuer, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
