"""HTTP client with retries and TLS verification.

It goes on over a line that is cut, silent, or changes its address, and sends nothing to an untrusted server.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from http.client import HTTPSConnection as PlainHTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError

from flycam.config import AUTHORITY_PATH, SYSTEM_TRUST, ServerTrust
from flycam.errors import (
    AccessDenied,
    Cancelled,
    InputUnusable,
    NotFound,
    OptionUnusable,
    PeerUnavailable,
    ServerUntrusted,
)
from flycam.messages import Message, _, from_fields, join, verbatim
from flycam.storage.files import parse_bounded_json

# -- TLS verification of a server: the system's authorities, a file's, or one fingerprint ----------
#
# A refusal is one sentence with its cure, and comes before anything is sent: no token goes to an untrusted
# server.


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
                "{ca}: is not a file of certificates that can be read; fetch the authority's "
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
    connection = PlainHTTPSConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S, context=anybody)
    try:
        connection.connect()
        leaf = connection.sock.getpeercert(binary_form=True)
        if leaf and hashlib.sha256(leaf).hexdigest() == fingerprint:
            return {"ssl_context": anybody, "assert_fingerprint": fingerprint}
        connection.request("GET", f"{parts.path}{AUTHORITY_PATH}")
        answer = connection.getresponse()
        authority_pem = answer.read(_MAX_BYTES) if answer.status == 200 else b""
        shown = [hashlib.sha256(leaf).hexdigest()] if leaf else []
    except HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    try:
        der = ssl.PEM_cert_to_DER_cert(authority_pem.decode("ascii"))
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
    shown_text = join(
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
            told=_(" but {told}", told=shown_text) if shown else "",
        )
    )


# -- HTTP client that retries over a line that is cut, silent, or changes its address --------------


TUS_HEADERS = {"Tus-Resumable": "1.0.0"}
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 10.0, 60.0
_TIMEOUT = urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S)
_FIRST_WAIT_S, _MAX_WAIT_S = 0.25, 10.0
# one request and the pause before it; beyond that the process was suspended
_MAX_ATTEMPT_S = 90.0
_RETRY_STATUSES = frozenset({408, 423, 425, 429, 500, 502, 503, 504, 507})
# from a proxy in front of a server that is down, or from a server that cannot serve
_UNAVAILABLE_STATUSES = frozenset({500, 502, 503, 504})
_DONE = 200
_BLOCK = 4 << 10
_CONNECTIONS = 8
MAX_ANSWER_BYTES, MAX_VALUES = 64 << 20, 4 << 20
_MAX_OFFSET_DIGITS = 19
_THIN_BUFFER = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)]

Note = Callable[[Message], None]


def build_not_flycam_error(url: str) -> PeerUnavailable:
    """Return the error for an answer that is valid but not flycam's.

    A network with a captive portal that asks for a sign-in answers like that.
    """
    return PeerUnavailable(
        _(
            "{url}: the answer is not from flycam: sign in to the network (its page opens in "
            "a browser), or check the address; then run the same command again: it resumes",
            url=url,
        )
    )


@contextmanager
def require_answer_shape(url: str) -> Iterator[None]:
    """Raise PeerUnavailable where JSON of an answer, taken apart within, is not as flycam answers."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise build_not_flycam_error(url) from error


