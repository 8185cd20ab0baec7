"""What the fuzzer begins with: small files of each kind, made by the makers of the other tests."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zstandard
from pymavlink.dialects.v20 import ardupilotmega as mav

from flycam.geometry.grid import TileId
from flycam.geometry.terrain import TerrainGrid
from flycam.media.mp4 import (
    CodedSample,
    ParameterSets,
    VideoCodec,
    encode_fragment,
    encode_head,
    extract_parameter_sets,
    split_units,
)
from flycam.model.frame import MosaicTile
from flycam.mosaic.terrain_codec import encode_terrain
from flycam.mosaic.tiles.codec import encode_tile
from flycam.sync.bundle import PartHeader, encode_part_header
from flycam.sync.exchange import (
    EXCHANGE_FORMAT,
    ExchangeManifest,
    LogRange,
    ManifestItem,
    ObjectKind,
    compress,
    encode_manifest,
)
from flycam.sync.records import compute_record_delta
from tests.ingest.photos import handmade
from tests.ingest.photos.made_flights import LAT, LON
from tests.ingest.telemetry import (
    made_gpmf,
    made_streams,
    test_airdata,
    test_flight_logs,
    test_gpmf,
    test_klv,
    test_klv_universal,
    test_ulog,
)
from tests.sync.seals import sealed

TILE = TileId(z=20, x=830_001, y=465_001)
_HEX, _HALF = "ab" * 32, "cd" * 16
_RECORDS: dict[str, object] = {
    **{"event": {}, "flight": {}, "mosaics": [], "frames": [], "placements": [], "withdrawals": []},
    **{"classification": "open", "redactions": [], "holds": [], "purges": []},
}
BASE = compress(json.dumps(_RECORDS, separators=(",", ":")).encode())
"""Records that came before."""


_SKYDIO = (
    '<s:CameraOrientationNED rdf:parseType="Resource"><s:Pitch>-59.7</s:Pitch></s:CameraOrientationNED>'
    '<s:CalibratedFocalLength s:X="2378.5" s:Y="2376.9"/><s:DewarpData>0.12,-0.23,0.1</s:DewarpData>'
)


def photos() -> list[bytes]:
    """A DJI photo in both byte orders, one without anything, one with the old maker's note, a Skydio one."""
    small = handmade.ground(16, 16)
    xmp = handmade.dji_xmp(
        GpsLatitude=LAT,
        GpsLongitude=LON,
        AbsoluteAltitude="+420.1",
        RelativeAltitude="+120.2",
        GimbalYawDegree=12.5,
    )
    facts = {0x010F: "DJI", 0x0110: "FC3582", 0x0132: "2026:09:10 08:00:00"}
    details = {0x9003: "2026:09:10 08:00:00", 0x920A: 6.7, 0xA405: 24}
    gps = handmade.gps_of(LON, LAT, 420.0)
    noted = {**details, 0x927C: handmade.dji_note({9: 12.0, 10: -90.0})}
    return [
        handmade.jpeg(small, exif=handmade.exif_block(facts, details, gps), xmp=xmp),
        handmade.jpeg(small, exif=handmade.exif_block(facts, noted, gps, order=">")),
        handmade.jpeg(small),
        handmade.exif_block(facts, details, gps),
        handmade.jpeg(small, xmp=handmade.xmp_packet({"s": handmade.SKYDIO_SPACE}, {}, _SKYDIO)),
    ]


def subtitles() -> list[bytes]:
    """The dialects in a few lines each."""
    bodies = [
        '<font size="28">FrameCnt: 1, DiffTime: 33ms\n2024-01-01 12:00:00.000\n[iso: 100] [latitude: 21.9] '
        "[longitude: 104.8] [rel_alt: 1.3 abs_alt: 132.8] [gb_yaw: 1.0 gb_pitch: -90.0 gb_roll: 0.0]</font>",
        "F/2.8, SS 206.14, ISO 150, EV 0, GPS (104.8, 21.9, 19), D 24.26m, H 6.00m, H.S 2.10m/s, V.S 0.00m/s",
        "HOME(149.0251,-20.2533) 2017.08.05 14:11:51\nGPS(149.0251,-20.2533,16) BAROMETER:1.9\nISO:100",
    ]
    return [
        "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n + 1},000\n{body}\n\n" for n in range(1, 4)).encode()
        for body in bodies
    ]


def tlog() -> list[bytes]:
    mavlink = mav.MAVLink(None, srcSystem=1, srcComponent=1)
    return [
        _file(lambda path: test_flight_logs.write_tlog(path, test_flight_logs.flight(mavlink, seconds=3)))
    ]


def dataflash() -> list[bytes]:
    """Both forms, and descriptions that hung a reader once."""
    text = _file(lambda path: test_flight_logs.dataflash(path, seconds=2))
    binary = test_flight_logs.binary_dataflash(seconds=2)
    return [text, binary, test_flight_logs.FMT, *test_flight_logs.ODD_DATAFLASH.values()]


