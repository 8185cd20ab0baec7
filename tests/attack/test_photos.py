"""Cards as they come back from the field: spoiled, hostile, half-copied, or two cameras on one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from flycam.drill.photo_drill import DrillReport
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from tests.attack.commands import Operator, Said
from tests.houses import House


def _png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _resized_header(photo: bytes, side: int) -> bytes:
    """A JPEG whose frame header declares side×side pixels."""
    at = 2
    while photo[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack(">H", photo[at + 2 : at + 4])[0]
    return photo[: at + 5] + struct.pack(">HH", side, side) + photo[at + 9 :]


def _sentence_of(said: Said, name: str) -> str:
    return next(one["sentence"] for one in said.json["rejections"] if one["name"] == name)


def test_spoiled_files_are_named_and_the_flight_goes_on(ready: Operator, card: Path) -> None:
    first, *_, last = sorted(card.iterdir())
    first.write_bytes(first.read_bytes()[:20_000])
    (card / "rỗng.jpg").write_bytes(b"")
    (card / "thư.jpg").write_text("Kính gửi Ban chỉ huy", encoding="utf-8")
    (card / "bom.png").write_bytes(_png(60_000, 60_000, b"\0" * 10_000_000))
    (card / "bom.jpg").write_bytes(_resized_header(last.read_bytes(), 65_000))
    said = ready("ingest", card)
    assert said.exit_code == 0
    assert said.json["frames"] == {"read": 10, "used": 5, "in_flight": 5, "rejected": {"unreadable": 5}}
    for name, words in {
        first.name: "cut off",
        "rỗng.jpg": "0 bytes",
        "thư.jpg": "not a",
        "bom.png": "60000×60000",
        "bom.jpg": "65000×65000",
    }.items():
        sentence = _sentence_of(said, name)
        assert words in sentence and (";" in sentence or "," in sentence)
        assert sentence in said.stderr
    again = ready("ingest", card)
    assert (again.json["new"], again.json["frames"]) == (0, said.json["frames"])


def test_photo_removed_while_ingest_runs(
    drill: DrillReport, card: Path, make_house: Callable[..., House]
) -> None:
    house = make_house(drill)
    last = sorted(card.iterdir())[-1]
    bytes_of_last = last.read_bytes()

    def pull(stage: str, _done: int, _total: int) -> None:
        if stage == "rectify":
            last.unlink(missing_ok=True)

    request = PreflightRequest(paths=(card,))
    report = ingest(house.workspace, request, FlightLabels(), pull)
    assert (report.used, report.rejected) == (5, {"unreadable": 1})
    assert last.name in str(report.rejections[0].message)
    last.write_bytes(bytes_of_last)
    assert ingest(house.workspace, request, FlightLabels()).used == 6


def test_thermal_beside_colour_never_blends(ready: Operator, card: Path, whole: Said) -> None:
    for photo in sorted(card.iterdir()):
        with Image.open(photo) as picture:
            heat = Image.fromarray(255 - np.asarray(picture)[:, :, :1].repeat(3, axis=2))
            packet = picture.info["xmp"].replace(
                b'drone-dji:RtkFlag="0"', b'drone-dji:RtkFlag="0" drone-dji:ImageSource="InfraredCamera"'
            )
            heat.save(photo.with_stem(f"{photo.stem}_T"), "JPEG", exif=picture.getexif(), xmp=packet)
    said = ready("ingest", card)
    assert said.json["frames"] == {"read": 12, "used": 12, "in_flight": 12, "rejected": {}}
    flight_id = said.json["flight_id"]
    assert ready.tiles(flight_id) == whole.json["tiles"]
    heat_tiles = ready.tiles(flight_id, "thermal")
    assert heat_tiles and heat_tiles != whole.json["tiles"]
