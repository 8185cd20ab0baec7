"""Who gets into a cluster: whoever may speak to one of its ports may run any program there."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from distributed.core import rpc
from distributed.protocol.pickle import dumps

from flycam.cli import flycam
from flycam.config import SchedulerAddress
from flycam.errors import EXIT_USAGE, OptionUnusable
from flycam.mosaic.cluster.dask_cluster import build_security
from flycam.operations.certificate_authority import (
    issue_server_certificate,
    list_network_addresses,
    make_member_certificate,
)
from tests.clusters import RunningCluster, running_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_PRELOADED = """
import http.server, pathlib, threading
pathlib.Path({marker!r}).touch()
server = http.server.HTTPServer(("0.0.0.0", 0), http.server.BaseHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


def listening(process: subprocess.Popen[bytes]) -> list[tuple[str, int]]:
    """What a process listens on, all its children too."""
    one = psutil.Process(process.pid)
    found = [two for each in (one, *one.children(recursive=True)) for two in each.net_connections("inet")]
    return [tuple(two.laddr) for two in found if two.status == psutil.CONN_LISTEN]


def network_host() -> str:
    """An address of this machine that others could reach; loopback where it has no network."""
    found = (one for one in sorted(list_network_addresses()) if not ip_address(one).is_loopback)
    return next(found, "127.0.0.1")


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file of this cluster, and that of another."""
    folder = tmp_path_factory.mktemp("members")
    for name in ("ours", "foreign"):
        make_member_certificate(folder / f"authority-{name}", folder / f"{name}.pem")
    return folder / "ours.pem", folder / "foreign.pem"


@pytest.fixture(scope="module")
def over_tls(
    members: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCluster]:
    """A scheduler and a worker on this machine's network, as hostile settings of Dask's own would have
    them."""
    folder = tmp_path_factory.mktemp("cluster")
    marker, preload = folder / "preloaded", folder / "preload.py"
    preload.write_text(_PRELOADED.format(marker=str(marker)))
    (folder / "dask").mkdir()
    (folder / "dask" / "evil.yaml").write_text(
        f"distributed: {{scheduler: {{preload: [{preload}]}}, worker: {{preload: [{preload}]}},"
        " comm: {require-encryption: false}}"
    )
    hostile = {
        "DASK_CONFIG": str(folder / "dask"),
        "DASK_DISTRIBUTED__WORKER__PRELOAD": str(preload),
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(members[1]),
    }
    house = {
        "FLYCAM_STORE": (folder / "house" / "store").as_uri(),
        "FLYCAM_DATABASE": f"sqlite:///{folder / 'house' / 'catalog.sqlite'}",
    }
    with running_cluster(folder / "c", {**house, **hostile}, 1, network_host(), members[0]) as cluster:
        yield cluster
        assert not marker.exists()


def test_over_tcp_everything_listens_on_loopback_alone(tmp_path: Path) -> None:
    host = "127.0.0.1"
    with running_cluster(tmp_path, {}, workers=1, host=host) as cluster:
        scheduler, worker = map(listening, cluster.processes)
    assert scheduler == [(host, cluster.address.port)]
    assert [one for one, _ in worker] == [host]


def test_over_tls_nothing_listens_but_the_two_ports_towards_each_other(over_tls: RunningCluster) -> None:
    scheduler, worker = map(listening, over_tls.processes)
    assert scheduler == [(over_tls.address.host, over_tls.address.port)]
    assert [one for one, _ in worker] == [over_tls.address.host]


def ports(cluster: RunningCluster) -> list[tuple[str, int]]:
    return [one for process in cluster.processes for one in listening(process)]


def run_there(where: str, connection: dict[str, object]) -> int:
    """Ask a port of Dask's to run a function; answers the number of the process that did."""

    async def ask() -> int:
        async with rpc(where, connection_args=connection, timeout=20) as peer:
            answer = await peer.run(function=dumps(os.getpid), args=dumps(()), kwargs=dumps({}))
            return answer["result"]

    return asyncio.run(ask())


def dask_address(cluster: RunningCluster, protocol: str, port: int) -> str:
    return str(SchedulerAddress(host=cluster.address.host, port=port)).replace("tcp", protocol)


def test_whoever_has_the_file_runs_there(over_tls: RunningCluster) -> None:
    """What the next tests try is what would work."""
    inside = build_security(over_tls.address).get_connection_args("client")
    (_, port) = listening(over_tls.processes[1])[0]
    assert run_there(dask_address(over_tls, "tls", port), inside) == over_tls.processes[1].pid


@pytest.mark.parametrize("who", ["plain", "foreign", "the map's own server"])
def test_a_stranger_runs_nothing(
    who: str, over_tls: RunningCluster, members: tuple[Path, Path], tmp_path: Path
) -> None:
    """Over TCP; with a file of another cluster; with the certificate and key of this house's HTTPS."""
    connection: dict[str, object] = {}
    if who != "plain":
        file = (
            members[1] if who == "foreign" else issue_server_certificate(tmp_path / "tls", ["127.0.0.1"]).path
        )
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # strangers ask for no proof
        context.load_cert_chain(file)
        connection = {"ssl_context": context, "require_encryption": True}
    for _, port in ports(over_tls):
        with pytest.raises(OSError):
            run_there(dask_address(over_tls, "tcp" if who == "plain" else "tls", port), connection)


def test_who_shows_no_certificate_is_answered_nothing(over_tls: RunningCluster) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for host, port in ports(over_tls):
        with socket.create_connection((host, port), 20) as line, pytest.raises(ssl.SSLError) as refused:
            context.wrap_socket(line).recv(1)  # with TLS 1.3 the refusal comes with the first byte
        assert "CERTIFICATE_REQUIRED" in str(refused.value)


def test_the_file_is_made_by_one_command_and_kept_from_others(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "member.pem"
    issue_server_certificate(data / "tls", ["127.0.0.1"])

    def make(at: Path) -> dict[str, str]:
        words = ["worker", "--make-certificate", str(at), "--data", str(data), "--json"]
        result = CliRunner().invoke(flycam, words)
        answer: dict[str, str] = json.loads(result.stdout.splitlines()[-1])
        return answer

    first, written = make(file), file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (data / "cluster").stat().st_mode & 0o777 == 0o700
    assert (data / "cluster" / "authority.pem").stat().st_mode & 0o777 == 0o600
    assert first["authority"] != issue_server_certificate(data / "tls", ["127.0.0.1"]).fingerprint
    assert make(file) == first and file.read_bytes() == written, "again: nothing is made anew"
    assert make(tmp_path / "another.pem")["authority"] == first["authority"]
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"of a flight")
    assert make(photo)["exit_code"] == EXIT_USAGE and photo.read_bytes() == b"of a flight"
    for none in (photo, tmp_path / "nowhere.pem"):
        with pytest.raises(OptionUnusable):
            build_security(SchedulerAddress(host="127.0.0.1", port=1, certificate=none))
