"""Process that makes one briefing pack, its ZIP, and why one could not be made."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flycam.catalog.packs import Pack
from flycam.errors import StorageFailed
from flycam.messages import Message, _, pgettext
from flycam.outcomes import format_error
from flycam.pipeline.power import Power
from flycam.serve.command_process import run_command

PACK_FILE = pgettext("file name", "meeting-pack")
PACK_STOPPED = _("the server stopped before this meeting pack was made: ask for it again")
PACK_ENDED = _("the program that made the meeting pack ended without a word; ask again, or run 'flycam pack'")


@dataclass(frozen=True, slots=True)
class PackResult:
    """Hashes and classification of a written pack; "": none.

    flights_seen: all flights whose images it shows.
    """

    manifest_sha256: str = ""
    content_sha256: str = ""
    classification: str = ""
    flights_seen: tuple[str, ...] = ()


def make_pack(
    command: Sequence[str], pack: Pack, requested_by: str, out: Path, power: Power, stop: threading.Event
) -> PackResult | Message:
    """Write a pack into the folder `out`; return its result, or why it failed.

    A process of its own, ended once `stop` is set.
    """
    options = [*command, *_build_options(pack, requested_by, out), "--", *pack.flights]
    ran = run_command(options, pack.owner, power, stop)
    if ran.code != 0:
        return ran.describe_failure(PACK_ENDED)
    said = ran.json_answer
    return PackResult(
        manifest_sha256=str(said.get("manifest_sha256", "")),
        content_sha256=str(said.get("content_sha256", "")),
        classification=str(said.get("classification", "")),
        flights_seen=tuple(map(str, said.get("flights_seen", ()))),
    )


def _build_options(pack: Pack, requested_by: str, out: Path) -> list[str]:
    options = ["--out", str(out), "--language", pack.language, "--json", "--paper", pack.paper]
    options.append(f"--asked-by={requested_by}")
    if pack.approved_by:
        options += [f"--approved-by={pack.approved_by}", f"--of-draft={pack.content_sha256}"]
    if pack.account:
        options.append(f"--as={pack.account}")
    return options


def zip_folder(folder: Path, path: Path) -> None:
    """Write the folder as a ZIP, uncompressed, as its images are compressed already.

    Files dated 1970 are of 1980 in it, the first year that ZIP knows.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for one in sorted(folder.rglob("*")):
            archive.write(one, one.relative_to(folder.parent))


def describe_pack_failure(error: Exception) -> Message:
    """Describe the error that kept a pack from being made or stored."""
    if isinstance(error, StorageFailed):
        return format_error(error)
    if isinstance(error, OSError):
        return _(
            "the meeting pack could not be kept on the server ({reason}); make room there",
            reason=error.strerror,
        )
    return PACK_ENDED
