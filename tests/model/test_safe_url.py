"""An address tells where something comes from, never how to get in."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.model.text import strip_url_credentials


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("rtsp://admin:secret@10.0.0.9:554/live/1", "rtsp://10.0.0.9:554/live/1"),
        ("RTSP://admin:se@cret@cam/live?token=abc#x", "RTSP://cam/live"),
        ("srt://10.0.0.9:9000?passphrase=secret&mode=caller", "srt://10.0.0.9:9000"),
        ("rtsp://cam/user=admin&password=secret&channel=1.sdp", "rtsp://cam/…"),
        ("rtmp://host/live/secret", "rtmp://host/live/…"),
        ("rtsp://admin:sec/ret@cam/live", "rtsp://…"),
        ("rtsp://admin:sec?ret@cam/live", "rtsp://…"),
        ("rtsps:/admin:secret@cam/live", "rtsps:/cam/live"),
        ("udp://:14550", "udp://:14550"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("serial:/dev/ttyUSB0:57600", "serial:/dev/ttyUSB0:57600"),
        ("/media/card/DJI_0001@home=1.MP4", "/media/card/DJI_0001@home=1.MP4"),
        ("C:/card/a?b.MP4", "C:/card/a?b.MP4"),
    ],
)
def test_where_from_is_told_and_no_secret(address: str, told: str) -> None:
    assert strip_url_credentials(address) == told


SECRETS = st.text(string.ascii_letters + string.digits + ":@/?#=&%", min_size=4).map(lambda one: f"Zq{one}Zq")


@given(SECRETS, st.sampled_from(["rtsp", "srt", "tcp", "http"]), st.booleans())
def test_no_half_of_a_password_is_told_escaped_or_not(secret: str, scheme: str, is_escaped: bool) -> None:
    written = quote(secret, safe="") if is_escaped else secret
    for address in (f"{scheme}://admin:{written}@cam:554/live", f"{scheme}://cam:554/live?key={written}"):
        assert "Zq" not in strip_url_credentials(address)
