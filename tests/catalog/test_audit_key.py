"""The audit log's signatures, checked by another program as docs/formats/audit.md says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from flycam.catalog.audit_key import (
    AuditKey,
    Signer,
    encode_signed_line,
    is_message_signed,
    is_public_key,
    is_signed,
)

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return AuditKey(tmp_path / "audit.key").get_or_create(0, "")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_openssl_takes_a_signature_for_good(signer: Signer, tmp_path: Path) -> None:
    signature = signer.sign(17, DIGEST)
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100" + signer.public))
    (tmp_path / "signature").write_bytes(bytes.fromhex(signature))
    for said, good in ((f"17:{DIGEST}", True), (f"18:{DIGEST}", False)):
        (tmp_path / "signed").write_text(f"flycam audit log\n{said}\n")
        verify = (
            "openssl pkeyutl -verify -pubin -inkey key.der -keyform DER -rawin -in signed -sigfile signature"
        )
        assert (subprocess.run(verify.split(), cwd=tmp_path, check=False).returncode == 0) == good


def test_a_signature_is_of_one_line_and_one_key(signer: Signer, tmp_path: Path) -> None:
    signature = signer.sign(17, DIGEST)
    assert is_signed(signer.public, 17, DIGEST, signature)
    other = AuditKey(tmp_path / "other.key").get_or_create(0, "")
    assert not is_signed(other.public, 17, DIGEST, signature)
    assert not is_signed(signer.public, 18, DIGEST, signature)
    assert not is_signed(signer.public, 17, DIGEST[:-1] + "9", signature)
    for spoilt in ("", "zz", signature[:-2], signature + "00"):
        assert not is_signed(signer.public, 17, DIGEST, spoilt)
    for key in ("", "00" * 31, "zz" * 32):
        assert not is_signed(key, 17, DIGEST, signature) and not is_public_key(key)
    assert is_public_key(signer.public)
    assert encode_signed_line(1, "2") != encode_signed_line(12, "")


def test_a_signed_message_is_no_line(signer: Signer) -> None:
    signature = signer.sign_message(b"flycam bundle\n" + DIGEST.encode())
    assert is_message_signed(signer.public, b"flycam bundle\n" + DIGEST.encode(), signature)
    assert not is_message_signed(signer.public, b"flycam bundle\n", signature)
    assert not is_signed(signer.public, 17, DIGEST, signature)
    assert is_message_signed(signer.public, encode_signed_line(17, DIGEST), signer.sign(17, DIGEST))


def test_the_key_read_again_is_the_same(signer: Signer, tmp_path: Path) -> None:
    assert AuditKey(tmp_path / "audit.key").get_or_create(5, DIGEST) == signer
    assert signer.seed.hex() not in repr(AuditKey(tmp_path / "audit.key"))
    assert AuditKey(tmp_path / "none.key").read() is None