def airdata() -> list[bytes]:
    return [_file(lambda path: test_airdata.table(path, rows=9))]


def ulog() -> list[bytes]:
    """A flight; and descriptions that hung the reader or filled its memory once."""
    writer = test_ulog.Writer()
    test_ulog.flight(writer, seconds=2)
    overgrown = [test_ulog.overgrown(formats, seconds=1) for formats in test_ulog.OVERGROWN.values()]
    return [bytes(writer.data), *(bytes(one.data) for one in overgrown)]


def klv() -> list[bytes]:
    flight = b"".join(test_klv.packet(test_klv.T0_US + k * 100_000, **test_klv.here(k)) for k in range(6))
    older = b"".join(
        test_klv_universal.universal(test_klv.T0_US + k, **test_klv_universal.FLIGHT) for k in range(3)
    )
    return [flight, test_klv.OVERLAPPING, older]


def gpmf_films() -> list[bytes]:
    """A camera's GPS in a film, one payload a chunk and two."""
    payloads = [test_gpmf.gps5(k, rows=4) for k in range(3)]
    return [made_gpmf.film(payloads), made_gpmf.film(payloads, per_chunk=2)]


def transport_streams() -> list[bytes]:
    """Pictures with stamps and metadata beside them: bare, and in AU cells."""
    parts = []
    for k in range(4):
        told = test_klv.packet(test_klv.T0_US + k * 100_000, **test_klv.here(k))
        parts.append((256, made_streams.picture(9000 * k, test_klv.T0_US + k * 100_000)))
        parts.append((257, made_streams.pes(made_streams.PRIVATE, told)))
        parts.append((258, made_streams.pes(made_streams.METADATA, made_streams.cells([told]), 9000 * k)))
    plain = made_streams.stream(parts)
    return [plain, b"".join(bytes(4) + plain[at : at + 188] for at in range(0, len(plain), 188))]


def csv() -> list[bytes]:
    return [
        b"filename,latitude,longitude,altitude,roll,pitch,yaw\na.jpg,21.9,104.8,420,0,-90,12\n",
        b"filename;x;y;z;omega;phi;kappa;vertical_datum\na.jpg;400100;2400200;812;0;0;1;EGM96\n",
    ]


def geojson() -> list[bytes]:
    shapes = [
        {"type": "Point", "coordinates": [104.8, 21.9]},
        {"type": "Polygon", "coordinates": [[[104.8, 21.9], [104.9, 21.9], [104.9, 22.0], [104.8, 21.9]]]},
    ]
    return [
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {
                        "type": "Feature",
                        "properties": {"name": "BTS 1", "status": "mất điện"},
                        "geometry": shape,
                    }
                ],
            }
        ).encode()
        for shape in shapes
    ]


def gcp() -> list[bytes]:
    """The marks of a list; what stands above them is `crs`'s."""
    return [
        b"# surveyed\n400100.5 2400200.25 812.4 100.5 200.5 DJI_0001.JPG A\n",
        b"400300\t2400400\tNaN\t1\t2\tDJI 0002.JPG\tA\n400300 2400400 1 2 3 a.jpg\n",
    ]


def crs() -> list[bytes]:
    """Coordinate systems as people write them above a list of marks."""
    return [b"WGS84 UTM 48N", b"EPSG:32648", b"VN-2000 104.75", b"+proj=utm +zone=48 +datum=WGS84 +no_defs"]


def bundle() -> list[bytes]:
    """The first byte says what follows: 0 a part as it lies on the stick, else the stream that whole parts
    hold."""
    data = zstandard.ZstdCompressor().compress(b"{}")
    said = encode_manifest(_manifest(data))
    said = compress(said)
    payload = len(said).to_bytes(4, "little") + said + data
    return [b"\0" + part_of(payload), b"\1" + payload]


def part_of(payload: bytes) -> bytes:
    """The only part of a bundle, whole."""
    length = int.from_bytes(payload[:4], "little")
    head = PartHeader(
        seal=sealed(payload[: 4 + length]),
        number=1,
        count=1,
        size_bytes=len(payload),
        sha256=hashlib.sha256(payload).hexdigest(),
    )
    return encode_part_header(head) + payload


def tus() -> list[bytes]:
    """Headers of a creation and of a checksum."""
    name, digest = (base64.b64encode(one).decode() for one in (b"DJI_0001.JPG", bytes(32)))
    return [f"filename {name},upload {name}".encode(), f"sha256 {digest}".encode()]


