"""`flycam`: the commands under one name."""

from __future__ import annotations

import atexit
import gc
import os

import click

from flycam import __version__
from flycam.commands import (
    accounts,
    changes,
    clustering,
    filming,
    flights,
    ground,
    keeping,
    layers,
    marks,
    products,
    rehearsing,
    retaining,
    settlements,
    sharing,
    showing,
    syncing,
    upkeep,
    uploading,
)
from flycam.console import CommandGroup

_OBJECTS_BEFORE_COLLECTION = 10_000


def main() -> None:
    """Entry point. Frames are worked on in threads of our own, so OpenCV keeps to one each.

    What OpenCV's codecs remark about odd tags is no news to an operator; what fails raises. Modules are no
    garbage: by default they would be searched for it again and again while they load (60 ms of an ingest),
    and once more when all is done and the system takes the memory back anyway (150 ms).
    """
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    atexit.register(gc.freeze)
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    flycam()


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def flycam() -> None:
    """Drone flights over mountains into a map that a disaster command room can trust."""


for _command in (
    showing.demo,
    upkeep.doctor,
    flights.inspect,
    flights.ingest,
    flights.withdraw,
    filming.live,
    clustering.worker,
    products.finish,
    products.report,
    products.export,
    products.compare,
    products.pack,
    showing.serve,
    uploading.upload,
    uploading.upload_work,
    syncing.bundle,
    syncing.sync,
    rehearsing.drill,
    ground.dem,
    ground.communes,
    layers.layers,
    marks.marks,
    changes.changes,
    settlements.settlements,
    upkeep.collect,
    keeping.verify,
    keeping.backup,
    keeping.restore,
    keeping.audit,
    accounts.account,
    accounts.user,
    sharing.restricted,
    retaining.retention,
    sharing.flights,
    sharing.guests,
):
    flycam.add_command(_command)


if __name__ == "__main__":
    main()
