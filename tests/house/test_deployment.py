"""What is handed to a province: the compose file, and what the installer asks apt for."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from flycam import cli
from flycam.config import read_settings
from tests.certificates import self_signed, showing

ROOT = Path(__file__).resolve().parents[2]
INSTALLER = ROOT / "tests" / "install-system.sh"

CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
RESTARTS = {"no", "always", "on-failure", "unless-stopped"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


def against_the_schema(file: Path) -> subprocess.CompletedProcess[str]:
    """By the schema that compose itself publishes, merge keys resolved."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_file_holds_by_the_schema_of_compose(compose: dict[str, Any]) -> None:
    done = against_the_schema(ROOT / "docker-compose.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, service in compose["services"].items():  # what the schema leaves open
        assert ("image" in service) != ("build" in service), name
        assert service.get("restart", "no") in RESTARTS, name


def test_what_is_named_is_there(compose: dict[str, Any]) -> None:
    services, volumes = compose["services"], compose["volumes"]
    used = set()
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            assert target.startswith("/") and mode in ([], ["ro"], ["rw"]), f"{name}: {mount}"
            if not source.startswith((".", "/")):
                assert source in volumes, f"{name}: {mount}"
                used.add(source)
        for other, how in service.get("depends_on", {}).items():
            assert other in services and how["condition"] in CONDITIONS, f"{name} on {other}"
            assert how["condition"] != "service_healthy" or "test" in services[other]["healthcheck"], name
        for port in service.get("ports", []):
            assert re.fullmatch(r"(\d+\.\d+\.\d+\.\d+:)?\d{1,5}:\d{1,5}", port), f"{name}: {port}"
        build = service.get("build")
        if build is not None:
            assert (ROOT / build["context"] / "Dockerfile").is_file(), name
    assert used == set(volumes)


def test_only_the_map_is_published(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["map"]


def test_a_house_keeps_its_name_when_its_containers_are_made_anew(compose: dict[str, Any]) -> None:
    """A container's own name is another each time, and other boxes would take it for another house."""
    ours = [one for one in compose["services"].values() if "FLYCAM_STORE" in one["environment"]]
    assert len(ours) == 3
    assert {one["environment"]["FLYCAM_BOX"] for one in ours} == {"${FLYCAM_BOX:?set it in .env}"}


def test_the_map_says_that_it_is_well_over_https_too(compose: dict[str, Any], tmp_path: Path) -> None:
    """By its own authority or the province's certificate: neither is believed by the container itself."""
    environment = compose["services"]["map"]["environment"]
    assert (environment["FLYCAM_TLS"], environment["FLYCAM_TLS_NAMES"]) == (None, None), "as .env says"
    kind, program, *asked = compose["services"]["map"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    certificate, key, _ = self_signed(tmp_path)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FLYCAM_")}
    with showing(certificate, key) as (address, heard):
        port = address.rpartition(":")[2]
        check = [sys.executable, *(one.replace("8000", port) for one in asked)]
        for said in ({"FLYCAM_TLS": "on"}, {"FLYCAM_TLS_CERTIFICATE": "/certificates/map.crt"}):
            assert subprocess.run(check, env={**plain, **said}, check=False).returncode == 0
        assert [path for path, _ in heard] == ["/healthz", "/healthz"]
        for said in ({}, {"FLYCAM_TLS": ""}, {"FLYCAM_TLS": "off"}):
            done = subprocess.run(check, env={**plain, **said}, check=False, capture_output=True)
            assert done.returncode != 0, "it would have asked in clear"


def test_the_store_and_the_database_are_reached_by_those_alone_who_work_with_them(
    compose: dict[str, Any],
) -> None:
    services, networks = compose["services"], compose["networks"]
    names = ("volumes", "objects", "records", "workers")
    assert networks == {name: {"internal": True} for name in names}
    members = {
        network: {name for name, service in services.items() if network in service["networks"]}
        for network in ("default", *networks)
    }
    assert members == {
        "default": {"map", "worker"},
        "volumes": {"store", "gateway"},
        "objects": {"map", "worker", "cluster-worker", "gateway"},
        "records": {"map", "worker", "cluster-worker", "database"},
        "workers": {"worker", "cluster-certificate", "scheduler", "cluster-worker"},
    }
    assert not any({"network_mode", "expose"} & set(service) for service in services.values())


def test_the_cluster_speaks_tls_and_its_authority_stays_where_it_is_made(compose: dict[str, Any]) -> None:
    services = compose["services"]
    _, _, option, file = services["cluster-certificate"]["command"].split()
    assert option == "--make-certificate"
    kept = {
        name: {one.split(":")[1] for one in service.get("volumes", [])} for name, service in services.items()
    }
    assert kept["cluster-certificate"] == {"/data", "/cluster"}
    for name in ("scheduler", "cluster-worker"):
        settings = read_settings({key: value or "" for key, value in services[name]["environment"].items()})
        assert settings.cluster is not None and settings.cluster.protocol == "tls"
        assert str(settings.cluster.certificate) == file
        assert "/data" not in kept[name] and "cluster:/cluster:ro" in services[name]["volumes"]
        done = services[name]["depends_on"]["cluster-certificate"]["condition"]
        assert done == "service_completed_successfully"
    assert services["worker"]["environment"]["FLYCAM_CLUSTER_CERTIFICATE"] == file
    secrets = {"PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "FLYCAM_DATABASE", "FLYCAM_STORE"}
    for name in ("scheduler", "cluster-certificate"):
        assert not secrets & set(services[name]["environment"]), name


def test_every_container_writes_into_its_volumes_alone_and_has_no_privileges(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"] and "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service and "/tmp:mode=1777" in service["tmpfs"], name
        assert service.get("user") not in ("root", "0"), name
        assert "build" in service or "user" in service, f"{name}: as whoever its image would have it"
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    users = re.findall(r"^USER (\S+)$", dockerfile.rpartition("\nFROM ")[2], re.MULTILINE)
    assert users == ["flycam"]
    (made,) = re.findall(r"chown flycam (.+)$", dockerfile, re.MULTILINE)
    ours = [one for one in compose["services"].values() if "build" in one]
    written = {mount.split(":")[1] for one in ours for mount in one["volumes"] if mount.count(":") == 1}
    assert written <= set(made.split()), "a new volume takes its owner from the image"


def test_no_container_is_given_anything_of_its_host_or_lets_in_without_a_password(
    compose: dict[str, Any],
) -> None:
    shared = {"cgroup", "cgroup_parent", "device_cgroup_rules", "devices", "ipc", "pid", "userns_mode", "uts"}
    elsewhere = {"configs", "env_file", "extends", "secrets", "volumes_from"}
    for name, service in compose["services"].items():
        assert not (shared | elsewhere) & set(service), name
        ours = [one for one in service.get("volumes", []) if one.startswith((".", "/", "~"))]
        assert ours == (["./incoming:/incoming:ro"] if name == "worker" else []), name
        assert "POSTGRES_HOST_AUTH_METHOD" not in service["environment"], name


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for value in re.findall(r"\$\{((?!\w+_IMAGE:)[^}]+)\}", text):
        assert re.fullmatch(r"[A-Z0-9_]+:\?set it in \.env", value), value


def test_every_flycam_command_in_the_file_is_one(compose: dict[str, Any]) -> None:
    seen = 0
    for service in compose["services"].values():
        words = shlex.split(service.get("command", ""))
        if words[:1] == ["flycam"]:
            command = cli.flycam.commands[words[1]]
            command.make_context(words[1], words[2:], parent=click.Context(cli.flycam))  # raises if not
            seen += 1
    assert seen == 5


@pytest.mark.soak
@pytest.mark.parametrize(
    ("what", "packages"),
    [
        ("tests", {"chromium", "postgresql", "fonts-dejavu-core"}),
        ("python", {"python3", "python3-venv"}),
    ],
)
def test_apt_knows_every_package_the_installer_asks_for(what: str, packages: set[str]) -> None:
    """On a machine on which nothing is installed (an empty dpkg status), without installing anything."""
    if shutil.which("apt-get") is None or not shutil.which("apt-cache"):
        pytest.skip("no apt here")
    known = subprocess.run(["apt-cache", "policy", *packages], capture_output=True, text=True, check=True)
    if "Candidate: (none)" in known.stdout or not known.stdout:
        pytest.skip("apt's package lists are not on this machine: apt-get update fetches them")
    done = subprocess.run(
        ["/bin/sh", str(INSTALLER), what, "--simulate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    asked = set(done.stdout.splitlines()[0].split())
    installed = set(re.findall(r"^Inst (\S+)", done.stdout, re.MULTILINE))
    assert packages <= asked <= installed
    if what == "tests":
        assert any(re.fullmatch(r"postgresql-\d+-postgis-3", package) for package in asked)
