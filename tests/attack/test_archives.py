"""Archives that are made to write elsewhere, to fill the memory, or to be read as something else."""

from __future__ import annotations

import json
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.errors import SourceUnreadable
from flycam.geodata.vector_file import MAX_BYTES, read_layer
from flycam.model.board import LayerKind

MAST = json.dumps(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": "A"},
                "geometry": {"type": "Point", "coordinates": [104.8, 21.9]},
            }
        ],
    }
).encode()


def _write(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, data in members:
            archive.writestr(name, data)
    return path


def _link(name: str, to: str) -> tuple[zipfile.ZipInfo, bytes]:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member, to.encode()


def _everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.geojson"
    path.write_bytes(MAST)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../a.geojson",
        "../../../../../../../../tmp/a.geojson",
        "/etc/a.geojson",
        "a\\..\\..\\a.geojson",
        "C:\\a.geojson",
        "a/../../a.geojson",
        "//host/share/a.geojson",
        "a.geojson\0.png",
        "?a!.geojson",
    ],
    ids=ascii,
)
def test_a_member_is_written_nowhere_but_into_our_own_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, here = tmp_path / "made", tmp_path / "here"
    made.mkdir()
    here.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(here)
    archive = _write(tmp_path / "a.zip", (name, MAST))
    before = _everything(tmp_path), _everything(Path("/etc"))
    layer = read_layer(archive, LayerKind.MAST)
    assert len(layer.features) == 1
    assert (_everything(tmp_path), _everything(Path("/etc"))) == before, (
        "nothing is left, and nothing elsewhere"
    )
    assert not Path("/tmp/a.geojson").exists()


def test_a_link_in_an_archive_is_no_link(secret: Path, tmp_path: Path) -> None:
    for members in (
        [_link("a.geojson", str(secret))],
        [_link("a", str(tmp_path)), ("a/secret.geojson", b"{}")],
        [("a.shp", b"x"), _link("a.shx", str(secret))],
    ):
        with pytest.raises(SourceUnreadable):
            read_layer(_write(tmp_path / "a.zip", *members), LayerKind.MAST)
    assert secret.read_bytes() == MAST


@pytest.mark.parametrize(
    "members",
    [
        [("a.geojson", MAST), ("a.geojson", b"{}")],
        [("a.geojson", MAST), ("x/a.geojson", MAST)],
        [("a.geojson", MAST), ("A.GEOJSON", MAST), ("a.GeoJSON", MAST)],
        [("a.geojson", MAST), ("run.sh", b"#!/bin/sh")],
        [("a.zip", MAST)],
        [("a.vrt", b"<OGRVRTDataSource/>")],
        [],
    ],
)
def test_what_has_two_meanings_is_refused(members: list[tuple[str, bytes]], tmp_path: Path) -> None:
    archive = _write(tmp_path / "a.zip", *members)
    with pytest.raises(SourceUnreadable):
        read_layer(archive, LayerKind.MAST)


def _patched(change: Callable[[bytearray], None]) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        data = bytearray(_write(path, ("a.geojson", MAST)).read_bytes())
        change(data)
        path.write_bytes(data)
        return path

    return write


def _set(sign: bytes, offset: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into(form, data, data.index(sign) + offset, value)


BROKEN = {
    "encrypted": _patched(_set(b"PK\1\2", 8, "<H", 1)),
    "unknown packing": _patched(_set(b"PK\1\2", 10, "<H", 99)),
    "larger than it says": _patched(_set(b"PK\1\2", 24, "<I", 9)),
    "beyond its end": _patched(_set(b"PK\1\2", 42, "<I", 1 << 30)),
    "another checksum": _patched(_set(b"PK\1\2", 16, "<I", 7)),
    "another local name": _patched(_set(b"PK\3\4", 30, "<B", ord("b"))),
    "cut off": _patched(lambda data: data.__delitem__(slice(-30, None))),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_archive_is_refused(kind: str, tmp_path: Path) -> None:
    archive = BROKEN[kind](tmp_path / "a.zip")
    with pytest.raises(SourceUnreadable):
        read_layer(archive, LayerKind.MAST)


def test_a_bomb_takes_neither_disk_nor_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr("tempfile.tempdir", None)
    blank = bytes(32 << 20)
    many = MAX_BYTES // len(blank) + 1
    bomb = _write(tmp_path / "a.zip", *((f"{number}.geojson", blank) for number in range(many)))
    assert bomb.stat().st_size < MAX_BYTES // 500
    liar = tmp_path / "b.zip"
    data = bytearray(_write(liar, ("a.geojson", blank)).read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, len(MAST))
    liar.write_bytes(data)
    tracemalloc.start()
    try:
        for archive in (bomb, liar):
            with pytest.raises(SourceUnreadable):
                read_layer(archive, LayerKind.MAST)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert _everything(made) == set()


@pytest.mark.parametrize("is_large", [False, True], ids=["zip", "zip64"])
def test_a_list_of_members_without_an_end_is_not_read(is_large: bool, tmp_path: Path) -> None:
    """Each of a list's lines of 50 bytes takes half a kilobyte of memory."""
    many = 200_000
    line = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0) + b"a/b/"
    size = many * len(line)
    archive = tmp_path / "a.zip"
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, many, many, size, 0)
    end64 += struct.pack("<4sIQI", b"PK\6\7", 0, size, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF if is_large else size, 0, 0)
    archive.write_bytes(line * many + (end64 if is_large else b"") + end)
    tracemalloc.start()
    try:
        with pytest.raises(SourceUnreadable):
            read_layer(archive, LayerKind.MAST)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
