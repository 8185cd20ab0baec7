"""What docker-compose.yml starts, started here: its commands, environment and health check, no containers."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import yaml
from minio import Minio

from flycam.storage import keys
from tests.ports import free_port
from tests.servers import GUARDED_PASSWORD, S3Server, gateway_of, s3_server_of
from tests.waiting import ENOUGH_S, until

pytestmark = [pytest.mark.s3, pytest.mark.postgres]

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
SECRETS = {
    "FLYCAM_BOX": "province",
    "POSTGRES_PASSWORD": GUARDED_PASSWORD,
    "S3_ACCESS_KEY": "",
    "S3_SECRET_KEY": "",
}
_GATEWAYS = {"-filer", "-ip.bind", "-port"}
_OURS = {"-dir", "-ip", "-ip.bind", "-bucket", "-master.telemetry", "-s3.autoCreateBucket", "-webdav"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return document["services"]


@pytest.fixture(scope="module")
def store(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The store by the file's own words; its folder and its addresses are this machine's."""
    log, program, *flags = shlex.split(services["store"]["command"])
    assert (log, program) == ("-logtostderr=true", "mini"), "/tmp is memory"
    assert {flag.partition("=")[0] for flag in flags} == _OURS
    folder = tmp_path_factory.mktemp("store")
    here = {"-dir": str(folder), "-ip": "127.0.0.1", "-ip.bind": "127.0.0.1"}
    names = [flag.partition("=") for flag in flags]
    yield from s3_server_of([f"{name}={here.get(name, value)}" for name, _, value in names], folder)


@pytest.fixture(scope="module")
def gateway(
    services: dict[str, Any], store: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[S3Server, psutil.Process]]:
    """The gateway by the file's own words; its addresses are this machine's."""
    program, *flags = shlex.split(services["gateway"]["command"])
    assert program == "s3" and {flag.partition("=")[0] for flag in flags} >= _GATEWAYS
    kept = [flag for flag in flags if flag.partition("=")[0] not in _GATEWAYS]
    yield from gateway_of(store, kept, tmp_path_factory.mktemp("gateway"))


