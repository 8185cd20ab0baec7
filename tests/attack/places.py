"""Two places with a network each, and one link between them: namespaces of the kernel, a veth pair shaped by
`tbf` at both ends. Delay and loss, for which this kernel has no queue, are a relay's in the field
(`python -m tests.lines`). And a place that is alone: no link, no route, its own loopback only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attack.commands import Operator

_PROVINCE, _FIELD, _MOVED = "10.77.0.1", "10.77.0.2", "10.77.0.3"
_NET = "/29"
_NAMES = Path("/etc/netns")
"""Where `ip netns exec` looks for what stands in a place's /etc."""


@dataclass(frozen=True)
class Link:
    """The link while it is there. field, province: names of the namespaces."""

    field: str
    province: str

    @property
    def address(self) -> str:
        """The province, as it is reached from the field."""
        return _PROVINCE

    @property
    def name(self) -> str:
        """The province by name; what it stands for is looked up in the field."""
        return "yenbai.example"

    def move(self) -> None:
        """Give the province another address, under the name that it has, and take the first away."""
        _ip("-n", self.province, "addr", "del", f"{_PROVINCE}{_NET}", "dev", "up0")
        _ip("-n", self.province, "addr", "add", f"{_MOVED}{_NET}", "dev", "up0")
        self.call(_MOVED)

    def call(self, address: str) -> None:
        """What the name stands for. Written in place: programs that run see this file."""
        _NAMES.joinpath(self.field, "hosts").write_text(f"127.0.0.1 localhost\n{address} {self.name}\n")

    def cut(self) -> None:
        """Take the field's end down, as where a mast has no power: no connection is told."""
        _ip("-n", self.field, "link", "set", "up0", "down")

    def restore(self) -> None:
        """Bring it up again."""
        _ip("-n", self.field, "link", "set", "up0", "up")

    def start(self, place: str, operator: Operator, *arguments: object) -> subprocess.Popen[str]:
        """A command of flycam in one of the places."""
        return start_in(place, operator, "flycam", *arguments, "--json")

    def relay(self, operator: Operator, port: int, round_trip_s: float, loss: float) -> subprocess.Popen[str]:
        """A relay in the field on this port of its loopback, to the same port at the province."""
        return start_in(self.field, operator, "tests.lines", port, f"{_PROVINCE}:{port}", round_trip_s, loss)


def start_in(place: str, operator: Operator, module: str, *words: object) -> subprocess.Popen[str]:
    """A module of Python as a program in a place, with an operator's settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FLYCAM_")}
    return subprocess.Popen(
        ["ip", "netns", "exec", place, sys.executable, "-m", module, *map(str, words)],
        env={**clean, "FLYCAM_DATA": str(operator.data), **operator.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def alone() -> Iterator[str]:
    """The name of a place with its own loopback and nothing else. Skipped where none can be made."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces are made by root, with ip")
    name = f"alone-{uuid.uuid4().hex[:6]}"
    if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
        pytest.skip("this kernel makes no network namespaces here")
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        _ip("netns", "del", name)


@contextmanager
def two_places(rate: str) -> Iterator[Link]:
    """A field and a province, `rate` (as `tc` has it, "64kbit") each way. Skipped where none can be made."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tc"):
        pytest.skip("network namespaces are made by root, with ip and tc")
    mark = uuid.uuid4().hex[:6]
    link = Link(f"field-{mark}", f"province-{mark}")
    made = []
    try:
        for name in (link.field, link.province):
            if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
                pytest.skip("this kernel makes no network namespaces here")
            made.append(name)
        _NAMES.joinpath(link.field).mkdir(parents=True)
        link.call(_PROVINCE)
        _ip(
            "-n",
            link.field,
            "link",
            "add",
            "up0",
            "type",
            "veth",
            "peer",
            "name",
            "up0",
            "netns",
            link.province,
        )
        for name, address in ((link.field, _FIELD), (link.province, _PROVINCE)):
            _ip("-n", name, "addr", "add", f"{address}{_NET}", "dev", "up0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "up0", "up")
            shaped = ["qdisc", "add", "dev", "up0", "root", "tbf", "rate", rate, "burst", "4kb"]
            subprocess.run(["tc", "-n", name, *shaped, "latency", "2s"], check=True)
        yield link
    finally:
        shutil.rmtree(_NAMES / link.field, ignore_errors=True)
        for name in made:
            _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
