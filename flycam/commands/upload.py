"""Upload of a memory card to a server: `upload`, and the server's own worker, `upload-work`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.commands.tls_options import add_tls_options, parse_trust, read_token_option
from flycam.commands.workspace import FILE_PATH, CommandOutput, open_workspace
from flycam.console import (
    Answer,
    PartialFailure,
    ProgressBar,
    get_terminal_language,
    print_line,
    wrap_command,
)
from flycam.errors import FlycamError, StorageFailed
from flycam.messages import Message, _

if TYPE_CHECKING:
    from flycam.pipeline.workspace import Workspace

UPLOADS_FOLDER = "uploads"


@click.command()
@click.argument("url")
@click.argument("paths", nargs=-1, required=True, type=FILE_PATH)
@click.option("--name", help="Label of the flight (default: the folder's name).")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--telemetry", type=FILE_PATH, help="Flight log, or poses, of these photos.")
@add_tls_options
@click.option(
    "--patience", "patience_s", type=float, default=3600.0, help="Give up after so long without a line, s."
)
@wrap_command
def upload_command(
    *,
    data_dir: str | None,
    url: str,
    paths: tuple[Path, ...],
    name: str | None,
    event: str | None,
    telemetry: Path | None,
    token_file: Path | None,
    ca: Path | None,
    fingerprint: str | None,
    patience_s: float,
) -> CommandOutput:
    """Photos, films and flight logs to a server over any line. Cut off, the same command goes on.

    Exit code 6: sent, but for files that are on the card alone.
    """
    from flycam.answers.upload import build_left_on_card_error, format_upload, format_upload_preview_lines
    from flycam.pipeline.upload.memory_card import UploadRequest
    from flycam.pipeline.upload.upload_client import send_card

    del data_dir  # an upload keeps nothing on this side
    sending = UploadRequest(
        url=url,
        paths=paths,
        token=read_token_option(url, token_file),
        name=name,
        event=event,
        telemetry=telemetry,
        retry_timeout_s=patience_s,
        language=get_terminal_language(),
        trust=parse_trust(ca, fingerprint),
    )

    def tell(look: Answer) -> None:
        for said in format_upload_preview_lines(look):
            print_line(said)

    def note(why: Message) -> None:
        print_line(_("waiting: {why}", why=why))

    sent = send_card(sending, ProgressBar(), tell, note)
    answered = format_upload(sent)
    if sent.skipped_count:
        raise PartialFailure(*answered, build_left_on_card_error(sent))
    return answered


@click.command("upload-work", hidden=True)
@click.argument("upload_id")
@click.argument("what", type=click.Choice(["look", "lay", "film"]))
@wrap_command
def work_on_upload_command(*, data_dir: str | None, upload_id: str, what: str) -> CommandOutput:
    """Look at an upload's heads, or lay its photos or its films on the map; what came of it goes into a file
    beside it."""
    from flycam.answers.upload import format_failure
    from flycam.pipeline.upload.upload_files import (
        PHOTOS_RESULT_FILE,
        PREVIEW_FILE,
        VIDEOS_RESULT_FILE,
        lock_upload,
        write_result_file,
    )

    with open_workspace(data_dir) as (workspace, settings):
        folder = settings.data_dir / UPLOADS_FOLDER / upload_id
        with lock_upload(folder):
            work, name = {
                "look": (_preview_heads, PREVIEW_FILE),
                "lay": (_ingest_photos, PHOTOS_RESULT_FILE),
                "film": (_ingest_videos, VIDEOS_RESULT_FILE),
            }[what]
            if (folder / name).exists():
                return {}, []
            try:
                answer = work(workspace, folder)
            except StorageFailed:
                raise  # the server tries again
            except FlycamError as error:
                answer = format_failure(error)
            write_result_file(folder / name, answer)
            return {}, []


def _preview_heads(workspace: Workspace, folder: Path) -> Answer:
    from flycam.answers.upload import format_failure, format_upload_preview
    from flycam.pipeline.upload.upload_processing import MAX_MOTION_BLUR_PX, is_awaiting_logs, preview_upload

    # read before the work begins: logs that come meanwhile are not seen by it
    awaits = is_awaiting_logs(folder)
    try:
        looked = preview_upload(workspace, folder)
    except StorageFailed:
        raise
    except FlycamError as error:
        return {**format_failure(error), "awaits_logs": awaits}
    return format_upload_preview(looked, MAX_MOTION_BLUR_PX)


def _ingest_photos(workspace: Workspace, folder: Path) -> Answer:
    from flycam.answers.upload import format_photos_result
    from flycam.pipeline.upload.upload_processing import orthorectify_photos

    return format_photos_result(orthorectify_photos(workspace, folder), workspace.catalog)


def _ingest_videos(workspace: Workspace, folder: Path) -> Answer:
    from flycam.answers.upload import format_videos_result
    from flycam.pipeline.upload.upload_files import PHOTOS_RESULT_FILE, read_json_file
    from flycam.pipeline.upload.upload_videos import orthorectify_videos

    photos = read_json_file(folder, PHOTOS_RESULT_FILE)
    flight_id = None if photos is None else photos.get("flight_id")
    return format_videos_result(orthorectify_videos(workspace, folder, flight_id), photos, workspace.catalog)
