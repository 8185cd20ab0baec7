"""Photos found and read: made by hand, real ones, and every bad file the issue names."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from flycam.errors import SourceUnreadable
from flycam.ingest.photos.photo_reader import read_metadata, read_photos
from flycam.ingest.photos.photo_search import search_photos
from flycam.ingest.photos.xmp import _FIELD_NAMES, Dialect
from tests.ingest.photos.handmade import (
    DJI_SPACE,
    DRILL_SPACE,
    dji_xmp,
    exif_block,
    gps_of,
    ground,
    jpeg,
    written,
    xmp_packet,
)

DJI_EXIF = exif_block(
    {0x010F: "DJI", 0x0110: "FC6310R"},
    {0x9003: "2026:09:08 07:05:03", 0x920A: 8.8},
    gps_of(104.771, 21.885, 912.3),
)
DJI_JPEG = jpeg(
    exif=DJI_EXIF, xmp=dji_xmp(GimbalYawDegree="+45.00", GimbalPitchDegree="-90.00", RelativeAltitude="120")
)


OPEN_FILES = Path("/proc/self/fd")


# -- finding ------------------------------------------------------------------------------------


def test_folders_are_read_through_and_each_photo_comes_once(tmp_path: Path) -> None:
    inner = tmp_path / "DCIM" / "100MEDIA"
    inner.mkdir(parents=True)
    second, first = written(inner, "DJI_0002.JPG", DJI_JPEG), written(inner, "DJI_0001.JPG", DJI_JPEG)
    unnamed = written(tmp_path, "photo_without_suffix", DJI_JPEG)
    assert search_photos([tmp_path, inner, first]).photos == tuple(sorted([first, second, unnamed]))


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    written(tmp_path, "DJI_0001.JPG", DJI_JPEG)
    others = ("._DJI_0001.JPG", ".hidden.jpg", "DJI_0001.DNG", "flight.tlog", "notes.txt")
    for name in others:
        written(tmp_path, name, b"something else")
    (tmp_path / "@eaDir").mkdir()
    written(tmp_path / "@eaDir", "DJI_0001.JPG", DJI_JPEG)
    found = search_photos([tmp_path])
    assert [path.name for path in found.photos] == ["DJI_0001.JPG"]
    assert {path.name for path, _ in found.skipped} == set(others)


# -- reading ------------------------------------------------------------------------------------


def test_drill_mark(tmp_path: Path) -> None:
    packet = xmp_packet(
        {"drone-dji": DJI_SPACE, "flycam": DRILL_SPACE},
        {"drone-dji:RelativeAltitude": "1", "flycam:Drill": "DIỄN TẬP"},
    )
    assert read_metadata(written(tmp_path, "a.jpg", jpeg(xmp=packet))).is_drill
    for words in ("flycam DIỄN TẬP 7", "DIEN TAP - flycam drill, not a real event"):
        described = jpeg(exif=exif_block({0x010E: words}))
        assert read_metadata(written(tmp_path, "b.jpg", described)).is_drill


def test_a_makers_value_goes_before_exifs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any field may be a maker's, those that EXIF states too."""
    monkeypatch.setitem(_FIELD_NAMES, Dialect.DJI, {"horizontal_error_m": "drone-dji:Error"})
    exif = exif_block(gps={**gps_of(104.771, 21.885, 912.0), 0x1F: 4.5})
    for packet, error_m in ((dji_xmp(Error="0.8"), 0.8), (dji_xmp(RtkFlag="0"), 4.5)):
        photo = read_metadata(written(tmp_path, "a.jpg", jpeg(exif=exif, xmp=packet)))
        assert (photo.dialect, photo.horizontal_error_m) == (Dialect.DJI, error_m)


