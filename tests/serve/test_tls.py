"""The map over HTTPS, by a real server and a real client."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from flycam.access.accounts import add_user
from flycam.cli import flycam
from flycam.http.guards import Services
from flycam.operations.certificate_authority import ExternalTlsCertificate, OwnTlsCertificate
from tests.certificates import self_signed
from tests.serve.running import running, running_server
from tests.serve.world import make_workspace


def leaf(url: str) -> str:
    """SHA-256 of the certificate that a server shows to whoever connects now."""
    parts = httpx.URL(url)
    pem = ssl.get_server_certificate((parts.host, parts.port or 443))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_the_map_by_the_boxs_own_authority(tmp_path: Path) -> None:
    """The authority is handed out to whoever has no account; with it a client believes, and cookies are
    safe."""
    workspace = make_workspace(tmp_path)
    _, token = add_user(workspace, "lan", "viewer", None)
    own = OwnTlsCertificate(tmp_path / "tls", "127.0.0.1")
    services = Services(workspace=workspace, authority=own.authority)
    with running(services, encryption=own) as url:
        assert url.startswith("https:")
        got = httpx.get(f"{url}/authority.crt", verify=False)
        assert (got.status_code, got.headers["content-type"]) == (200, "application/x-x509-ca-cert")
        assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(got.text)).hexdigest() == own.fingerprint
        believed = ssl.create_default_context(cadata=got.text)
        assert httpx.get(f"{url}/healthz", verify=believed).status_code == 200
        entered = httpx.post(f"{url}/api/login", json={"token": token}, verify=believed)
        assert entered.status_code == 200 and "Secure" in entered.headers["set-cookie"]
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{url}/healthz")


def test_files_from_elsewhere_and_their_renewal(tmp_path: Path) -> None:
    certificate, key, fingerprint = self_signed(tmp_path)
    given = ExternalTlsCertificate(certificate, key)
    assert given.fingerprint == fingerprint and given.authority is None
    with running_server(Services(workspace=make_workspace(tmp_path)), encryption=given) as (url, server):
        assert leaf(url) == fingerprint
        _, _, renewed = self_signed(tmp_path)
        server.renew()
        assert leaf(url) == renewed == given.fingerprint
        key.write_bytes(b"")  # half of a renewal: the one before goes on
        server.renew()
        assert leaf(url) == renewed


def test_a_box_syncs_over_it(tmp_path: Path) -> None:
    """As it is typed: by fingerprint, by file, by the environment; refused without; wrong refused in one
    sentence."""
    workspace = make_workspace(tmp_path)
    _, token = add_user(workspace, "box-1", "box", None)
    own = OwnTlsCertificate(tmp_path / "tls", "127.0.0.1")
    services = Services(workspace=workspace, authority=own.authority, sync_dir=tmp_path / "arriving")
    base = {"FLYCAM_DATA": str(tmp_path / "field"), "FLYCAM_TOKEN": token, "FLYCAM_BOX": "f", "LC_ALL": "C"}
    file = str(tmp_path / "tls" / "authority.crt")
    with running(services, encryption=own) as url:

        def sync(*words: str, **more: str) -> tuple[int, str]:
            done = CliRunner().invoke(flycam, ["sync", url, "--once", *words], env={**base, **more})
            assert "Traceback" not in done.stderr
            return done.exit_code, done.stderr

        for words, more in (
            (("--fingerprint", own.fingerprint), {}),
            (("--ca", file), {}),
            ((), {"FLYCAM_FINGERPRINT": own.fingerprint}),
            ((), {"FLYCAM_CA": file}),
        ):
            code, said = sync(*words, **more)
            assert code == 0, said
        code, said = sync()
        assert code == 3 and said.startswith("flycam: ") and said.count("\n") == 1
        assert sync("--fingerprint", "0" * 64)[0] == 3
        plain = url.replace("https://", "http://")  # without --once it would be waited for without end
        done = CliRunner().invoke(flycam, ["sync", plain], env=base)
        assert (done.exit_code, done.stderr.count("speaks HTTPS; write " + url)) == (3, 1)
        assert sync("--fingerprint", "0")[0] == 2
