"""Options of every command that speaks to another node: trust and token."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from flycam.commands.workspace import FILE_PATH, SECRET_FILE
from flycam.console import get_terminal_language, print_line
from flycam.pipeline.server_trust import ServerTrust, is_token_exposed, parse_fingerprint
from flycam.settings import read_settings

TOKEN_VARIABLE = "FLYCAM_TOKEN"  # noqa: S105  the name of a variable


def add_tls_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that speaks to a server over HTTPS.

    One of them is its token.
    """
    for option in (
        click.option("--fingerprint", help="SHA-256 that the server prints at its start: believe it alone."),
        click.option("--ca", type=FILE_PATH, help="File of authorities to believe (default: the system's)."),
        click.option(
            "--token-file", type=SECRET_FILE, help=f"File with the access token (default: {TOKEN_VARIABLE})."
        ),
    ):
        run = option(run)
    return run


def parse_trust(ca: Path | None, fingerprint: str | None) -> ServerTrust:
    """Return the trusted certificates.

    Options take precedence over FLYCAM_CA and FLYCAM_FINGERPRINT. Raises OptionUnusable.
    """
    if fingerprint is not None:
        return ServerTrust(fingerprint=parse_fingerprint(fingerprint, "--fingerprint"))
    return ServerTrust(ca=ca) if ca is not None else read_settings(os.environ).trust


def read_token_option(url: str, token_file: Path | None) -> str | None:
    """Return the token to send; warn once if it goes unencrypted.

    Raises OptionUnusable.
    """
    from flycam.pipeline.upload.upload_client import read_token

    token = read_token(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "").strip() or None
    if is_token_exposed(url, token):
        said = {
            "en": f"{url}: the token goes over this network for all to read; start that server with "
            "'flycam serve --tls' and write https://",
            "vi": f"{url}: mã truy cập đi qua mạng mà ai cũng đọc được; hãy chạy máy chủ bằng "
            "'flycam serve --tls' rồi ghi https://",
        }
        print_line(said[get_terminal_language()])
    return token
