"""A link with a key beside a real stream: what somebody else sends moves nothing, and is counted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.drill.video_drill import VideoDrillReport
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.telemetry.mavlink_link import parse_signing_key
from flycam.model.records import FrameStatus
from flycam.model.rejection_reasons import format_rejection_counts
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from tests.houses import House
from tests.ingest.live.test_bad_input import packets
from tests.ingest.video.streaming import rtsp_server
from tests.ports import free_port
from tests.waiting import ENOUGH_S

_PASSPHRASE = "đường dây nóng"
_FAR_E7 = 900_000  # 10 km
_SEEN = 120


class Ether:
    """An aircraft that signs, with somebody who repeats it and somebody who makes things up.

    false  packets sent that are not the aircraft's
    """

    def __init__(self, film: VideoDrillReport, port: int) -> None:
        self._messages = list(packets(film))
        self._to = ("127.0.0.1", port)
        self._signer, self._liar = (mavlink.MAVLink(None, srcSystem=1, srcComponent=1) for _ in range(2))
        self._signer.signing.secret_key = parse_signing_key(_PASSPHRASE)
        self._signer.signing.sign_outgoing = True
        self._signer.signing.timestamp = int((time.time() - 1_420_070_400) * 1e5)
        self.false = 0

    def send(self, over: threading.Event) -> None:
        begin_s, first_us = time.monotonic(), self._messages[0][0]
        repeated: list[bytes] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for stamp, message in self._messages:
                if over.wait(max(0.0, begin_s + (stamp - first_us) / 1e6 - time.monotonic())):
                    return
                signed = bytes(message.pack(self._signer))
                out.sendto(signed, self._to)
                if message.get_type() != "GLOBAL_POSITION_INT":
                    continue
                repeated.append(signed)
                lie = {name: getattr(message, name) for name in message.fieldnames}
                lie["lat"] += _FAR_E7
                made_up = mavlink.MAVLink_global_position_int_message(**lie)
                for false in (bytes(made_up.pack(self._liar)), repeated[len(repeated) // 2]):
                    if false is not signed:
                        out.sendto(false, self._to)
                        self.false += 1


def flown(house: House, film: VideoDrillReport, key: Path | None) -> tuple[VideoReport, int]:
    port, over, came = free_port(socket.SOCK_DGRAM), threading.Event(), [0]
    ether, played = Ether(film, port), threading.Event()

    def send() -> None:
        if played.wait(ENOUGH_S):
            ether.send(over)

    with rtsp_server(film.video, free_port(), played) as url:
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        request = LiveRequest(
            video=url,
            telemetry=f"udp://127.0.0.1:{port}",
            mavlink_key=key,
            camera=film.camera,
            is_drill=True,
            clock_offset_s=0.0,
        )
        until_s = time.monotonic() + 2.0 * ENOUGH_S
        report = orthorectify_video(
            house.workspace,
            request,
            FlightLabels(),
            lambda _, done, __: came.append(done),
            lambda: came[-1] > _SEEN or time.monotonic() > until_s,
        )
        over.set()
        sender.join(ENOUGH_S)
    return report, ether.false


@pytest.mark.slow
def test_what_is_unsigned_or_repeated_is_counted_and_moves_no_frame(
    film: VideoDrillReport, make_house: Callable[..., House], tmp_path: Path
) -> None:
    key = tmp_path / "key.txt"
    key.write_text(_PASSPHRASE + "\n", encoding="utf-8")
    house = make_house(film)
    report, false = flown(house, film, key)
    assert report.used >= 3
    assert 0.5 * false <= report.dropped["bad_signature"] <= false
    assert "jump" not in report.dropped
    (told,) = house.workspace.catalog.airborne.list_since(0)
    assert 0.5 * false <= told.left_out["bad_signature"] <= false  # the link is counted until it is closed
    assert "packets without a valid signature" in str(format_rejection_counts(told.left_out))
    frames = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)
    north = np.array([one.exterior.projection_centre_m[1] for one in frames if one.exterior is not None])
    assert len(north) == report.used and np.ptp(north) < 2_000.0
