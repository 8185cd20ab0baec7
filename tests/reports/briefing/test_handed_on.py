"""What is handed on shows nothing that a mask covers, whoever makes it: exports, each file of a pack."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import zipfile
import zlib
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

from flycam.access.accounts import add_user
from flycam.access.restrictions import set_flight_classification, set_layer_classification
from flycam.catalog.access import RedactionFootprint, RedactionRecord
from flycam.model.access import RedactionReason, RedactionStep
from flycam.model.board import ChangeStatus, LayerKind
from flycam.model.flight import Classification
from flycam.model.warning import MASKS_COVERED, encode_warning
from flycam.mosaic.export import export_flight
from flycam.reports.briefing.document import COVERED
from flycam.reports.briefing.workflow import PackRequest, write_briefing_pack
from tests.change.impacted import add_things, changed, point, square
from tests.geodata.test_pmtiles import _read
from tests.serve.secret import BARRACKS, Secret, is_magenta, make_secret
from tests.serve.world import REAL, make_world


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Secret:
    """A node whose barracks are magenta; nothing covers them yet."""
    return make_secret(tmp_path_factory.mktemp("secret"))


def cover(secret: Secret) -> None:
    """A mask on a photo, whose ground is the barracks'."""
    frame = secret.workspace.catalog.frames.list_for_flight(secret.world.after)[0]
    line = RedactionRecord(
        mask_id="mask-00000001",
        step=RedactionStep.MADE,
        frame_id=frame.frame_id,
        reason=RedactionReason.HOME,
        author="Lan",
        at_ns=1,
        wkb=shapely.to_wkb(shapely.box(1, 1, 9, 9)),
    )
    secret.workspace.catalog.redactions.append([line])
    ground = RedactionFootprint(line_id=line.line_id, lay="theirs", wkb=shapely.to_wkb(BARRACKS))
    secret.workspace.catalog.redactions.put_footprints([ground])


def shown(folder: Path) -> dict[str, tuple[int, int]]:
    """Of each kind of file that is handed on: pixels of the barracks' colour, and of any."""
    found: dict[str, list[np.ndarray]] = {
        kind: [] for kind in ("maps", "slides", "earth", "tiles", "word", "paper")
    }
    kinds = {".kmz": "earth", ".docx": "word", ".pptx": "slides"}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".jpg":
            found["maps"].append(_rgb(path.read_bytes()))
        elif path.suffix == ".pmtiles":
            found["tiles"] += [_rgb(data) for data in _read(path)[0].values()]
        elif path.suffix == ".pdf":
            data = path.read_bytes()
            found["paper"] += [_rgb(data[at.start() :]) for at in re.finditer(rb"\xff\xd8\xff\xe0", data)]
            assert len(found["paper"]) == data.count(b"/Subtype/Image"), "one that is not read here"
        elif path.suffix in kinds:
            with zipfile.ZipFile(path) as archive:
                names = [one for one in archive.namelist() if one.endswith((".png", ".jpg", ".jpeg"))]
                found[kinds[path.suffix]] += [_rgb(archive.read(one)) for one in names]
    return {
        kind: (
            sum(int(is_magenta(one).sum()) for one in pictures),
            sum(int((functools.reduce(np.minimum, np.moveaxis(one, -1, 0)) < 250).sum()) for one in pictures),
        )
        for kind, pictures in found.items()
    }


def _rgb(data: bytes) -> np.ndarray:
    """What shows nothing is white, unless there is a colour beneath; of large pictures every second pixel."""
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    step = 1 if len(picture) <= 512 else 2
    picture = picture[::step, ::step]
    is_bare = (picture[..., 3:] == 0) & ~is_magenta(picture)[..., None]
    return np.where(is_bare, np.uint8(255), picture[..., :3])


def _export(secret: Secret, path: Path) -> tuple[int, int, tuple[str, ...]]:
    made = export_flight(secret.workspace, secret.world.after, path)
    with rasterio.open(path) as file:
        rgb, mask = np.moveaxis(file.read([1, 2, 3]), 0, -1), file.dataset_mask() > 0
        overviews = range(len(file.overviews(1)))
    assert not rgb[~mask].any(), "no colour under the mask either"
    assert len(overviews) > 0
    smaller = 0
    for level in overviews:
        with rasterio.open(path, overview_level=level) as file:
            smaller += int(is_magenta(np.moveaxis(file.read([1, 2, 3]), 0, -1)).sum())
    assert (smaller > 0) is bool((is_magenta(rgb) & mask).any()), "smaller versions show what the whole does"
    return int((is_magenta(rgb) & mask).sum()), int(mask.sum()), made.notes