def sync() -> list[bytes]:
    """The first byte says what follows: 0 records, 1 a step's manifest, 2 a list of what is common, each
    before it is compressed; 3 and 4 a question; 5 to 7 as 0 to 2, compressed; 8 a change of records
    before it is compressed, 9 compressed."""
    thing = {"kind": "terrain", "name": "dem.tif", "sha256": _HEX, "size_bytes": 10, "at_ns": 1}
    listing = {"state": _HEX[:32], "box": "p", "items": [thing]}
    question = {
        "format": EXCHANGE_FORMAT,
        "box": "field",
        "key": _HEX,
        "records": [_HEX],
        "terrain": [],
        "originals": [],
    }
    plain = [
        json.dumps(_RECORDS).encode(),
        encode_manifest(_manifest(b"{}")),
        json.dumps(listing).encode(),
        json.dumps({**question, "mosaics": ["f1-colour"], "views": {}}).encode(),
        json.dumps({**question, "mosaics": []}).encode(),
    ]
    packed = [zstandard.ZstdCompressor().compress(one) for one in plain[:3]]
    more = compress(json.dumps({**_RECORDS, "holds": [{}]}, separators=(",", ":")).encode())
    changes = [
        json.dumps({"base": _HEX, "pieces": [[0, 3], "x", [1, 1]]}).encode(),
        compute_record_delta(more, BASE),
    ]
    return [bytes([kind]) + one for kind, one in enumerate([*plain, *packed, *changes])]


def tiles() -> list[bytes]:
    """One with two frames and holes, and one that is empty."""
    at = np.indices((256, 256)).sum(axis=0)
    source = (at // 64 % 3).astype(np.uint16)
    quality = np.where(source > 0, at + 1, 0).astype(np.uint16)
    rgb = np.where(source[..., None] > 0, at[..., None] % 251, 0).astype(np.uint8).repeat(3, axis=2)
    none = np.zeros_like(source)
    whole = MosaicTile(tile_id=TILE, rgb=rgb, quality=quality, source=source, frames=("a" * 32, "b" * 32))
    empty = MosaicTile(tile_id=TILE, rgb=np.zeros_like(rgb), quality=none, source=none, frames=())
    return [encode_tile(whole), encode_tile(empty)]


def terrain() -> list[bytes]:
    posts = np.arange(24, dtype=np.float32).reshape(4, 6)
    return [
        encode_terrain(
            TerrainGrid(
                heights_m=posts,
                origin_m=(400_000.25, 2_420_000.0),
                post_spacing_m=(12.5, 12.5),
                work_crs="EPSG:32648",
                vertical_datum="EGM2008",
                dem_id="of the file",
            )
        )
    ]


def mp4() -> list[bytes]:
    """A camera's head of a film, and a recorded piece of two fragments."""
    movie = struct.pack(">IIIII", 0, 3_800_000_000, 3_800_000_000, 1000, 60_000) + bytes(80)
    moov = _box(b"moov", _box(b"mvhd", movie))
    sps, pps = bytes.fromhex("6742c01e da02 80bf e5"), bytes.fromhex("68ce3c80")
    units = split_units(b"".join(b"\0\0\0\1" + one for one in (sps, pps, b"\x65" + bytes(40))))
    parameters: ParameterSets | None = extract_parameter_sets(units, VideoCodec.H264)
    assert parameters is not None
    piece = encode_head(parameters, (320, 180), 1_790_000_000)
    for number in (1, 2):
        samples = [CodedSample((number - 1) * 6000, is_key=True, data=b"\0\0\0\4" + b"\x65abc")]
        piece += encode_fragment(number, samples, number * 6000)
    return [_box(b"ftyp", b"isom\0\0\2\0") + _box(b"mdat", bytes(9)) + moov, piece]


def vector() -> list[bytes]:
    """The first byte says what follows: 0 KML, 1 a ZIP as it is, 2 what a KMZ holds."""
    place = "<Placemark><name>BTS 1</name><Point><coordinates>104.8,21.9,0</coordinates></Point></Placemark>"
    kml = f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{place}</Document></kml>'.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", kml)
        archive.writestr("files/a.png", b"no picture")
    return [b"\0" + kml, b"\1" + packed.getvalue(), b"\2" + kml]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _manifest(data: bytes) -> ExchangeManifest:
    item = ManifestItem(
        kind=ObjectKind.RECORDS, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
    )
    stretch = LogRange(since=0, until=0, since_digest=_HALF, until_digest=_HALF, marks="")
    return ExchangeManifest(box="field", log_ranges={"f1-colour": stretch}, items=(item,))


def _file(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made"
        write(path)
        return path.read_bytes()


CORPORA: dict[str, Callable[[], list[bytes]]] = {
    "photo": photos,
    "srt": subtitles,
    "tlog": tlog,
    "dataflash": dataflash,
    "airdata": airdata,
    "ulog": ulog,
    "klv": klv,
    "ts": transport_streams,
    "gpmf": gpmf_films,
    "csv": csv,
    "geojson": geojson,
    "gcp": gcp,
    "crs": crs,
    "bundle": bundle,
    "tus": tus,
    "sync": sync,
    "tile": tiles,
    "terrain": terrain,
    "mp4": mp4,
    "vector": vector,
}
