"""What a thief finds on a box: its own token, and nothing that opens the province."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from flycam.catalog.access import hash_token
from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.exchanges import common
from tests.attack.uploading import serving

_LEAST = 16
"""Bytes: less of a file is no key."""


def files_of(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def test_no_credential_of_the_province_is_on_a_box_after_a_set_up_and_a_sync(
    drill: DrillReport, tmp_path: Path
) -> None:
    province = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    tokens = {
        name: str(province("user", "add", name, "--role", role).json["token"])
        for name, role in (("chi huy", "admin"), ("to bay", "operator"), ("tram 1", "box"), ("tram 2", "box"))
    }
    field = Operator(tmp_path / "field", {"FLYCAM_BOX": "field"}).with_flight(drill)
    field = Operator(field.data, {**field.environment, "FLYCAM_TOKEN": tokens["tram 1"]})
    own = str(field("user", "add", "to bay", "--role", "operator").json["token"])
    with serving(province) as server:
        synced = field("sync", server.url, "--once")
        assert synced.exit_code == 0, synced.stderr
        assert (synced.json["left"], synced.json["left_there"]) == (0, 0)
    assert common(field) == common(province), "the way back was gone too"
    secrets = {f"token of {name}": token.encode() for name, token in tokens.items()}
    secrets |= {f"hash of {name}": hash_token(token).encode() for name, token in tokens.items()}
    keys = {path.name: data for path, data in files_of(province.data) if path.suffix == ".key"}
    assert {"session.key", "audit.key"} <= keys.keys(), keys.keys()
    seed = str(json.loads(keys.pop("audit.key"))["seed"])
    secrets |= {"seed that signs the audit log": seed.encode(), "the same in bytes": bytes.fromhex(seed)}
    secrets |= {name: data.strip() for name, data in keys.items() if len(data.strip()) >= _LEAST}
    assert len(secrets) >= 10
    on_box = list(files_of(field.data))
    assert len(on_box) > 30 and any(hash_token(own).encode() in data for _, data in on_box), "it is found"
    found = [(name, path.name) for path, data in on_box for name, secret in secrets.items() if secret in data]
    assert found == [], "not even the token that it came in by: that is in its environment"
