"""What a link said is evidence, however the flight ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from flycam.errors import DiskFull, OutsideTerrain
from flycam.ingest.live.recording import LINK_LOG_FILE, open_scratch_folder, recover_link_logs
from flycam.mosaic.eviction import collect_garbage
from flycam.storage import keys
from flycam.storage.atomic import lock_folder
from tests.houses import House
from tests.texts import pair
from tests.unreliable_stores import FullStore

MakeHouse = Callable[..., House]
SAID = b"what the aircraft said"
KEY = keys.format_original_key(sha256(SAID).hexdigest())


def left(house: House, name: str, said: bytes | None = SAID) -> Path:
    """A folder as a program that died leaves it."""
    folder = house.workspace.cache_dir / f"live-{name}"
    (folder / "film").mkdir(parents=True)
    if said is not None:
        (folder / LINK_LOG_FILE).write_bytes(said)
    return folder


@pytest.mark.parametrize(
    "error",
    [
        None,
        OutsideTerrain(pair("nothing laid", "không trải được")),
        KeyboardInterrupt(),
    ],
)
def test_a_flight_that_ends_keeps_what_its_link_said(
    make_house: MakeHouse, error: BaseException | None
) -> None:
    house = make_house()

    def fly() -> Path:
        with open_scratch_folder(house.workspace) as scratch:
            (scratch / LINK_LOG_FILE).write_bytes(SAID)
            if error is not None:
                raise error
            return scratch

    if error is None:
        fly()
    else:
        with pytest.raises(type(error)):
            fly()
    assert house.workspace.store.get(KEY) == SAID
    assert not list(house.workspace.cache_dir.glob("live-*"))


def test_what_a_killed_program_left_is_kept_by_the_next_flight(make_house: MakeHouse) -> None:
    house = make_house()
    left(house, "a")
    left(house, "b", None)
    left(house, "c", b"")
    with open_scratch_folder(house.workspace) as scratch:
        assert scratch.is_dir()
    assert house.workspace.store.get(KEY) == SAID
    assert not list(house.workspace.cache_dir.glob("live-*"))


def test_a_flight_in_the_air_is_left_alone_and_nothing_of_it_is_collected(make_house: MakeHouse) -> None:
    house = make_house()
    folder = left(house, "a")
    held = lock_folder(folder)
    assert recover_link_logs(house.workspace) == 0
    for path in (folder / LINK_LOG_FILE, folder / "film", folder):
        os.utime(path, (0, 0))
    collect_garbage(house.workspace, grace_s=0.0)
    os.close(held)
    assert recover_link_logs(house.workspace) == 1 and recover_link_logs(house.workspace) == 0


def test_what_a_store_does_not_take_waits_and_the_flights_own_error_is_told(make_house: MakeHouse) -> None:
    house = make_house()
    full = replace(house.workspace, store=FullStore(house.workspace.store, 0))
    for raised, error in (
        (OutsideTerrain, OutsideTerrain(pair("nothing laid", "không"))),
        (DiskFull, None),
    ):
        with pytest.raises(raised), open_scratch_folder(full) as scratch:
            (scratch / LINK_LOG_FILE).write_bytes(SAID)
            if error is not None:
                raise error
    assert len(list(house.workspace.cache_dir.glob(f"live-*/{LINK_LOG_FILE}"))) == 2
    assert recover_link_logs(house.workspace) == 2 and house.workspace.store.get(KEY) == SAID
