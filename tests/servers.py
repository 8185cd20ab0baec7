"""Real servers for the tests: SeaweedFS for S3, PostgreSQL with PostGIS.

Each runs once a session in a folder of its own, listens on 127.0.0.1 only, and is ended by its own process
number; if the test run is killed, the kernel ends it. Where a server is not installed the tests that
need it are skipped, except in CI, where they fail.
"""

from __future__ import annotations

import ctypes
import io
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import urllib3
from minio import Minio
from minio.error import MinioException
from psycopg import sql

from tests.ports import free_port
from tests.waiting import START_S, until

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_BUCKET = "flycam"
GUARDED_PASSWORD = "p@ss/w#rd:%41?&=+ 'é\\\""
"""Of the account `flycam`, the one that needs a password: what an address would take wrongly."""


@dataclass(frozen=True)
class S3Server:
    """A running S3 server; filer: where another gateway of its own kind finds what it keeps."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    filer: str = ""

    def url(self, prefix: str) -> str:
        """What FLYCAM_STORE holds."""
        return f"s3://{self.bucket}/{prefix}?endpoint={self.endpoint}"

    def environment(self) -> dict[str, str]:
        """The credentials as a process expects them."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


class SeaweedServer:
    """A SeaweedFS server that runs; s3: how it is reached. Stopped and started by the main thread alone, as
    PostgresServer."""

    def __init__(self, flags: list[str], folder: Path) -> None:
        """flags: more of them, each in place of the one of its name."""
        weed = _program("weed", Path(sys.executable).parent)
        port, filer, filer_grpc = (free_port() for _ in range(3))
        self.s3 = S3Server(
            f"http://127.0.0.1:{port}",
            "flycam-tests",
            uuid.uuid4().hex,
            _BUCKET,
            filer=f"127.0.0.1:{filer}.{filer_grpc}",
        )
        self._folder = folder
        self._command = [*_weed_command(weed, folder, self.s3), *flags]
        self._process = _start(self._command, folder, self.s3.environment())

    def wait(self) -> None:
        """Until it answers and takes an object."""
        _wait(self._process, self._folder, lambda: _bucket_answers(self.s3))

    def crash(self) -> None:
        """At once; an orderly end takes it seconds."""
        _end(self._process, signal.SIGKILL)

    def start(self) -> None:
        """Again, after `crash`, with what it kept."""
        self._process = _start(self._command, self._folder, self.s3.environment())
        self.wait()


@pytest.fixture(scope="session")
def s3_server(seaweed_server: SeaweedServer) -> S3Server:
    """How a SeaweedFS server with one bucket is reached."""
    return seaweed_server.s3


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """The server itself. Who ends it starts it again."""
    yield from _run_seaweed([], tmp_path_factory.mktemp("seaweedfs"))


def s3_server_of(flags: list[str], folder: Path) -> Iterator[S3Server]:
    """One of its own with more flags, each in place of the one of its name; for as long as it is asked."""
    for server in _run_seaweed(flags, folder):
        yield server.s3


def _run_seaweed(flags: list[str], folder: Path) -> Iterator[SeaweedServer]:
    server = SeaweedServer(flags, folder)
    try:
        server.wait()
        yield server
    finally:
        server.crash()  # its data go with its folder


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """FLYCAM_STORE with a prefix of this test's own; the credentials are in the environment."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server.url(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users may enter; pytest's own folders are closed to them."""
    with tempfile.TemporaryDirectory(prefix="flycam-tests-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


class PostgresServer:
    """A cluster that runs; address: without a database. Stopped and started by the main thread alone: it dies
    with the thread that started it."""

    def __init__(self, command: list[str], folder: Path, user: str, address: str) -> None:
        self._command, self._folder, self._user, self.address = command, folder, user, address
        self._process = _start(command, folder, {}, user=user)

    def wait(self) -> None:
        """Until it answers."""
        _wait(self._process, self._folder, lambda: _postgres_answers(self.address))

    def crash(self) -> None:
        """At once, without a checkpoint."""
        _end(self._process, signal.SIGQUIT)

    def start(self) -> None:
        """Again, after `crash`; it recovers."""
        self._process = _start(self._command, self._folder, {}, user=self._user)
        self.wait()


@pytest.fixture(scope="session")
def postgres_server(postgres_cluster: PostgresServer) -> str:
    """Address (without a database) of a PostgreSQL cluster whose database `flycam` has PostGIS."""
    return postgres_cluster.address


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresServer]:
    """The cluster itself. Who ends it starts it again."""
    initdb = _program("initdb", *_postgres_folders())
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="flycam-tests-") as name:
        folder = Path(name)
        shutil.chown(folder, user)
        yield from _run_postgres(initdb, folder, user)


