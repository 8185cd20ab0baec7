"""Whom a line believes, over real TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.config import SYSTEM_TRUST, ServerTrust, is_token_exposed, parse_fingerprint
from flycam.errors import OptionUnusable, ServerUntrusted
from flycam.http.client import ServerConnection
from flycam.operations.certificate_authority import issue_server_certificate
from tests.certificates import DAY, NOW, self_signed, showing

_HERE = ("127.0.0.1", "localhost")


def ask(url: str, trust: ServerTrust = SYSTEM_TRUST, patience_s: float = 20.0) -> int:
    """The status that a request with a token is answered with."""
    line = ServerConnection(url, "secret", patience_s, "en", lambda _why: None, trust=trust)
    return line.request("GET", "/api/sync").status


def test_a_box_is_believed_by_its_authoritys_fingerprint_or_file(tmp_path: Path) -> None:
    ours = issue_server_certificate(tmp_path / "tls", _HERE)
    file = tmp_path / "tls" / "authority.crt"
    with showing(ours.path, authority=ours.authority) as (url, asked):
        assert ask(url, ServerTrust(fingerprint=ours.fingerprint)) == 200
        assert ask(url, ServerTrust(ca=file)) == 200
        assert ask(url.replace("127.0.0.1", "localhost"), ServerTrust(ca=file)) == 200
        assert asked == [("/authority.crt", None), *[("/api/sync", "Bearer secret")] * 3]


def test_nobody_unknown_gets_the_token(tmp_path: Path) -> None:
    ours, others = (
        issue_server_certificate(tmp_path / "one", _HERE),
        issue_server_certificate(tmp_path / "two", _HERE),
    )
    with showing(ours.path, authority=ours.authority) as (url, asked):
        with pytest.raises(ServerUntrusted, match="fingerprint"):
            ask(url)
        with pytest.raises(
            ServerUntrusted,
            match=rf"{others.fingerprint}.*{ours.fingerprint}",
        ):
            ask(url, ServerTrust(fingerprint=others.fingerprint))
        with pytest.raises(ServerUntrusted, match=r"two/authority\.crt"):
            ask(url, ServerTrust(ca=tmp_path / "two" / "authority.crt"))
        assert [token for _, token in asked] == [None]


def test_an_authority_that_is_only_shown_proves_nothing(tmp_path: Path) -> None:
    """The certificate is public: whoever hands it out must also hold what it signed."""
    ours, others = (
        issue_server_certificate(tmp_path / "one", _HERE),
        issue_server_certificate(tmp_path / "two", _HERE),
    )
    with showing(others.path, authority=ours.authority) as (url, asked):
        with pytest.raises(ServerUntrusted, match="not show"):
            ask(url, ServerTrust(fingerprint=ours.fingerprint))
        assert [token for _, token in asked] == [None]


def test_one_that_is_exchanged_meanwhile_is_refused(tmp_path: Path) -> None:
    """The fingerprint is held against every connection, not against the first alone."""
    certificate, key, fingerprint = self_signed(tmp_path / "before")
    with showing(certificate, key) as (url, _):
        line = ServerConnection(
            url, "secret", 20.0, "en", lambda _why: None, trust=ServerTrust(fingerprint=fingerprint)
        )
        assert line.request("GET", "/api/sync").status == 200
    other, other_key, _ = self_signed(tmp_path / "after")
    with showing(other, other_key) as (moved, asked):
        line.url = moved
        with pytest.raises(ServerUntrusted, match="not show"):
            line.request("GET", "/api/sync")
        assert not asked


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [(NOW - 3 * DAY, NOW - DAY, "expired"), (NOW + DAY, NOW + 3 * DAY, "not yet valid")],
)
def test_what_does_not_hold_by_this_clock_is_said_to_be_that(
    tmp_path: Path, begins: object, ends: object, why: str
) -> None:
    certificate, key, _ = self_signed(tmp_path, begins, ends)
    with (
        showing(certificate, key) as (url, _),
        pytest.raises(ServerUntrusted, match=why),
    ):
        ask(url, ServerTrust(ca=certificate))


def test_fingerprints_are_taken_as_people_copy_them() -> None:
    plain = "0a" * 32
    for copied in (plain, plain.upper(), ":".join(["0A"] * 32), f"SHA-256: {plain}", f" sha256={plain}\n"):
        assert parse_fingerprint(copied, "--fingerprint") == plain
    for wrong in ("", "0a" * 31, "zz" * 32):
        with pytest.raises(OptionUnusable, match=r"--fingerprint: .*64 digits"):
            parse_fingerprint(wrong, "--fingerprint")


def test_a_token_in_the_open_is_one_over_a_network_without_tls() -> None:
    assert is_token_exposed("http://192.168.1.20:8000", "t")
    assert is_token_exposed("http://map.example.vn", "t")
    for url in ("http://127.0.0.1:8000", "http://localhost", "http://[::1]:8000", "https://map.example.vn"):
        assert not is_token_exposed(url, "t")
    assert not is_token_exposed("http://192.168.1.20:8000", None)
