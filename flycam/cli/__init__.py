"""The `flycam` program: all commands under one name."""

from __future__ import annotations

import atexit
import gc
import os

import click

from flycam import __version__
from flycam.cli import board, box, flights, node, products, serve, sync
from flycam.cli.library_messages import escape_library_messages
from flycam.cli.output import CommandGroup

_OBJECTS_BEFORE_COLLECTION = 10_000


def main() -> None:
    """Run the `flycam` program."""
    escape_library_messages()
    # modules are not garbage: searching them again and again while they load takes 60 ms of an ingest
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    # a last search at exit would take 150 ms, and the system takes the memory back anyway
    atexit.register(gc.freeze)
    # frames are processed in flycam's own threads, so OpenCV keeps to one each
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    # what OpenCV's codecs remark about odd tags is no news to an operator; failures raise
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    flycam()


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def flycam() -> None:
    """Drone flights over mountains into a map that a disaster command room can trust."""


for _command in (
    serve.demo_command,
    node.doctor_command,
    flights.inspect_command,
    flights.ingest_command,
    flights.withdraw_command,
    flights.live_command,
    flights.worker_command,
    products.finish_command,
    products.report_command,
    products.export_command,
    products.compare_command,
    products.pack_command,
    serve.serve_command,
    sync.upload_command,
    sync.work_on_upload_command,
    sync.bundle_group,
    sync.sync_command,
    box.box_group,
    serve.drill_command,
    board.dem_group,
    board.communes_group,
    board.layers_group,
    board.marks_group,
    products.changes_group,
    board.settlements_group,
    node.collect_command,
    node.verify_command,
    node.backup_command,
    node.restore_command,
    node.audit_group,
    node.account_group,
    node.user_group,
    board.restrictions_group,
    node.retention_group,
    board.flights_group,
    board.guests_group,
):
    flycam.add_command(_command)


if __name__ == "__main__":
    main()