def read_upload_offset(headers: Mapping[str, str]) -> int | None:
    """Return the bytes that a server has, by its Upload-Offset; None if it names no number."""
    text = headers.get("Upload-Offset", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_OFFSET_DIGITS else None


class ConnectionLost(Exception):
    """No answer was received; the outcome of the request is unknown."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Reply of a server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Body as JSON; None if it is not JSON."""
        try:
            return parse_bounded_json(self.body, MAX_VALUES)
        except ValueError:
            return None


def _read_body(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Read the body of an answer, MAX_ANSWER_BYTES at most. Raises ConnectionLost."""
    try:
        body = answer.read(MAX_ANSWER_BYTES + 1)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        answer.close()
        raise ConnectionLost(str(error)) from error
    if len(body) > MAX_ANSWER_BYTES:
        answer.close()
        raise ConnectionLost(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    answer.release_conn()
    return body


class _Answer(HTTPResponse):
    """Response whose whole header must arrive within a time limit.

    The library's own timeout is for the next bytes, and begins anew with each of them, and with each "100
    Continue".

    head_s  time limit of the header
    """

    head_s = _READ_TIMEOUT_S

    def __init__(self, sock: socket.socket, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self._line = sock
        self._ends_s = time.monotonic() + self.head_s

    def begin(self) -> None:
        ends = threading.Timer(self.head_s, self._shut)
        ends.daemon = True
        ends.start()
        broke: Exception | None = None
        try:
            super().begin()
        except (HTTPException, OSError) as error:
            broke = error
        finally:
            ends.cancel()
        # a connection that was shut down reads as broken, or as a complete header
        self._require_time()
        if broke is not None:
            raise broke

    def _read_status(self) -> Any:
        # data received before the shutdown are still parsed
        self._require_time()
        return super()._read_status()  # type: ignore[misc]

    def _require_time(self) -> None:
        if time.monotonic() > self._ends_s:
            raise TimeoutError("no answer")

    def _shut(self) -> None:
        with suppress(OSError):  # it is already closed
            self._line.shutdown(socket.SHUT_RDWR)


def _pools_of(head_s: float) -> dict[str, Any]:
    """Return the library's pools by scheme, with responses of this header time limit."""
    within = {"response_class": type("_Answer", (_Answer,), {"head_s": head_s})}
    kinds = {
        "http": (urllib3.HTTPConnectionPool, HTTPConnection),
        "https": (urllib3.HTTPSConnectionPool, HTTPSConnection),
    }
    return {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": type(kind.__name__, (kind,), within)})
        for scheme, (pool, kind) in kinds.items()
    }


class ServerConnection:
    """Requests to one server. Thread-safe."""

    def __init__(
        self,
        url: str,
        token: str | None,
        patience_s: float,
        language: str,
        note: Note,
        *,
        is_thin: bool = False,
        trust: ServerTrust = SYSTEM_TRUST,
    ) -> None:
        """Prepare requests; nothing is sent yet.

        language: of the server's error messages; note: receives each reason for waiting once; is_thin: a
        small send buffer, so that what was handed to the system has soon left; trust: accepted server
        certificates. Raises OptionUnusable for an invalid address.
        """
        parts = urlsplit(url)
        is_page = parts.path.endswith(".html") or parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or is_page:
            example = f"{parts.scheme}://{parts.netloc}" if is_page else "http://192.168.1.20:8000"
            raise OptionUnusable(
                _(
                    "{url}: give the server's address as in its map, without a page, such as {example}",
                    url=url,
                    example=example,
                )
            )
        self.url = url.rstrip("/")
        self._patience_s = patience_s
        self._language = language
        self._note = note
        self._noted: Message | None = None
        self._stopped = threading.Event()
        self._has_answered = False
        self._heard_s = time.monotonic()
        self._headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **TUS_HEADERS}
        self._trust = trust
        self._thin = _THIN_BUFFER if is_thin else []
        self._opening = threading.Lock()
        self._opened: urllib3.PoolManager | None = None

    def request_once(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> HttpReply:
        """Send one request, without retries; a body in parts needs a Content_Length.

        Raises ConnectionLost; Cancelled after `stop`; and AccessDenied, NotFound, InputUnusable for errors
        that a retry does not cure.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._send(method, path, body, named)
        return self._good(HttpReply(answer.status, answer.headers, _read_body(answer)))

    def download(self, method: str, path: str, hear: Callable[[bytes], None], most_bytes: int) -> HttpReply:
        """Send a request and pass the body of a 200 answer on block by block.

        As `request_once`; `hear` receives the blocks. The first block is empty: the answer has begun. Bytes
        beyond `most_bytes` are not read. Raises ConnectionLost also where the body ends early: `hear` has
        received the blocks before.
        """
        answer = self._send(method, path, None, {})
        try:
            if answer.status != _DONE:
                return self._good(HttpReply(answer.status, answer.headers, _read_body(answer)))
            hear(b"")
            for block in answer.stream(_BLOCK):
                self._heard_s = time.monotonic()
                if most_bytes <= 0:
                    answer.close()
                    break
                hear(block[:most_bytes])
                most_bytes -= len(block)
            return HttpReply(answer.status, answer.headers, b"")
        except urllib3.exceptions.HTTPError as error:
            answer.close()
            raise ConnectionLost(str(error)) from error
        finally:
            answer.release_conn()

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; return the response with its body unread.

        Raises Cancelled, ConnectionLost, ServerUntrusted (also where http meets a server that speaks TLS).
        """
        if self._stopped.is_set():
            raise Cancelled(_("run the same command to resume"))
        try:
            answer = self._pool().request(
                method,
                f"{self.url}{path}{'&' if '?' in path else '?'}lang={self._language}",
                body=body,
                headers={**self._headers, **headers},
                redirect=False,
                preload_content=False,
                # no compression was asked for, and a compressed body may expand to any size
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            require_trusted(self.url, error, self._trust)
            if not self._has_answered:
                require_plain(self.url, error)
            raise ConnectionLost(str(error)) from error
        self._has_answered = True
        if answer.status not in _UNAVAILABLE_STATUSES:
            self._heard_s = time.monotonic()
        return answer

    def _pool(self) -> urllib3.PoolManager:
        """Return connections to the trusted server.

        Its certificate is checked at first use.
        """
        with self._opening:
            if self._opened is None:
                opened = urllib3.PoolManager(
                    maxsize=_CONNECTIONS,
                    retries=False,
                    timeout=_TIMEOUT,
                    socket_options=[*HTTPConnection.default_socket_options, *self._thin],
                    **build_pool_arguments(self.url, self._trust),
                )
                head_s = min(max(self._patience_s, _CONNECT_TIMEOUT_S), _READ_TIMEOUT_S)
                opened.pool_classes_by_scheme = _pools_of(head_s)
                self._opened = opened
            return self._opened

    def _good(self, reply: HttpReply) -> HttpReply:
        """Return the reply; raise for a status that a retry does not cure."""
        if reply.status == 401:
            raise AccessDenied(
                _(
                    "{reply}; give the token with --token-file or FLYCAM_TOKEN",
                    reply=self.get_error_message(reply),
                )
            )
        if reply.status == 403:
            raise AccessDenied(self.get_error_message(reply))
        if reply.status == 404:
            raise NotFound(self.get_error_message(reply))
        if reply.status == 405:
            raise InputUnusable(
                _(
                    "{url}: does not take this (HTTP 405): give the server's address as in "
                    "its map, and bring both to the same version if it is that",
                    url=self.url,
                )
            )
        # a redirect is an error too: it is not followed
        if reply.status in (400, 411, 412, 413, 415, 422) or 300 <= reply.status < 400:
            raise InputUnusable(self.get_error_message(reply))
        return reply

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> HttpReply:
        """Send as `request_once`, with retries.

        Raises PeerUnavailable when the time limit ends.
        """
        return self.call_with_retries(lambda: self.request_once(method, path, body, **headers))

    def request_values(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> dict[str, Any]:
        """Send as `request`, and return the JSON object of the reply.

        Raises PeerUnavailable also where it is none, as from a network that asks for a sign-in.
        """
        values = self.request(method, path, body, **headers).json
        if not isinstance(values, dict):
            raise build_not_flycam_error(self.url)
        return values

    def call_with_retries(self, send: Callable[[], HttpReply]) -> HttpReply:
        """Call `send` until its reply is final.

        Raises PeerUnavailable when `patience_s` ends, not counting time in which this process was suspended.
        A server that is full or busy is waited for; one that is out of service counts as one that does not
        answer.
        """
        wait_s, tried_s = _FIRST_WAIT_S, time.monotonic()
        # an early reply to a request that it cannot serve does not count as service
        served_s = tried_s
        while True:
            try:
                reply = send()
                if reply.status not in _RETRY_STATUSES:
                    return reply
                why = self.get_error_message(reply)
                if reply.status not in _UNAVAILABLE_STATUSES:
                    served_s = time.monotonic()
            except ConnectionLost as error:
                why, served_s = join((self.url, _find_cause(error)), ": "), max(served_s, self._heard_s)
            self.report_wait(why)
            now_s = time.monotonic()
            slept_s = max(now_s - tried_s - _MAX_ATTEMPT_S, 0.0)
            self._heard_s, tried_s = min(self._heard_s + slept_s, now_s), now_s
            served_s = min(served_s + slept_s, now_s)
            if now_s - min(served_s, self._heard_s) > self._patience_s:
                raise self._make_timeout_error(why)
            self._stopped.wait(wait_s)
            wait_s = min(2.0 * wait_s, _MAX_WAIT_S)

    def _make_timeout_error(self, why: Message) -> PeerUnavailable:
        if not self._has_answered:
            return PeerUnavailable(
                _(
                    "{url}: no answer, or out of service, for {seconds:.0f} s ({why}); nothing was sent this "
                    "time: check the address and the line, then run the same command again",
                    url=self.url,
                    seconds=self._patience_s,
                    why=why,
                )
            )
        return PeerUnavailable(
            _(
                "{url}: no answer, or out of service, for {seconds:.0f} s ({why}); what was sent is kept "
                "there: run the same command again",
                url=self.url,
                seconds=self._patience_s,
                why=why,
            )
        )

    def stop(self) -> None:
        """Stop: no more requests are sent, and waiting ones raise Cancelled."""
        self._stopped.set()

    def sleep(self, seconds: float) -> None:
        """Wait, at most until `stop`."""
        self._stopped.wait(seconds)

    def report_wait(self, why: Message) -> None:
        """Report why it waits, unless that was the last report."""
        if why != self._noted:
            self._noted = why
            self._note(why)

    def report_server_wait(self, state: Mapping[str, Any]) -> None:
        """Report what delays an upload on the server, if anything."""
        with require_answer_shape(self.url):
            if waits_for := state["waits_for"]:
                self.report_wait(join((self.url, from_fields(waits_for)), ": "))

    def get_error_message(self, reply: HttpReply) -> Message:
        """Return the server's own error message, in the requested language."""
        payload = reply.json
        message = payload.get("detail") or payload.get("message") if isinstance(payload, dict) else None
        return verbatim(f"{self.url}: {message or f'HTTP {reply.status}'}")


def _find_cause(error: ConnectionLost) -> Message:
    """Return the root cause, without the objects that libraries name before it."""
    if any(isinstance(one, socket.gaierror | NameResolutionError) for one in list_causes(error)):
        return _("no server of this name is found")
    causes = (str(one).rpartition(": ")[2].strip("\"') ") for one in reversed(list_causes(error)))
    return verbatim(next(filter(None, causes), "no answer"))


# -- Backoff for a server that answers but accepts nothing -------------------------------------------


MIN_BUSY_PAUSE_S = 2.0
_MAX_BUSY_PAUSE_S = 60.0
MAX_REFUSALS = 12
"""At one and the same position: about eight minutes."""


class Backoff:
    """Pauses before further tries with a server, and an error after too many at one position."""

    def __init__(self, sleep: Callable[[float], None], error: PeerUnavailable) -> None:
        self._sleep, self._error = sleep, error
        self._at: object = None
        self._times = 0

    def wait(self, at: object, min_s: float = 0.0) -> None:
        """Wait after a refusal at a byte offset, or a number of imported steps; longer each time."""
        self._times = self._times + 1 if at == self._at else 1
        self._at = at
        if self._times > MAX_REFUSALS:
            raise self._error
        pause_s = min(MIN_BUSY_PAUSE_S * 2.0 ** (self._times - 2), _MAX_BUSY_PAUSE_S)
        self._sleep(max(pause_s if self._times > 1 else 0.0, min_s))


def build_no_progress_error(url: str) -> PeerUnavailable:
    """Return the error for a server that makes no progress."""
    return PeerUnavailable(
        _(
            "{url}: keeps asking for the same data and does not take it; restart flycam "
            "there, then run the same command again: it resumes",
            url=url,
        )
    )
