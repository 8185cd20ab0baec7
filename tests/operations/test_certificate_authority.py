"""A box's own authority."""

from __future__ import annotations

import multiprocessing
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from flycam.errors import StorageFailed
from flycam.operations.certificate_authority import (
    AUTHORITY,
    PUBLIC,
    SERVER,
    ServerCertificate,
    issue_server_certificate,
    list_host_names,
)

_HERE = ("127.0.0.1", "box.local", "fd00::5")
_RIGHT = datetime(2027, 3, 1, tzinfo=UTC)


def shown(held: ServerCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificates(held.path.read_bytes())[0]


def test_it_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "tls"
    first, again = issue_server_certificate(folder, _HERE), issue_server_certificate(folder, _HERE)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.fingerprint == again.fingerprint
    assert first.names == frozenset(_HERE)
    assert {one.name for one in folder.iterdir()} == {AUTHORITY, SERVER, PUBLIC}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in (AUTHORITY, SERVER))
    assert b"PRIVATE" not in (folder / PUBLIC).read_bytes()
    authority = x509.load_pem_x509_certificate((folder / PUBLIC).read_bytes())
    shown(first).verify_directly_issued_by(authority)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(first.path)


def test_it_holds_at_a_clock_that_was_never_set(tmp_path: Path) -> None:
    """Made by a right clock and read at 1970, and the other way round."""
    never_set = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    right = issue_server_certificate(tmp_path / "one", _HERE, _RIGHT)
    assert shown(right).not_valid_before_utc <= never_set
    lost = issue_server_certificate(tmp_path / "two", _HERE, never_set)
    assert shown(lost).not_valid_before_utc <= never_set
    assert shown(lost).not_valid_after_utc > _RIGHT + timedelta(days=10_000)
    set_since = issue_server_certificate(tmp_path / "two", _HERE, _RIGHT)
    assert set_since.is_new and set_since.fingerprint == lost.fingerprint
    assert shown(set_since).not_valid_after_utc == _RIGHT + timedelta(days=825)
    lost_again = issue_server_certificate(tmp_path / "two", _HERE, never_set)
    assert not lost_again.is_new  # what is there holds


def test_it_is_renewed_before_its_end(tmp_path: Path) -> None:
    first = issue_server_certificate(tmp_path, _HERE, _RIGHT)
    early, late = _RIGHT + timedelta(days=540), _RIGHT + timedelta(days=560)
    assert not issue_server_certificate(tmp_path, _HERE, early).is_new
    renewed = issue_server_certificate(tmp_path, _HERE, late)
    assert renewed.is_new and renewed.fingerprint == first.fingerprint
    assert shown(renewed).not_valid_after_utc == late + timedelta(days=825)


def test_another_address_of_the_machine_makes_another_certificate(tmp_path: Path) -> None:
    first = issue_server_certificate(tmp_path, _HERE)
    moved = issue_server_certificate(tmp_path, ("127.0.0.1", "10.9.8.7"))
    assert moved.is_new and moved.fingerprint == first.fingerprint
    assert moved.names == {"127.0.0.1", "10.9.8.7"}
    assert not issue_server_certificate(tmp_path, ("127.0.0.1",)).is_new


def test_a_damaged_file(tmp_path: Path, spoil: bytes = b"x" * 500) -> None:
    """The server's is made again; the authority's is not, for others believe it."""
    first = issue_server_certificate(tmp_path, _HERE)
    (tmp_path / SERVER).write_bytes(spoil)
    again = issue_server_certificate(tmp_path, _HERE)
    assert again.is_new and again.fingerprint == first.fingerprint
    kept = (tmp_path / AUTHORITY).read_bytes()
    (tmp_path / AUTHORITY).write_bytes(spoil)
    with pytest.raises(StorageFailed, match=r"authority\.pem"):
        issue_server_certificate(tmp_path, _HERE)
    (tmp_path / AUTHORITY).write_bytes(kept)
    assert issue_server_certificate(tmp_path, _HERE).fingerprint == first.fingerprint


def _fingerprint(folder: str) -> str:
    return issue_server_certificate(Path(folder), _HERE).fingerprint


def test_of_two_that_make_one_at_once_both_use_the_same(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        for number in range(3):
            assert len(set(pool.map(_fingerprint, [str(tmp_path / str(number))] * 3))) == 1


def test_what_the_machine_is_called() -> None:
    names = list_host_names("map.laocai.gov.vn", ["10.0.0.5"])
    assert {"localhost", "127.0.0.1", "::1", "map.laocai.gov.vn", "10.0.0.5", os.uname().nodename} <= names
    assert not {"0.0.0.0", "::", ""} & list_host_names("0.0.0.0")
