from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import SourceUnreadable
from flycam.geometry.grid import TileId
from flycam.sync.exchange import (
    ExchangeManifest,
    LogRange,
    ManifestItem,
    ObjectKind,
    TileLogEntry,
    decode_manifest,
    encode_manifest,
)

hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
halves = st.binary(min_size=16, max_size=16).map(bytes.hex)
mosaic_ids = st.sampled_from(["f1-colour", "f2-thermal"])
sizes = st.integers(0, 1 << 40)
tile_ids = st.integers(0, 22).flatmap(
    lambda z: st.builds(TileId, z=st.just(z), x=st.integers(0, (1 << z) - 1), y=st.integers(0, (1 << z) - 1))
)
tile_lines = st.builds(
    TileLogEntry, mosaic_id=mosaic_ids, tile_id=tile_ids, seq=st.integers(1, 1 << 40), content_hash=halves
)
items = st.one_of(
    st.builds(ManifestItem, kind=st.just(ObjectKind.TILE), sha256=hexes, size_bytes=sizes, tile=tile_lines),
    st.builds(ManifestItem, kind=st.just(ObjectKind.RECORDS), sha256=hexes, size_bytes=sizes),
    st.builds(
        ManifestItem,
        kind=st.sampled_from([ObjectKind.TERRAIN, ObjectKind.ORIGINAL]),
        sha256=hexes,
        size_bytes=sizes,
        name=hexes,
    ),
)
stretches = st.builds(
    lambda since, more, a, b: LogRange(
        since=since, until=since + more, since_digest=a, until_digest=b, marks=(b * 2)[: more * 8]
    ),
    st.integers(0, 1 << 30),
    st.integers(0, 8),
    halves,
    halves,
)
manifests = st.builds(
    ExchangeManifest,
    box=st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()),
    log_ranges=st.dictionaries(mosaic_ids, stretches),
    items=st.lists(items, max_size=6).map(tuple),
)


@given(manifests)
def test_a_manifest_is_read_back_as_it_was(manifest: ExchangeManifest) -> None:
    encoded = encode_manifest(manifest)
    assert decode_manifest(encoded, "x.fcb") == manifest
    assert encode_manifest(decode_manifest(encoded, "x.fcb")) == encoded


@given(st.one_of(st.binary(max_size=80), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
).map(lambda values: json.dumps(values).encode())))  # fmt: skip
def test_anything_else_is_refused_by_the_name_of_its_file(data: bytes) -> None:
    with pytest.raises(SourceUnreadable, match=r"x\.fcb"):
        decode_manifest(data, "x.fcb")


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".hidden", "x\x00y"])
def test_a_name_that_climbs_out_of_its_folder_is_refused(name: str) -> None:
    line = TileLogEntry(mosaic_id=name, tile_id=TileId(z=1, x=0, y=0), seq=1, content_hash="0" * 32)
    manifest = ExchangeManifest(
        box="b", items=(ManifestItem(kind=ObjectKind.TILE, sha256="0" * 64, size_bytes=1, tile=line),)
    )
    with pytest.raises(SourceUnreadable):
        decode_manifest(encode_manifest(manifest), "x.fcb")