@dataclass(frozen=True)
class Province:
    """The map as it runs: its environment, port and process."""

    environment: dict[str, str]
    port: int
    process: psutil.Popen
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def work(self, *words: str) -> dict[str, Any]:
        """What a worker's command answers, which is a process of its own in the same environment."""
        command = [sys.executable, "-m", "flycam", *words, "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


@pytest.fixture(scope="module")
def province(
    services: dict[str, Any],
    gateway: tuple[S3Server, psutil.Process],
    postgres_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Province]:
    store, _ = gateway
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        for name in ("province", "restored"):  # as POSTGRES_DB does; PostGIS is flycam's own to ask for
            connection.execute(f"CREATE DATABASE {name}")
    data, port = tmp_path_factory.mktemp("province"), free_port()
    secrets = {**SECRETS, "S3_ACCESS_KEY": store.access_key, "S3_SECRET_KEY": store.secret_key}
    database = postgres_server.rpartition("@")[2]
    inside = {
        "@database/flycam": f"@{database}/province",
        "http://gateway:8333": store.endpoint,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLYCAM_")}
    for name, value in services["map"]["environment"].items():
        said = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: secrets[found[1]], value or "")
        for there, here in inside.items():
            said = said.replace(there, here)
        environment[name] = said
    environment["FLYCAM_DATA"] = str(data)
    words = shlex.split(services["map"]["command"].replace("8000", str(port)))
    assert words[0] == "flycam"
    with (data / "server.log").open("wb") as log:
        process = psutil.Popen([sys.executable, "-m", *words], env=environment, stdout=log, stderr=log)
        try:
            yield Province(environment, port, process, data / "server.log")
        finally:
            process.terminate()
            process.wait(ENOUGH_S)


def test_the_map_is_healthy_and_its_worker_writes_what_it_serves(
    services: dict[str, Any],
    province: Province,
    gateway: tuple[S3Server, psutil.Process],
    tmp_path: Path,
) -> None:
    store, _ = gateway
    kind, *check = services["map"]["healthcheck"]["test"]
    assert kind == "CMD" and check[0] == "python"
    asked = [one.replace("8000", str(province.port)) for one in check[1:]]
    until(
        lambda: (
            subprocess.run([sys.executable, *asked], check=False, capture_output=True).returncode == 0
            or province.process.poll() is not None
        ),
        within_s=300.0,
    )
    assert province.process.poll() is None
    assert services["map"]["ports"] == ["8000:8000"], "what is bound there is what is published"
    assert httpx.get(f"{province.address}/api/session").status_code == 401, (
        "open to nobody before an account is"
    )
    printed = re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b", province.log.read_text(encoding="utf-8"))
    assert printed, "the server says by which code somebody comes in"
    code = province.work("account", "code")["code"]
    older = httpx.post(f"{province.address}/api/setup", json={"code": printed[0], "name": "Lan"})
    assert older.status_code == 403, "a worker's code took its place"
    made = httpx.post(f"{province.address}/api/setup", json={"code": code, "name": "Lan"})
    token = made.raise_for_status().json()["token"]
    area = tmp_path / "area.geojson"
    ring = [[104.0, 22.0], [104.1, 22.0], [104.1, 22.1], [104.0, 22.0]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
    added = province.work("restricted", "add", str(area))
    by = {"Authorization": f"Bearer {token}"}
    until(lambda: httpx.get(f"{province.address}/api/session", headers=by).status_code == 200)
    (told,) = httpx.get(f"{province.address}/api/restricted", headers=by).json()
    assert told["area_id"] == added["area_id"]
    client = Minio(
        store.endpoint.removeprefix("http://"), store.access_key, store.secret_key, secure=False, region="x"
    )
    kept = client.stat_object(store.bucket, f"main/{keys.format_original_key(added['sha256'])}")
    assert kept.size == area.stat().st_size, "the bytes lie in the store"
    secret = services["map"]["environment"]["PGPASSWORD"]
    assert (
        secret.startswith("${POSTGRES_PASSWORD:") and province.environment["PGPASSWORD"] == GUARDED_PASSWORD
    )
    saved = province.work("backup", str(tmp_path / "backup"))
    elsewhere = {
        "FLYCAM_DATABASE": province.environment["FLYCAM_DATABASE"].replace("/province", "/restored"),
        "FLYCAM_STORE": (tmp_path / "store").as_uri(),
        "FLYCAM_DATA": str(tmp_path / "data"),
    }
    restored = replace(province, environment={**province.environment, **elsewhere})
    assert restored.work("restore", saved["path"])["objects"] == saved["objects"]
    assert GUARDED_PASSWORD not in province.log.read_text(encoding="utf-8")
    # one audit log, signed by one key, holds what both processes did
    httpx.post(f"{province.address}/api/guests", headers=by, json={"hours": 1}).raise_for_status()
    proven = province.work("audit", "verify")
    assert proven["whole"] and [one["key"] for one in proven["signed_by"]] == [proven["key"]]


def test_beside_s3_the_gateway_opens_no_port_but_its_own_kinds(
    gateway: tuple[S3Server, psutil.Process], store: S3Server
) -> None:
    """What of the store the map's network reaches: neither filer nor master, volumes, administration."""
    server, process = gateway
    listening = {one.laddr.port for one in process.net_connections("inet") if one.status == "LISTEN"}
    assert int(server.endpoint.rpartition(":")[2]) in listening
    assert len(listening) == 2, "S3, and the port at which gateways hear of each other"
    for path in ("/", "/dir/status", "/buckets/", f"/{server.bucket}?metadata=true"):
        answer = httpx.get(f"{server.endpoint}{path}", timeout=90)
        assert answer.status_code == 403, path
    filer, _, _ = store.filer.rpartition(".")
    assert httpx.get(f"http://{filer}/", timeout=90).status_code == 200, "which asks nobody who he is"


def test_the_store_gives_nothing_to_whoever_has_no_key(gateway: tuple[S3Server, psutil.Process]) -> None:
    store, _ = gateway
    for path in ("/", f"/{store.bucket}", f"/{store.bucket}/evidence"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{store.endpoint}{path}", timeout=90)
        assert refused.value.code == 403
