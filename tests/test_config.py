"""`config`."""

from __future__ import annotations

import pytest

from flycam.config import is_loopback, read_settings
from flycam.errors import OptionUnusable


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "::1%lo",
        "::ffff:127.0.0.1",
        "::ffff:7f08:90a",
        "localhost",
        "LocalHost",
    ],
)
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",
        "::",
        "10.0.0.5",
        "128.0.0.1",
        "fe80::1",
        "fe80::1%lo",
        "::ffff:10.0.0.5",
        "::ffff:0:0",
        "::127.0.0.1",
        "127.0.0.1%lo",
        "localhost.",
        "[::1]",
        "127.1",
        "localhost.example",
        "evil.localhost",
    ],
)
def test_others_are_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("setting", "value", "extra"),
    [
        ("FLYCAM_DATABASE", "postgresql+psycopg://host/name", "postgres"),
        ("FLYCAM_OIDC_ISSUER", "https://id.example", "oidc"),
        ("FLYCAM_CLUSTER", "tcp://127.0.0.1:8786", "cluster"),
    ],
)
def test_a_setting_whose_extra_is_missing_names_it(
    setting: str, value: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flycam.config.find_spec", lambda _module: None)
    with pytest.raises(OptionUnusable) as refused:
        read_settings({setting: value})
    assert refused.value.message.values == {"setting": setting, "extra": extra}
    assert read_settings({"FLYCAM_DATABASE": "sqlite:///catalog.sqlite"}).database_url.startswith("sqlite")
