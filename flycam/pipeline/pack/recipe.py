"""The meeting pack: what a command room hands out, in one folder that opens from a USB stick.

flights -> what each shows -> communes under it, marks in them -> maps
figures + maps -> quick report as PDF and DOCX, pictures for the screen, a page for any browser
tiles -> PMTiles · outlines -> GeoPackage · both -> KMZ
hashes of all of it -> manifest -> the folder, whole or not at all -> a line in the audit log
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.catalog.withholdings import withheld_outside, withholding_of
from flycam.errors import DraftOutdated, NotFound, OptionUnusable
from flycam.frame.classification import Classification
from flycam.frame.spelling import seen, tidy
from flycam.frame.warning import MASKS_COVERED, warning
from flycam.messages import _
from flycam.pipeline.pack.files import (
    MANIFEST,
    stranger_in,
    write_earth,
    write_geopackage,
    write_manifest,
    write_sources,
    write_tiles,
)
from flycam.pipeline.pack.gathering import gather_pack
from flycam.pipeline.pack.locator import draw_locator
from flycam.pipeline.pack.maps import draw_maps
from flycam.pipeline.pack.pair_maps import draw_pairs
from flycam.pipeline.pack.scene import scene_of
from flycam.pipeline.veils import Cover
from flycam.pipeline.whole_folder import whole_folder
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.report.blocks import Plate
from flycam.report.pack_changes import change_said, picture_of_change
from flycam.report.pack_content import PackDocument, pack_document
from flycam.report.pack_figures import Letterhead, PackFigures, content_sha256
from flycam.report.pack_paper import to_band, to_pack_pdf, to_slides
from flycam.report.pack_said import LOCATOR, OVERVIEW, picture_of_number
from flycam.report.pack_viewer import Shown, to_viewer
from flycam.report.pack_word import to_docx
from flycam.report.pack_words import told
from flycam.report.words import DRILL_MARK

PAGE = "index.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackRequest:
    """What is asked for.

    paper        size of the PDF's pages: "a4" or "a3"
    approved_by  the leader who approved it; "": it is a draft, and says so on every page
    asked_by     who asked for it; "": whoever is at this machine
    of_draft     what the draft says that was approved (`PackReport.content_sha256`); "": nobody read one
    seen_by      the account for whom it is made: what is withheld from that is not in it; "": everything is
    """

    flights: tuple[str, ...]
    language: str = "vi"
    paper: str = "a4"
    letterhead: Letterhead = field(default_factory=Letterhead)
    approved_by: str = ""
    asked_by: str = ""
    of_draft: str = ""
    seen_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackReport:
    """What was written: paths of the files, the manifest last, and what it holds.

    flights_seen  ids of its flights and of those that it shows beside them, where changes were found on them
    notes         as `flycam.frame.warning` keeps them
    """

    out: Path
    files: tuple[Path, ...]
    flights: tuple[str, ...]
    flights_seen: tuple[str, ...]
    communes: tuple[str, ...]
    is_drill: bool
    is_draft: bool
    classification: Classification
    manifest_sha256: str
    content_sha256: str
    seconds: float
    notes: tuple[str, ...] = ()


def pack(workspace: Workspace, request: PackRequest, out: Path, progress: Progress = silent) -> PackReport:
    """Write the meeting pack of some flights into the folder `out`, in place of an older pack there.

    Raises NotFound, AccessDenied (a flight of which a part is withheld), OptionUnusable (a drill beside a
    real flight), DraftOutdated (it would say other things than the draft that was approved), InputUnusable
    (no place for a folder), DiskFull, StorageTrouble, ObjectMissing, TileCorrupt.
    Nothing half-written is left to be seen.
    """
    began = time.monotonic()
    approved_by = _leader(request.approved_by)
    scene = scene_of(workspace, request.flights, _withheld_from(workspace, request.seen_by))
    cover = Cover(withheld_outside(workspace.catalog))
    with whole_folder(out, stranger_in) as folder:
        band = to_band(DRILL_MARK) if scene.is_drill else None
        maps = draw_maps(workspace, scene, cover, band, progress)
        scene, pairs, pair_slides = draw_pairs(workspace, scene, cover, band, progress)
        place = draw_locator(workspace, scene, band)
        pictures = {**maps.pictures, **pairs, **({LOCATOR: place} if place else {})}
        figures = gather_pack(
            workspace,
            scene,
            pictures,
            request.letterhead,
            approved_by,
            request.asked_by,
            {**maps.slides, **pair_slides},
            is_covered=cover.has_covered,
        )
        content = content_sha256(figures)
        if request.of_draft not in ("", content):
            raise _outdated()
        for number, side in enumerate(scene.sides, 1):
            name = told("file_tiles", request.language, number=number)
            write_tiles(workspace, side, folder / name, cover, progress)
        write_geopackage(folder / told("file_vectors", request.language), figures, scene)
        write_earth(workspace, folder / told("file_earth", request.language), scene, cover, band)
        write_sources(folder / told("file_sources", request.language), figures)
        _write_documents(folder, figures, request, progress)
        digest = write_manifest(folder)
        written = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = [path for path in written if path.name != MANIFEST]
    seen = [one.flight_id for one in scene.flights_seen]
    _tell_audit(workspace, figures, seen, digest)
    return PackReport(
        out=out,
        files=tuple(out / path for path in [*files, Path(MANIFEST)]),
        flights=tuple(one.flight_id for one in figures.flights),
        flights_seen=tuple(seen),
        communes=tuple(one.name for one in figures.communes),
        is_drill=figures.is_drill,
        is_draft=not approved_by,
        classification=figures.classification,
        manifest_sha256=digest,
        content_sha256=content,
        seconds=time.monotonic() - began,
        notes=(warning(MASKS_COVERED),) if cover.has_covered else (),
    )


def _write_documents(folder: Path, figures: PackFigures, request: PackRequest, progress: Progress) -> None:
    """The quick report, the pictures for the screen, and the page that shows maps without a server."""
    document = pack_document(figures, request.language)
    report, slides, maps = (
        folder / told(f"file_{one}", request.language) for one in ("report", "slides", "maps")
    )
    report.with_suffix(".pdf").write_bytes(to_pack_pdf(document, request.paper))
    progress("documents", 1, 4)
    report.with_suffix(".docx").write_bytes(to_docx(document))
    progress("documents", 2, 4)
    slides.mkdir()
    for number, slide in enumerate(to_slides(document), 1):
        (slides / f"{number:02}.png").write_bytes(slide)
    progress("documents", 3, 4)
    maps.mkdir()
    for name, picture in document.pictures.items():
        (maps / f"{name}.jpg").write_bytes(picture)
    offered = sorted(path.name for path in folder.iterdir() if path.is_file())
    shown = _shown(figures, document)
    (folder / PAGE).write_bytes(to_viewer(document, shown, offered, _unseen(figures, document)))
    progress("documents", 4, 4)


def _shown(figures: PackFigures, document: PackDocument) -> Sequence[Shown]:
    """The maps and pairs of the page, with the captions that they have in the report."""
    captions = {
        figure.picture: figure.caption
        for block in document.blocks
        if isinstance(block, Plate)
        for figure in block.figures
    }
    names = {OVERVIEW: told("viewer_overview", document.language)}
    names |= {picture_of_number(one.number): f"{one.number}. {one.name}" for one in figures.communes}
    changes = {
        picture_of_change(one.number): change_said(figures, one, document.language) for one in figures.changes
    }
    names |= {name: said for name, said in changes.items() if name in captions}
    if LOCATOR in captions:
        names[LOCATOR] = told("viewer_locator", document.language)
    return [
        Shown(
            file=f"{told('file_maps', document.language)}/{picture}.jpg",
            name=name,
            caption=captions[picture],
        )
        for picture, name in names.items()
    ]


def _unseen(figures: PackFigures, document: PackDocument) -> list[str]:
    """Confirmed changes of which the page has no picture before and after."""
    return [
        change_said(figures, one, document.language)
        for one in figures.changes
        if picture_of_change(one.number) not in document.pictures
    ]


def _outdated() -> DraftOutdated:
    return DraftOutdated(
        _(
            "what this meeting pack shows has changed since its draft was made: ask for a "
            "new draft, look at it and approve that one"
        )
    )


def _withheld_from(workspace: Workspace, name: str) -> Withholding:
    """What an account must not get. Raises NotFound: of an account that is gone nobody knows what that is."""
    if not name:
        return NOTHING_WITHHELD
    account = next((one for one in workspace.catalog.accounts.all() if one.name == name), None)
    if account is None:
        raise NotFound(_("{name}: there is no such account; see 'flycam user list'", name=name))
    return withholding_of(workspace.catalog, account)


def _leader(name: str) -> str:
    """The leader's name as it is written. Raises OptionUnusable for a name of spaces."""
    said = tidy(seen(name))
    if name and not said:
        raise OptionUnusable(
            _("--approved-by: give the name of the leader who approved the pack, or leave it out")
        )
    return said


def _tell_audit(workspace: Workspace, figures: PackFigures, seen: Sequence[str], digest: str) -> None:
    """Who exported what (every flight of which there are pictures in it), who approved it, and the hash by
    which this very pack is known again."""
    said = f"approved by {figures.approved_by}" if figures.approved_by else "draft"
    said += f", asked for by {figures.asked_by}" if figures.asked_by else ""
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "pack",
        " ".join(seen),
        f"{said}, {figures.classification}; {MANIFEST} {digest}",
        at_ns=figures.made_ns,
    )
