"""The works that a power cut or a kill may fall into: how each begins, what is held once it is acknowledged,
and how it is taken up again. Here what one house does alone; `works_between`, `works_kept`: the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage.stores import open_store
from tests.attack.commands import Operator
from tests.attack.uploading import ServerProcess

Held = dict[str, str]
"""What a house holds, each with a hash of its bytes as they lie there."""

NAME = "Bản Lầu"
LONGEST_S = 240.0


def house_in(root: Path, box: str = "field") -> Operator:
    """The house of a root folder that is watched."""
    return Operator(root / "data", {"FLYCAM_BOX": box})


def held(operator: Operator) -> Held:
    """Heads of every mosaic on show, communes cut out of it, frames that are withdrawn; each tile reads back
    as the log says."""
    if not (operator.data / "catalog.sqlite").exists():
        return {}
    found = {}
    store = open_store((operator.data / "store").as_uri())
    with open_catalog(f"sqlite:///{operator.data / 'catalog.sqlite'}") as catalog:
        for mosaic in catalog.tiles.mosaics():
            for revision in {0, mosaic.revision}:
                for head in catalog.tiles.heads(mosaic.mosaic_id, revision):
                    read_tile(store, head)
                    found[f"{mosaic.mosaic_id} {revision} {head.tile_id}"] = head.content_hash
        for flight in catalog.flights.flights():
            for one in catalog.boundaries.coverage(flight.flight_id):
                found[f"{flight.flight_id} {one.commune_code}"] = f"{one.covered_m2:.1f} m2"
            for withdrawal in catalog.frames.withdrawals(flight.flight_id):
                found[f"withdrawn {withdrawal.frame_id}"] = withdrawal.reason
    store.close()
    return found


@dataclass
class Work:
    """One command.

    meanwhile    what goes on while a server runs; it is ended after that
    comes_later  a kind of object that is sent behind what names it: in the middle of the work it is not there
    """

    name: str
    begin: Callable[[Path], None]
    arguments: Callable[[Path], tuple[object, ...]]
    box: str = "field"
    meanwhile: Callable[[ServerProcess], None] | None = None
    comes_later: str = ""

    @contextmanager
    def beside(self, root: Path) -> Iterator[None]:
        """What runs elsewhere while it works in this folder."""
        del root
        yield

    def again(self, root: Path) -> int:
        """The same command, as a person repeats it after a power cut. How much of it was sent once more
        though the other side had acknowledged it."""
        with self.beside(root):
            said = house_in(root, self.box)(*self.arguments(root))
        assert said.exit_code == 0, said
        return 0

    def held(self, root: Path) -> Held:
        """What there is once it is acknowledged."""
        return held(house_in(root, self.box))

    def keeps(self, root: Path, answers: int) -> None:
        """Asserts that what a server's first so many answers acknowledged is there."""

    def may_miss(self, damaged: Sequence[Mapping[str, Any]]) -> bool:
        """Whether this may be what `verify` tells of in the middle of the work."""
        return all((one["kind"], one["state"]) == (self.comes_later, "lost") for one in damaged)

    def answers(self) -> int:
        """How many a server has given in this run, where `keeps` asks for it."""
        return 0

    def give_up(self) -> None:
        """End what `meanwhile` started, its server being gone."""


def done(root: Path, *arguments: object, box: str = "field") -> None:
    said = house_in(root, box)(*arguments)
    assert said.exit_code == 0, said


def card_of(drill: DrillReport) -> tuple[object, ...]:
    return "ingest", drill.photos, "--dem", drill.dem, "--communes", drill.communes, "--name", NAME


def ingesting(drill: DrillReport, _scratch: Path) -> Work:
    """The first work of a box that holds nothing yet."""
    return Work("ingest", lambda _: None, lambda _: card_of(drill))


def withdrawing(drill: DrillReport, _scratch: Path) -> Work:
    def arguments(root: Path) -> tuple[object, ...]:
        with open_catalog(f"sqlite:///{root / 'data' / 'catalog.sqlite'}") as catalog:
            (flight,) = catalog.flights.flights()
            frame = min(one.frame_id for one in catalog.frames.list_for_flight(flight.flight_id))
        return "withdraw", frame, "--reason", "người dân yêu cầu"

    return Work("withdraw", lambda root: done(root, *card_of(drill)), arguments)


def finishing(drill: DrillReport, _scratch: Path) -> Work:
    return Work("finish", lambda root: done(root, *card_of(drill)), lambda _: ("finish", NAME))
