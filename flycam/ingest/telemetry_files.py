"""Opens a flight log by what it is, not by what it is called."""

from __future__ import annotations

from pathlib import Path

from flycam.errors import SourceUnreadable
from flycam.ingest.flight_log import FlightLog

_DATAFLASH_HEAD = b"\xa3\x95"
_MAVLINK_STARTS = (0xFE, 0xFD)


def read_flight_log(path: Path) -> FlightLog:
    """MAVLink tlog or ArduPilot DataFlash (binary or text). Raises SourceUnreadable naming file and cure."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise SourceUnreadable(f"{path}: cannot be opened ({error.strerror}): check the path") from error
    if head.startswith(_DATAFLASH_HEAD) or head.startswith(b"FMT"):
        from flycam.ingest.dataflash import read_dataflash  # noqa: PLC0415  as below

        return read_dataflash(path)
    if len(head) > 8 and head[8] in _MAVLINK_STARTS:
        from flycam.ingest.mavlink import read_tlog  # noqa: PLC0415  MAVLink's dialects only with a log

        return read_tlog(path)
    raise SourceUnreadable(
        f"{path}: is neither a MAVLink tlog nor a DataFlash log: give the .tlog of the ground station or "
        "the .bin of the aircraft"
    )
