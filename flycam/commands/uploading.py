"""A card to a server: `upload`; and the server's own hand, `upload-work`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.commands.house import FILE, Result, opened
from flycam.commands.trusting import token_for, trust_of, trusting
from flycam.console import Answer, AnsweredWithTrouble, ProgressBar, command, language, say
from flycam.errors import FlycamError, StorageTrouble

if TYPE_CHECKING:
    from flycam.pipeline.workspace import Workspace

UPLOADS = "uploads"


@click.command()
@click.argument("url")
@click.argument("paths", nargs=-1, required=True, type=FILE)
@click.option("--name", help="Label of the flight (default: the folder's name).")
@click.option("--event", help="Storm, flood or drill this flight belongs to.")
@click.option("--telemetry", type=FILE, help="Flight log, or poses, of these photos.")
@trusting
@click.option(
    "--patience", "patience_s", type=float, default=3600.0, help="Give up after so long without a line, s."
)
@command
def upload(
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
) -> Result:
    """Photos, films and flight logs to a server over any line. Cut off, the same command goes on.

    Exit code 6: sent, but for files that are on the card alone.
    """
    from flycam.answers.uploaded import left_on_card, look_lines, of_upload
    from flycam.pipeline.upload.card import Sending
    from flycam.pipeline.upload.sending import send

    del data_dir  # nothing is kept on this side
    sending = Sending(
        url=url,
        paths=paths,
        token=token_for(url, token_file),
        name=name,
        event=event,
        telemetry=telemetry,
        patience_s=patience_s,
        language=language(),
        trust=trust_of(ca, fingerprint),
    )

    def tell(look: Answer) -> None:
        for said in look_lines(look, language()):
            say(said)

    def note(why: str) -> None:
        say(f"{'đang chờ' if language() == 'vi' else 'waiting'}: {why}")

    sent = send(sending, ProgressBar(), tell, note)
    answered = of_upload(sent, language())
    if sent.passed_over:
        raise AnsweredWithTrouble(*answered, left_on_card(sent))
    return answered


@click.command("upload-work", hidden=True)
@click.argument("upload_id")
@click.argument("what", type=click.Choice(["look", "lay", "film"]))
@command
def upload_work(*, data_dir: str | None, upload_id: str, what: str) -> Result:
    """Look at an upload's heads, or lay its photos or its films on the map; what came of it goes into a file
    beside it."""
    from flycam.answers.uploaded import of_failure
    from flycam.pipeline.upload.files import FILMED, LAID, LOOK, held_for_work, write_answer

    with opened(data_dir) as (workspace, settings):
        folder = settings.data_dir / UPLOADS / upload_id
        with held_for_work(folder):
            work, name = {"look": (_look, LOOK), "lay": (_lay, LAID), "film": (_film, FILMED)}[what]
            if (folder / name).exists():
                return {}, []
            try:
                answer = work(workspace, folder)
            except StorageTrouble:
                raise  # tried again by the server
            except FlycamError as error:
                answer = of_failure(error)
            write_answer(folder / name, answer)
            return {}, []


def _look(workspace: Workspace, folder: Path) -> Answer:
    from flycam.answers.uploaded import of_failure, of_look
    from flycam.pipeline.upload.work import SMEARED_PX, awaits_logs, look

    awaits = awaits_logs(folder)  # before it looks: those that come meanwhile are not seen
    try:
        looked = look(workspace, folder)
    except StorageTrouble:
        raise
    except FlycamError as error:
        return {**of_failure(error), "awaits_logs": awaits}
    return of_look(looked, SMEARED_PX)


def _lay(workspace: Workspace, folder: Path) -> Answer:
    from flycam.answers.uploaded import of_laying
    from flycam.pipeline.upload.work import lay

    return of_laying(lay(workspace, folder), workspace.catalog)


def _film(workspace: Workspace, folder: Path) -> Answer:
    from flycam.answers.uploaded import of_films
    from flycam.pipeline.upload.files import LAID, said_in
    from flycam.pipeline.upload.films import lay_films

    photos = said_in(folder, LAID)
    flight_id = None if photos is None else photos.get("flight_id")
    return of_films(lay_films(workspace, folder, flight_id), photos, workspace.catalog)
