from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import zstandard

from flycam.catalog.placement_rows import placement_of
from flycam.catalog.records import Withdrawal
from flycam.errors import SourceUnreadable
from flycam.frame.flight import FlightState
from flycam.sync import records
from flycam.sync.learning import joined_flight
from flycam.sync.records import FlightRecords, records_from_bytes, records_to_bytes
from tests.suites.catalog_suite import flight, frame, rejected
from tests.sync.boxes import EVENT, MOSAIC

RECORDS = FlightRecords(
    event=EVENT,
    flight=flight(),
    mosaics=(MOSAIC,),
    frames=(frame(1), frame(2), rejected(3)),
    placements=(placement_of(frame(1), reason="other terrain", authority="lan", placed_ns=9),),
    withdrawals=(
        Withdrawal(frame_id="f" * 32, flight_id="f1", reason="nạn nhân", authority="lan", withdrawn_ns=3),
    ),
)


def harmed(change: Any) -> bytes:
    """The records with something else in them."""
    values = json.loads(zstandard.ZstdDecompressor().decompress(records_to_bytes(RECORDS)))
    change(values)
    return zstandard.ZstdCompressor().compress(json.dumps(values).encode())


def test_records_are_read_back_as_they_were_and_are_the_same_bytes_again() -> None:
    data = records_to_bytes(RECORDS)
    assert records_from_bytes(data, "x.fcb") == RECORDS
    assert records_to_bytes(records_from_bytes(data, "x.fcb")) == data


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("withdrawals"),
        lambda values: values["frames"][0].pop("status"),
        lambda values: values["frames"][0].update(status="flown"),
        lambda values: values["frames"][0].update(captured_ns="today"),
        lambda values: values["frames"][0].update(captured_ns=True),
        lambda values: values["frames"][0].update(footprint_wkb="AAAA"),
        lambda values: values["frames"][0].update(flight_id="another"),
        lambda values: values["mosaics"][0].update(revision=1),
        lambda values: values["flight"].update(name=None),
        lambda values: values["flight"].update(event_id="another"),
    ],
)
def test_what_the_catalogue_could_not_hold_is_refused_by_the_name_of_its_file(change: Any) -> None:
    with pytest.raises(SourceUnreadable, match=r"x\.fcb"):
        records_from_bytes(harmed(change), "x.fcb")


@pytest.mark.parametrize("data", [b"", b"{}", records_to_bytes(RECORDS)[:-3]])
def test_bytes_that_are_no_records_are_refused(data: bytes) -> None:
    with pytest.raises(SourceUnreadable):
        records_from_bytes(data, "x.fcb")


def test_a_bomb_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MAX_BYTES", 100)
    with pytest.raises(SourceUnreadable, match="bytes"):
        records_from_bytes(records_to_bytes(RECORDS), "x.fcb")


def test_a_flight_is_widened_and_keeps_its_label() -> None:
    here = flight(bounds_lonlat_deg=None, state=FlightState.READY)
    given = replace(flight(name="of the other box"), first_ns=here.first_ns - 5, warnings=("mây",))
    both = joined_flight(here, given)
    assert (both.name, both.state) == (here.name, here.state)
    assert (both.first_ns, both.last_ns) == (given.first_ns, here.last_ns)
    assert both.bounds_lonlat_deg == given.bounds_lonlat_deg
    assert both.warnings == (*here.warnings, "mây")
    assert joined_flight(both, given) == both
