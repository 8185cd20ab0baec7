"""What is handed on shows nothing that a mask covers, whoever makes it: exports, each file of a pack."""

from __future__ import annotations

import functools
import io
import zipfile
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

from flycam.catalog.access import RedactionFootprint, RedactionRecord
from flycam.model.access import RedactionReason, RedactionStep
from flycam.model.warning import MASKS_COVERED, encode_warning
from flycam.mosaic.export import export_flight
from flycam.reports.briefing.document import COVERED
from flycam.reports.briefing.workflow import PackRequest, write_briefing_pack
from tests.geodata.test_pmtiles import _read
from tests.serve.secret import BARRACKS, Secret, is_magenta, make_secret


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
    found: dict[str, list[np.ndarray]] = {"maps": [], "slides": [], "earth": [], "tiles": [], "word": []}
    kinds = {".kmz": "earth", ".docx": "word", ".pptx": "slides"}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".jpg":
            found["maps"].append(_rgb(path.read_bytes()))
        elif path.suffix == ".pmtiles":
            found["tiles"] += [_rgb(data) for data in _read(path)[0].values()]
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
    """What shows nothing is white; of pictures larger than a tile every second pixel."""
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    step = 1 if len(picture) <= 512 else 2
    picture = picture[::step, ::step]
    return np.where(picture[..., 3:] > 0, picture[..., :3], np.uint8(255))


def _export(secret: Secret, path: Path) -> tuple[int, int, tuple[str, ...]]:
    made = export_flight(secret.workspace, secret.world.after, path)
    with rasterio.open(path) as file:
        rgb, mask = np.moveaxis(file.read([1, 2, 3]), 0, -1), file.dataset_mask() > 0
    assert not rgb[~mask].any(), "no colour under the mask either"
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
