"""HTTPS as it is used: real processes, a certificate of the box's own, and a province whose address changes
in the middle of a sync."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.ports import free_port

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Served:
    """A province's server as its terminal tells of it."""

    url: str
    fingerprint: str
    process: subprocess.Popen[str]


@contextmanager
def served(province: Operator) -> Iterator[Served]:
    """`flycam serve --tls` at an address of its own."""
    port = free_port()
    process = province.start("serve", "--tls", "--port", port)
    try:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(4)]
        (fingerprint,) = re.findall(r"fingerprint SHA-256: ([0-9a-f]{64})", "".join(said))
        assert f"https://127.0.0.1:{port}/authority.crt" in said[2] and "localhost" in said[3]
        yield Served(f"https://127.0.0.1:{port}", fingerprint, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=90)


def test_a_card_is_uploaded_over_it(drill: DrillReport, tmp_path: Path) -> None:
    province = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    token = province("user", "add", "lan", "--role", "operator").json["token"]
    sender = Operator(tmp_path / "none", {"FLYCAM_TOKEN": token})
    with served(province) as server:
        refused = sender("upload", server.url, drill.photos)
        assert refused.exit_code == 3 and "--fingerprint" in refused.sentence
        sent = sender("upload", server.url, drill.photos, "--fingerprint", server.fingerprint)
        assert (sent.exit_code, sent.json["frames"]["used"]) == (0, 6)
