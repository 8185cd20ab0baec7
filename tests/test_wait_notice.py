"""What a live flight waits for before it begins: said once, stopped at once; its outages in the answer."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import Cancelled, NameTaken, get_exit_code
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import orthorectify_video
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.video import streaming
from tests.ports import free_port

MakeHouse = Callable[..., House]


def test_a_room_that_waits_for_video_says_so_once_and_is_stopped_at_once(make_house: MakeHouse) -> None:
    house, said = make_house(), []
    port, link_port = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    request = LiveRequest(video=f"udp://me:geheim@:{port}", telemetry=f"udp://127.0.0.1:{link_port}")
    with pytest.raises(Cancelled) as raised:
        orthorectify_video(
            house.workspace,
            request,
            FlightLabels(),
            ignore_progress,
            lambda: bool(said),
            said.append,
        )
    ((english, vi),) = (one.to_fields().values() for one in said)
    assert f"udp://:{port}: waiting for video" in english and "đang chờ video" in vi
    assert "geheim" not in f"{english}{vi}{raised.value}{raised.value.message.in_language('vi')}"
    assert get_exit_code(raised.value) == 130 and house.workspace.catalog.flights.flights() == []


def test_a_link_that_tells_no_position_yet_is_said_to_be_waited_for(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    house, said = make_house(), []
    film = streaming.write_film(tmp_path / "film.mp4", pictures=600)
    link = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    with streaming.rtsp_server(film, free_port()) as url, pytest.raises(Cancelled) as raised:
        request = LiveRequest(video=url, telemetry=link)
        orthorectify_video(
            house.workspace,
            request,
            FlightLabels(),
            ignore_progress,
            lambda: bool(said),
            said.append,
        )
    ((english, vi),) = (one.to_fields().values() for one in said)
    assert link in english and link in vi
    assert "position" in str(raised.value) and get_exit_code(raised.value) == 130


def test_a_name_that_another_flight_has_is_refused_before_the_stream_is_opened(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    """It could not be had again: the same command for the second battery lost the flight."""
    house = make_house(drill)
    first = house.ingest(drill.photos, name="Bay 1").flight
    address = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    request = LiveRequest(video=address, telemetry="udp://127.0.0.1:14550")
    with pytest.raises(NameTaken, match="Bay 1") as refused:
        orthorectify_video(
            house.workspace, request, FlightLabels(name="Bay 1"), say=lambda *_: pytest.fail("it was opened")
        )
    assert first.flight_id in str(refused.value) and "--flight" in refused.value.message.in_language("vi")
