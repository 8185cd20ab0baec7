"""What FLYCAM_CLUSTER may name: loopback over TCP, anything else over TLS alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flycam.config import read_settings
from flycam.errors import OptionUnusable

FILE = "/etc/flycam/member.pem"


def read_address(text: str, **more: str) -> str:
    """As the settings have it."""
    return str(read_settings({"FLYCAM_CLUSTER": text, **more}).cluster)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" tcp://127.0.0.1:8786 ", "tcp://127.0.0.1:8786"),
        ("TCP://127.0.0.5:8786", "tcp://127.0.0.5:8786"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("tcp://LocalHost:8786", "tcp://127.0.0.1:8786"),
    ],
)
def test_tcp_on_loopback_needs_nothing(text: str, address: str) -> None:
    assert read_address(text) == address
    assert read_address(text, FLYCAM_CLUSTER_CERTIFICATE=FILE) == address


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.5",
        "may-1.laocai",
        "0x7f000001",
        "127.0.0.1.laocai.gov.vn",
        socket.gethostname(),  # on many machines it resolves to 127.0.1.1, on others to the network's
    ],
)
def test_elsewhere_it_is_tls_with_a_certificate_or_nothing(host: str) -> None:
    with pytest.raises(OptionUnusable):
        read_address(f"tcp://{host}:8786", FLYCAM_CLUSTER_CERTIFICATE=FILE)
    with pytest.raises(OptionUnusable):
        read_address(f"tls://{host}:8786")
    settings = read_settings({"FLYCAM_CLUSTER": f"TLS://{host}:8786", "FLYCAM_CLUSTER_CERTIFICATE": FILE})
    assert str(settings.cluster) == f"tls://{host.lower()}:8786"
    assert settings.cluster is not None and settings.cluster.certificate == Path(FILE)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.5:8786",
        "http://10.0.0.5:8786",
        "tcp://127.0.0.1",
        "tcp://:8786",
        "tcp://127.0.0.1:65536",
        "tls://0.0.0.0:8786",
        "tls://0:8786",
        "tls://0x0:8786",
        "tls://0.0.0.5:8786",
        "tls://[::ffff:0:0]:8786",
        "tls://[::]:8786",
        "tcp://[::ffff:10.0.0.5]:8786",
        "ws://127.0.0.1:8786",
        "inproc://127.0.0.1/1/1",
        "tcp://127.0.0.1:8786,tcp://10.0.0.5:8786",
        "tcp://127.0.0.1@10.0.0.5:8786",
    ],
)
def test_what_is_no_address_of_a_scheduler_is_refused(text: str) -> None:
    with pytest.raises(OptionUnusable):
        read_address(text, FLYCAM_CLUSTER_CERTIFICATE=FILE)
