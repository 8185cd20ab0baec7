"""A flight's other name, on purpose: photos and films that join one never change it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from flycam.catalog.flights import finishing
from flycam.catalog.records import AuditEntry
from flycam.errors import OptionUnusable
from flycam.frame.flight import Flight
from flycam.frame.spelling import MOST_NAME
from flycam.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Renamed:
    """A flight as it is called now, and its former name."""

    flight: Flight
    former: str


def rename_flight(workspace: Workspace, ref: str, name: str, who: str) -> Renamed:
    """Call a flight (id or name) otherwise; on record in the audit log.

    Raises NotFound; OptionUnusable for no name; NameTaken where another flight has it; FlightBusy while it is
    laid, finished or in the air.
    """
    flights = workspace.catalog.flights
    called = unicodedata.normalize("NFC", " ".join(name.split()))
    if not 0 < len(called) <= MOST_NAME or not called.isprintable():
        raise OptionUnusable(
            f"{name[:40]!r}: is no name of a flight; give 1 to {MOST_NAME} letters",
            vi=f"{name[:40]!r}: không dùng làm tên chuyến bay được; hãy ghi từ 1 đến {MOST_NAME} ký tự",
        )
    flight_id = flights.flight(ref).flight_id
    with flights.lock(flight_id), flights.lock(finishing(flight_id)):
        former = flights.flight(flight_id).name
        told = AuditEntry(
            who=who,
            what="flight renamed",
            subject=flight_id,
            detail=f"{former} -> {called}",
            at_ns=workspace.clock_ns(),
        )
        return Renamed(flight=flights.rename(flight_id, called, told), former=former)