def test_png_with_xmp_and_a_raw_profile(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(ground()).save(buffer, "PNG")
    plain = buffer.getvalue()
    block = b"Exif\x00\x00" + DJI_EXIF
    profile = f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode()
    texts = chunk(
        b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + zlib.compress(dji_xmp(RelativeAltitude="7"))
    )
    texts += chunk(b"zTXt", b"Raw profile type exif\x00\x00" + zlib.compress(profile))
    photo = read_metadata(written(tmp_path, "a.png", plain[:33] + texts + plain[33:]))
    assert (photo.dialect, photo.relative_altitude_m) == (Dialect.DJI, 7.0)
    assert photo.lat_deg == pytest.approx(21.885)


def chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_tiff_is_its_own_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "S110 NIR"
    exif[700] = dji_xmp(GimbalYawDegree="3")
    Image.fromarray(ground(600, 800)).save(tmp_path / "a.tif", exif=exif)
    photo = read_metadata(tmp_path / "a.tif")
    assert (photo.model, photo.band, photo.image_size_px) == ("S110 NIR", "infrared", (800, 600))
    assert photo.gimbal.yaw_deg == 3.0


def test_terrain_and_orthomosaics_are_no_photos(tmp_path: Path) -> None:
    """A drill's dem.tif, a truth/ortho.tif and the like lie beside the photos."""
    geo = Image.Exif()
    geo[33550], geo[33922] = (10.0, 10.0, 0.0), (0.0, 0.0, 0.0, 430_000.0, 2_420_000.0, 0.0)
    path = tmp_path / "dem.tif"
    Image.fromarray(ground()).save(path, tiffinfo=geo)
    assert [path.name for path, _ in search_photos([tmp_path]).skipped] == ["dem.tif"]
    with pytest.raises(SourceUnreadable, match="flycam dem"):
        read_metadata(path)


# -- bad files ----------------------------------------------------------------------------------

BOMB = dji_xmp(RtkFlag=50).replace(b"<x:xmpmeta", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta')


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds one small data chunk."""
    body = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(b"\x00" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.jpg", b"", "0 bytes"),
        ("text.jpg", b"this is a note, not a photo\n" * 9, "holds text"),
        ("other.jpg", b"\x00\x01\x02\x03" * 50, "not a JPEG"),
        ("heif.jpg", b"\x00\x00\x00\x18ftypheic" + b"\x00" * 50, "HEIF"),
        ("cut.jpg", DJI_JPEG[: len(DJI_EXIF)], "cut off"),
        ("cut.png", png_header(10, 10)[:20], "cut off"),
        ("bomb.png", png_header(60_000, 60_000), "60000×60000"),
        ("bomb2.png", png_header(9_000, 9_000), "9000×9000"),
        ("none.png", png_header(0, 10), "no picture size"),
        ("cut.tif", b"II*\x00\x08\x00", "cut off"),
    ],
)
def test_bad_files_name_themselves(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = written(tmp_path, name, data)
    with pytest.raises(SourceUnreadable, match=words) as caught:
        read_metadata(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_compressed_text_bomb_costs_nothing(tmp_path: Path) -> None:
    bomb = chunk(b"zTXt", b"Raw profile type exif\x00\x00" + zlib.compress(b"0" * 60_000_000, 9))
    buffer = io.BytesIO()
    Image.fromarray(ground()).save(buffer, "PNG")
    plain = buffer.getvalue()
    assert read_metadata(written(tmp_path, "a.png", plain[:33] + bomb + plain[33:])).lat_deg is None


def _tiff_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(ground()).save(buffer, "TIFF", compression="tiff_lzw")
    return buffer.getvalue()


SEEDS = [DJI_JPEG, png_header(80, 60), _tiff_bytes(), jpeg(xmp=BOMB)]


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="this system does not list a process's open files")
def test_no_file_stays_open(tmp_path: Path) -> None:
    before = len(list(OPEN_FILES.iterdir()))
    read_photos([written(tmp_path, f"{n}.jpg", data) for n, data in enumerate([*SEEDS, b""] * 20)])
    assert len(list(OPEN_FILES.iterdir())) == before


# -- real flights -------------------------------------------------------------------------------


@pytest.mark.real
def test_dji_maker_notes_agree_with_xmp(shared_data: Path, tmp_path: Path) -> None:
    """The same real photo with its XMP packet cut out gives the same angles from the maker note."""
    source = shared_data / "flights" / "brighton_beach" / "DJI_0018.JPG"
    whole = read_metadata(source)
    data = source.read_bytes()
    bare = data.replace(b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.example.com/none/0/\x00"[:29])
    photo = read_metadata(written(tmp_path, "a.jpg", bare))
    assert (photo.gimbal, photo.aircraft) == (whole.gimbal, whole.aircraft)
    assert photo.relative_altitude_m is None


@pytest.mark.real
def test_seneca_fixed_wing(shared_data: Path) -> None:
    photos, failed = read_photos(search_photos([shared_data / "flights" / "seneca_fixed_wing"]).photos)
    assert (len(photos), failed) == (6, [])
    for photo in photos:
        assert photo.dialect is Dialect.SENSEFLY
        # its EXIF altitude is above the ellipsoid
        assert photo.absolute_altitude_m - photo.exif_altitude_m == pytest.approx(32.3, abs=1.0)
        assert abs(photo.aircraft.roll_deg) < 12
        assert photo.xmp_time_text.endswith("Z")
        assert photo.lon_deg == pytest.approx(photo.xmp_lon_deg, abs=1e-7)


@pytest.mark.real
def test_every_real_photo_reads_as_pillow_reads_it(shared_data: Path) -> None:
    for path in search_photos([shared_data / "flights"]).photos:
        photo = read_metadata(path)
        with Image.open(path) as picture:
            exif = picture.getexif()
            details, gps = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
            assert photo.image_size_px == picture.size
        assert photo.model == str(exif.get(0x0110, "")).strip("\x00 ")
        assert photo.focal_mm == (pytest.approx(float(details[0x920A])) if 0x920A in details else None)
        if 2 in gps:
            degrees, minutes, seconds = map(float, gps[2])
            assert abs(photo.lat_deg) == pytest.approx(degrees + minutes / 60 + seconds / 3600, abs=1e-9)


# -- the drill's photos -------------------------------------------------------------------------