def _says_so(folder: Path) -> tuple[bool, bool]:
    """Whether the report, and the page, tell their reader of masks."""
    notices = COVERED.in_language("vi")
    with zipfile.ZipFile(folder / "bao-cao-nhanh.docx") as word:
        report = unescape(word.read("word/document.xml").decode())
    return notices in report, notices in unescape((folder / "index.html").read_text(encoding="utf-8"))


def test_what_masks_cover_is_in_no_file_that_is_handed_on(secret: Secret, tmp_path: Path) -> None:
    bare, whole, notices = _export(secret, tmp_path / "before.tif")
    assert bare > 1000 and not notices
    request = PackRequest(flights=(secret.world.after,))
    before, after = tmp_path / "before", tmp_path / "after"
    # drawn while it is made: it holds from the next one on, and in no file of this one
    notes = write_briefing_pack(secret.workspace, request, before, lambda *_: cover(secret)).notes
    plain = shown(before)
    assert all(magenta > 100 for magenta, _ in plain.values()), plain
    assert not notes and _says_so(before) == (False, False)
    notes = write_briefing_pack(secret.workspace, request, after).notes
    covered = shown(after)
    for kind, (magenta, any_) in covered.items():
        assert magenta < 0.01 * plain[kind][0], (kind, plain, covered)
        assert any_ > 0.2 * plain[kind][1], "the rest is there"
    assert covered["tiles"][0] == covered["earth"][0] == 0
    assert _says_so(after) == (True, True), "who reads it takes no hole for ground that was not imaged"
    left, rest, notices = _export(secret, tmp_path / "after.tif")
    assert left == 0 and 0.2 * whole < rest < whole
    assert notices == notes == (encode_warning(MASKS_COVERED),)


HIDDEN = "Hoang Thung"
"""In every name that somebody gave to what is withheld; plain letters, as no file writes others alike."""


def everything_in(folder: Path) -> bytes:
    """All bytes of a pack, unpacked: also what tables, properties and free pages of databases hold."""
    found = []
    for path in sorted(folder.rglob("*.*")):
        data = path.read_bytes()
        found.append(data)
        if data[:2] == b"PK":
            with zipfile.ZipFile(path) as archive:
                found += [name.encode() + archive.read(name) for name in archive.namelist()]
        for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL) if data[:4] == b"%PDF" else ():
            with contextlib.suppress(zlib.error):
                found.append(zlib.decompressobj().decompress(part))
    return b"\n".join(found)


def test_a_pack_for_an_account_names_nothing_that_is_withheld_from_it(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    workspace, catalog = world.workspace, world.workspace.catalog
    masts = [(f"mast {HIDDEN}", point(240, -210))]
    layer = add_things(workspace, tmp_path / "masts", f"masts {HIDDEN}", LayerKind.MAST, masts, "down")
    catalog.flights.put_flight(replace(catalog.flights.flight(world.before), name=f"flight {HIDDEN}"))
    told = {
        "before_shown": f"{world.before}-colour@0",
        "after_shown": f"{world.after}-colour@0",
        "event_id": REAL,
        "status": ChangeStatus.ACCEPTED,
        "note": f"note {HIDDEN}",
    }
    catalog.changes.append([changed("change-0000000c", square(200, -250, 80), **told)])
    set_flight_classification(workspace, world.before, Classification.RESTRICTED, "Quân")
    set_layer_classification(workspace, layer.layer_id, Classification.RESTRICTED, "Quân")
    for role in ("operator", "admin"):
        add_user(workspace, role, role)
    photos = [one.header.provenance.source_sha256 for one in catalog.frames.list_for_flight(world.before)]
    hidden = [HIDDEN, "change-0000000c", world.before, layer.layer_id, photos[0]]

    def named(role: str) -> list[str]:
        out = tmp_path / role
        write_briefing_pack(workspace, PackRequest(flights=(world.after,), seen_by=role), out)
        content = everything_in(out)
        return [one for one in hidden if one.encode() in content]

    assert set(named("admin")) >= {HIDDEN, "change-0000000c", world.before, photos[0]}
    assert named("operator") == []
