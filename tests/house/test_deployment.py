"""What is handed to a province: the compose file, and what the installer asks apt for."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from flycam import cli

ROOT = Path(__file__).resolve().parents[2]
INSTALLER = ROOT / "tests" / "install-system.sh"

# compose-spec: the keys that this file may use, each with the types its value may have
SERVICE = {
    "build": (str, dict),
    "image": (str,),
    "command": (str, list),
    "environment": (dict, list),
    "volumes": (list,),
    "networks": (list,),
    "ports": (list,),
    "depends_on": (dict, list),
    "healthcheck": (dict,),
    "profiles": (list,),
    "restart": (str,),
}
HEALTH = {"test", "interval", "timeout", "retries", "start_period", "disable"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
RESTARTS = {"no", "always", "on-failure", "unless-stopped"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


def test_the_file_says_only_what_compose_knows(compose: dict[str, Any]) -> None:
    known = {"name", "services", "volumes", "networks", "configs", "secrets"}
    assert {key for key in compose if not key.startswith("x-")} <= known
    for name, service in compose["services"].items():
        assert set(service) <= set(SERVICE), name
        for key, value in service.items():
            assert isinstance(value, SERVICE[key]), f"{name}.{key}"
        assert ("image" in service) != ("build" in service), name
        assert set(service.get("healthcheck", {})) <= HEALTH, name
        assert service.get("restart", "no") in RESTARTS, name
        environment = service.get("environment", {})
        assert all(isinstance(value, str | int | float | bool) for value in environment.values()), name


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
            assert (ROOT / build / "Dockerfile").is_file(), name
    assert used == set(volumes)


def test_only_the_map_is_published(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["map"]


def test_the_store_and_the_database_are_reached_by_those_alone_who_work_with_them(
    compose: dict[str, Any],
) -> None:
    services, networks = compose["services"], compose["networks"]
    assert networks == {"objects": {"internal": True}, "records": {"internal": True}}
    members = {
        network: {name for name, service in services.items() if network in service["networks"]}
        for network in ("default", *networks)
    }
    assert members == {
        "default": {"map", "worker"},
        "objects": {"map", "worker", "store"},
        "records": {"map", "worker", "database"},
    }
    assert not any({"network_mode", "expose"} & set(service) for service in services.values())


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for value in re.findall(r"\$\{([^}]+)\}", text):
        assert re.fullmatch(r"[A-Z0-9_]+:\?set it in \.env", value), value


def test_every_flycam_command_in_the_file_is_one(compose: dict[str, Any]) -> None:
    seen = 0
    for service in compose["services"].values():
        words = shlex.split(service.get("command", ""))
        if words[:1] == ["flycam"]:
            command = cli.flycam.commands[words[1]]
            command.make_context(words[1], words[2:], parent=click.Context(cli.flycam))  # raises if not
            seen += 1
    assert seen == 2


def test_the_store_and_the_database_are_reached_where_they_are(compose: dict[str, Any]) -> None:
    environment = compose["services"]["map"]["environment"]
    assert "@database/flycam" in environment["FLYCAM_DATABASE"]
    assert "endpoint=http://store:8333" in environment["FLYCAM_STORE"]
    assert compose["services"]["database"]["environment"]["POSTGRES_DB"] == "flycam"
    assert "-bucket=flycam" in compose["services"]["store"]["command"]


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
