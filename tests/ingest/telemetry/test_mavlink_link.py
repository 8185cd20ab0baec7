"""Live MAVLink over real sockets: what is believed, what is refused, and links that break."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.errors import OptionUnusable, SourceUnreadable
from flycam.ingest.telemetry.mavlink_link import MavlinkLink, parse_signing_key
from tests.ports import free_port
from tests.waiting import ENOUGH_S, until

KEY = parse_signing_key("đường dây nóng")


class Aircraft:
    """Packs messages as an autopilot does."""

    def __init__(self, system: int = 1, key: bytes | None = None) -> None:
        self._link = mavlink.MAVLink(None, srcSystem=system, srcComponent=1)
        if key is not None:
            self._link.signing.secret_key = key
            self._link.signing.sign_outgoing = True
            self._link.signing.link_id = system
            self._link.signing.timestamp = int((time.time() - 1_420_070_400) * 1e5)

    def position(self, k: int) -> bytes:
        """The k-th position, ten a second, flying north at 10 m/s."""
        lat = 219_000_000 + k * 90
        message = mavlink.MAVLink_global_position_int_message(
            60_000 + 100 * k, lat, 1_048_000_000, 700_000, 80_000, 1000, 0, 0, 0
        )
        return bytes(message.pack(self._link))

    def from_the_future(self, k: int) -> bytes:
        """A packet a year ahead of its time."""
        self._link.signing.timestamp += 365 * 86_400 * 100_000
        return self.position(k)


def sent_to(port: int, packets: list[bytes], every_s: float = 0.0) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for packet in packets:
            out.sendto(packet, ("127.0.0.1", port))
            time.sleep(every_s)


def udp_link(**options: object) -> tuple[MavlinkLink, int]:
    port = free_port(socket.SOCK_DGRAM)
    return MavlinkLink(f"udp://127.0.0.1:{port}", **options), port


def test_an_aircraft_on_udp_becomes_a_track() -> None:
    now = [1_790_000_000.0]
    link, port = udp_link(clock_s=lambda: now[0])
    with link:
        assert link.log() is None and link.silent_s == float("inf")
        aircraft = Aircraft()
        for k in range(30):
            now[0] += 0.1
            sent_to(port, [aircraft.position(k)])
            until(lambda k=k: link.health.messages == k + 1)
        log = link.log()
        assert link.silent_s < ENOUGH_S
    assert log is not None and len(log.track.samples) == 30
    first, last = log.track.samples[0], log.track.samples[-1]
    assert (last.t_utc_ns - first.t_utc_ns) / 1e9 == pytest.approx(2.9, abs=0.3)
    assert last.lat_deg > first.lat_deg and abs(first.t_utc_ns / 1e9 - now[0]) < 60.0


def test_with_a_key_only_signed_new_packets_are_believed() -> None:
    link, port = udp_link(key=KEY)
    genuine, forger, unsigned = Aircraft(1, KEY), Aircraft(1, parse_signing_key("wrong")), Aircraft(1)
    packets = [genuine.position(k) for k in range(4)]
    with link:
        sent_to(port, packets[:2])
        until(lambda: link.health.messages == 2)
        sent_to(port, [unsigned.position(5), forger.position(6), packets[0], packets[1]])
        until(lambda: link.health.refused["bad_signature"] == 4)
        sent_to(port, [forger.from_the_future(7)])
        until(lambda: link.health.refused["bad_signature"] == 5)
        sent_to(port, packets[2:])  # the forged packet did not move the clock of the genuine stream
        until(lambda: link.health.messages == 4)
    assert link.health.refused.total() == 5


def test_a_tcp_peer_that_is_gone_without_a_word_is_connected_to_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What Linux says of a peer that does not answer whether it is there; here nobody can pull a cable."""
    opened: list[Silent] = []

    class Silent:
        """A connection over which nothing comes, then an error."""

        def __init__(self, real: socket.socket) -> None:
            self.real, self.calls = real, 0
            opened.append(self)

        def recv(self, _most: int) -> bytes:
            self.calls += 1
            if self.calls < 3:
                time.sleep(0.01)
                raise TimeoutError("timed out")
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

        def close(self) -> None:
            self.real.close()

    port, open_one = free_port(), MavlinkLink._opened
    monkeypatch.setattr(MavlinkLink, "_opened", lambda self: Silent(open_one(self)))
    with socket.create_server(("127.0.0.1", port)), MavlinkLink(f"tcp://127.0.0.1:{port}") as link:
        assert opened[0].real.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        waits_s = [
            opened[0].real.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert waits_s[0] + waits_s[1] * waits_s[2] <= 12
        until(lambda: link.health.connections >= 2)


def test_addresses_that_are_none_and_ports_that_are_taken_are_said() -> None:
    for wrong in ("/dev/ttyUSB0", "udp://host", "tcp://:5760", "rtsp://a:1"):
        with pytest.raises(OptionUnusable, match="MAVLink"):
            MavlinkLink(wrong)
    link, port = udp_link()
    with link, pytest.raises(SourceUnreadable, match=str(port)), MavlinkLink(f"udp://127.0.0.1:{port}"):
        pass


def test_a_disk_that_takes_nothing_does_not_stop_the_link(tmp_path: Path) -> None:
    link, port = udp_link(record=tmp_path / "gone" / "heard.tlog")
    aircraft = Aircraft()
    with link:
        for k in range(3):
            sent_to(port, [aircraft.position(k)])
            until(lambda k=k: link.health.messages == k + 1)
        assert link.aircraft == [1]
        until(lambda: link.health.unwritten == 3)
    assert len(link.health.remarks) == 1 and str(tmp_path) in link.health.remarks[0].in_language("vi")
