"""Flight log files, opened by content and not by name."""

from __future__ import annotations

from pathlib import Path

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry.airdata import is_airdata, read_airdata
from flycam.ingest.telemetry.dataflash import read_dataflash
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.gpmf import read_gpmf
from flycam.ingest.telemetry.klv import SET_KEY, UNIVERSAL_KEY, read_klv
from flycam.ingest.telemetry.klv_video import is_transport_stream, read_klv_video
from flycam.ingest.telemetry.mavlink import read_tlog
from flycam.ingest.telemetry.subtitles import is_subtitle_file, read_subtitle_log
from flycam.ingest.telemetry.ulog import MAGIC as ULOG_MAGIC
from flycam.ingest.telemetry.ulog import read_ulog
from flycam.messages import _
from flycam.storage.files import guard_foreign_reader, make_unopenable

_HEAD = 4096
_DATAFLASH_HEAD = b"\xa3\x95"
_MP4_HEAD = b"ftyp"
_MAVLINK_STARTS = (0xFE, 0xFD)


@guard_foreign_reader
def read_flight_log(path: Path) -> FlightLog:
    """Read a flight log of any known format.

    MAVLink tlog, ArduPilot DataFlash (binary or text), PX4 ULog, MISB KLV (ST 0601, 0104), alone or in its
    MPEG transport stream, GoPro GPMF in its MP4, DJI subtitles, or AirData.

    Raises SourceUnreadable naming file and cure.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise make_unopenable(path, error) from error
    if not head:
        raise SourceUnreadable(_("{path}: is empty: copy it from the aircraft again", path=path))
    if head[4:8] == _MP4_HEAD:
        return read_gpmf(path)
    if head.startswith(_DATAFLASH_HEAD) or head.startswith(b"FMT"):
        return read_dataflash(path)
    if head.startswith(ULOG_MAGIC):
        return read_ulog(path)
    if head.startswith((UNIVERSAL_KEY, SET_KEY)):
        return read_klv(path)
    if len(head) > 8 and head[8] in _MAVLINK_STARTS:
        return read_tlog(path)
    if is_airdata(head.decode("utf-8", "replace")):
        return read_airdata(path)
    if is_subtitle_file(head):
        return read_subtitle_log(path)
    if is_transport_stream(head):
        return read_klv_video(path)
    if UNIVERSAL_KEY in head or SET_KEY in head:
        return read_klv(path)
    raise SourceUnreadable(
        _(
            "{path}: is not a flight log that flycam knows: give the .tlog of the ground "
            "station, the .bin or .ulg of the aircraft, its .SRT, AirData's .csv or its ST "
            "0601 metadata",
            path=path,
        )
    )
