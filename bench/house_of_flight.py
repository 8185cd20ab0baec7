"""A house with the drill flight of 95 photos and accounts, for benches of what is served of a real map."""

from __future__ import annotations

import json
from pathlib import Path

from bench.flights import drill_flight
from bench.processes import FLYCAM, run_process

NAME = "flight"


def made_house(data: Path, strips: int, per_strip: int) -> str:
    """Ingest the flight, with its communes, into a data folder; a viewer's token."""
    flight = drill_flight(strips, per_strip)
    run_process([*FLYCAM, "communes", "add", flight.folder / "communes.geojson", "--data", data])
    run_process([*FLYCAM, "ingest", flight.photos, "--dem", flight.dem, "--name", NAME, "--data", data])
    said = run_process([*FLYCAM, "user", "add", "viewer", "--role", "viewer", "--data", data, "--json"])
    return str(json.loads(said.stdout.splitlines()[-1])["token"])
