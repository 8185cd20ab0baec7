"""What every command that speaks to another house asks: whom to believe, and with which token."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from flycam.commands.house import FILE, SECRET
from flycam.console import language, say
from flycam.pipeline.trust import Trust, fingerprint_of, goes_unprotected
from flycam.settings import read_settings

TOKEN = "FLYCAM_TOKEN"  # noqa: S105  the name of a variable


def trusting(run: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command that speaks to a server over HTTPS, and of its token."""
    for option in (
        click.option("--fingerprint", help="SHA-256 that the server prints at its start: believe it alone."),
        click.option("--ca", type=FILE, help="File of authorities to believe (default: the system's)."),
        click.option("--token-file", type=SECRET, help=f"File with the access token (default: {TOKEN})."),
    ):
        run = option(run)
    return run


def trust_of(ca: Path | None, fingerprint: str | None) -> Trust:
    """Whom to believe: an option goes before FLYCAM_CA and FLYCAM_FINGERPRINT. Raises OptionUnusable."""
    if fingerprint is not None:
        return Trust(fingerprint=fingerprint_of(fingerprint, "--fingerprint"))
    return Trust(ca=ca) if ca is not None else read_settings(os.environ).trust


def token_for(url: str, token_file: Path | None) -> str | None:
    """The token to show; whoever sends it in the open is told once. Raises OptionUnusable."""
    from flycam.pipeline.upload.sending import read_token

    token = read_token(token_file) if token_file else os.environ.get(TOKEN, "").strip() or None
    if goes_unprotected(url, token):
        said = {
            "en": f"{url}: the token goes over this network for all to read; start that server with "
            "'flycam serve --tls' and write https://",
            "vi": f"{url}: mã truy cập đi qua mạng mà ai cũng đọc được; hãy chạy máy chủ bằng "
            "'flycam serve --tls' rồi ghi https://",
        }
        say(said[language()])
    return token