def _run_postgres(initdb: Path, folder: Path, user: str) -> Iterator[PostgresServer]:
    data = folder / "data"
    made = subprocess.run(
        [initdb, "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **_identity(user),
    )
    assert made.returncode == 0, made.stdout + made.stderr
    rules = data / "pg_hba.conf"
    rules.write_text(f"host all flycam 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    port = free_port()
    command = [str(initdb.with_name("postgres")), "-D", str(data), "-p", str(port), "-k", str(folder)]
    # what is tested is what PostgreSQL promises, not whether this cluster survives a power cut
    settings = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200"}
    command += [f"--{name}={value}" for name, value in settings.items()]
    address = f"postgresql://postgres@127.0.0.1:{port}"
    server = PostgresServer(command, folder, user, address)
    try:
        server.wait()
        with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE flycam")
            password = sql.Literal(GUARDED_PASSWORD)
            connection.execute(sql.SQL("CREATE ROLE flycam SUPERUSER LOGIN PASSWORD {}").format(password))
        with psycopg.connect(f"{address}/flycam", autocommit=True) as connection:
            connection.execute("CREATE EXTENSION postgis")
        yield server
    finally:
        server.crash()  # the data go with the folder


@pytest.fixture
def new_schema(postgres_server: str) -> Callable[[], str]:
    """Makes FLYCAM_DATABASEs: each an empty schema of its own, in a database with PostGIS."""

    def make() -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(f"{postgres_server}/flycam", autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        address = postgres_server.replace("postgresql:", "postgresql+psycopg:")
        return f"{address}/flycam?options=-csearch_path%3D{name}%2Cpublic"

    return make


@pytest.fixture
def postgres_url(new_schema: Callable[[], str]) -> str:
    """One of this test's own."""
    return new_schema()


def gateway_of(store: S3Server, flags: list[str], folder: Path) -> Iterator[tuple[S3Server, psutil.Process]]:
    """An S3 gateway to what a store keeps, of its own, and its process; for as long as it is asked."""
    weed = _program("weed", Path(sys.executable).parent)
    port, grpc = free_port(), free_port()
    here = [f"-filer={store.filer}", "-ip.bind=127.0.0.1", f"-port={port}", f"-port.grpc={grpc}"]
    gateway = replace(store, endpoint=f"http://127.0.0.1:{port}")
    process = _start([str(weed), "s3", *flags, *here], folder, store.environment())
    try:
        _wait(process, folder, lambda: _bucket_answers(gateway))
        yield gateway, psutil.Process(process.pid)
    finally:
        _end(process, signal.SIGKILL)


def _weed_command(weed: Path, folder: Path, server: S3Server) -> list[str]:
    kinds = ("master", "volume")
    ports = iter(free_port() for _ in range(2 * len(kinds) + 3))
    filer, _, filer_grpc = server.filer.rpartition(":")[2].partition(".")
    flags = [f"-{kind}.port={next(ports)}" for kind in kinds]
    flags += [f"-{kind}.port.grpc={next(ports)}" for kind in (*kinds, "s3")]
    flags += [f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"]
    return [
        str(weed),
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={server.endpoint.rpartition(':')[2]}",
        f"-filer.localSocket={folder}/filer.sock",
        *flags,
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        f"-admin.port={next(ports)}",
        f"-admin.port.grpc={next(ports)}",
        "-admin.ui=false",
        "-s3.autoCreateBucket=false",
        "-s3.iam=false",
        "-master.telemetry=false",
        f"-bucket={server.bucket}",
    ]


def _program(name: str, *folders: Path) -> Path:
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        message = f"{name} is not installed: `make test` installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)


def _postgres_folders() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _identity(user: str) -> dict[str, Any]:
    """Arguments of a child process that must not be root."""
    if os.geteuid() != 0:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _start(
    command: list[str], folder: Path, environment: dict[str, str], user: str | None = None
) -> subprocess.Popen[bytes]:
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **(_identity(user) if user else {}),
            preexec_fn=_die_with_parent,  # noqa: PLW1509 -- fixtures start servers before any thread
        )


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], folder: Path, ready: Callable[[], bool]) -> None:
    until(ready, (folder / "server.log").read_text, within_s=START_S, every_s=0.1, of=process)


def _bucket_answers(server: S3Server) -> bool:
    client = Minio(
        server.endpoint.removeprefix("http://"),
        access_key=server.access_key,
        secret_key=server.secret_key,
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(retries=False, timeout=2),
    )
    try:
        if not client.bucket_exists(server.bucket):
            return False
        # the gateway answers before there is a volume to write to
        client.put_object(server.bucket, "ready", io.BytesIO(b"1"), 1)
        client.remove_object(server.bucket, "ready")
    except (urllib3.exceptions.HTTPError, MinioException):
        return False
    return True


def _postgres_answers(address: str) -> bool:
    try:
        psycopg.connect(f"{address}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
