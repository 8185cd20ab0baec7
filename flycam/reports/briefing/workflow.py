"""Writing of a briefing pack into one folder, and letterheads.

The folder holds the documents for a meeting, and can be opened from a USB stick.

    flights -> ground of each -> communes under it, marks in them -> maps
    figures + maps -> quick report as PDF and DOCX, slides, a page for any browser
    tiles -> PMTiles · outlines -> GeoPackage · both -> KMZ
    hashes of all of it -> manifest -> the folder, atomically -> an entry in the audit log
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flycam.access.policy import UNRESTRICTED, AccessPolicy, load_access_policy, load_export_policy
from flycam.errors import DraftOutdated, NotFound, OptionUnusable, SourceUnreadable
from flycam.messages import Message, _, pgettext
from flycam.model.flight import DRILL_MARK, Classification
from flycam.model.text import normalize_name, strip_unprintable
from flycam.model.warning import MASKS_COVERED, encode_warning
from flycam.mosaic.redaction import MaskOverlay
from flycam.reports.briefing.changes import format_change, name_change_picture
from flycam.reports.briefing.contents import gather_contents
from flycam.reports.briefing.document import PackDocument, build_pack_document
from flycam.reports.briefing.docx import to_docx
from flycam.reports.briefing.figures import Letterhead, PackFigures, hash_content
from flycam.reports.briefing.files import (
    MANIFEST,
    find_foreign_file,
    write_geopackage,
    write_hash_manifest,
    write_pack_kmz,
    write_source_list,
    write_tile_archive,
)
from flycam.reports.briefing.maps import draw_image_pairs, draw_locator, draw_maps
from flycam.reports.briefing.measures import gather_pack_figures
from flycam.reports.briefing.pdf import ViewerPicture, to_drill_band, to_pack_pdf, to_viewer
from flycam.reports.briefing.slides import to_pptx
from flycam.reports.briefing.texts import LOCATOR, OVERVIEW, name_commune_picture
from flycam.reports.layout import FigureRow, Text, put_text
from flycam.storage.files import replace_folder
from flycam.workspace import Progress, Workspace, ignore_progress

PAGE_FILE = "index.html"
_MAPS = pgettext("file name", "pictures")


@dataclass(frozen=True, kw_only=True, slots=True)
class PackRequest:
    """Request for a briefing pack.

    paper         size of the PDF's pages: "a4" or "a3"
    approved_by   the leader who approved it; "": it is a draft, and says so on every page
    requested_by  the person who requested it; "": the operator of this machine
    of_draft      hash of the approved draft's content (`PackReport.content_sha256`); "": there was no draft
    seen_by       the account whose access policy applies; "": nothing is withheld
    """

    flights: tuple[str, ...]
    language: str = "vi"
    paper: str = "a4"
    letterhead: Letterhead = field(default_factory=Letterhead)
    approved_by: str = ""
    requested_by: str = ""
    of_draft: str = ""
    seen_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackReport:
    """Result of writing a pack.

    Paths of the files, the manifest last, and its contents.

    flights_seen  ids of its flights and of others that it shows, where changes were found on them
    notes         as `flycam.model.warning` encodes them
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


def write_briefing_pack(
    workspace: Workspace, request: PackRequest, out: Path, progress: Progress = ignore_progress
) -> PackReport:
    """Write the briefing pack of some flights into `out`, replacing an older one.

    Raises NotFound, AccessDenied (a flight of which a part is withheld), OptionUnusable (an exercise beside a
    real flight), DraftOutdated (its content differs from the approved draft), InputUnusable (no place for a
    folder), DiskFull, StorageFailed, ObjectMissing, TileCorrupt. An incomplete folder is never visible.
    """
    began = time.monotonic()
    approved_by = _leader(request.approved_by)
    scene = gather_contents(workspace, request.flights, _withheld_from(workspace, request.seen_by))
    cover = MaskOverlay(load_export_policy(workspace.catalog))
    with replace_folder(out, find_foreign_file) as folder:
        band = to_drill_band(DRILL_MARK) if scene.is_drill else None
        maps = draw_maps(workspace, scene, cover, band, progress)
        scene, pairs, pair_slides = draw_image_pairs(workspace, scene, cover, band, progress)
        place = draw_locator(workspace, scene, band)
        pictures = {**maps.pictures, **pairs, **({LOCATOR: place} if place else {})}
        figures = gather_pack_figures(
            workspace,
            scene,
            pictures,
            request.letterhead,
            approved_by,
            request.requested_by,
            {**maps.slides, **pair_slides},
            is_covered=cover.has_covered,
        )
        content = hash_content(figures)
        # what was approved must be what was read (decision 0037)
        if request.of_draft not in ("", content):
            raise _make_outdated_error()

        def name_file(name: Message) -> Path:
            return folder / name.in_language(request.language)

        for number, side in enumerate(scene.flights, 1):
            name = pgettext("file name", "map-{number}.pmtiles", number=number)
            write_tile_archive(workspace, side, name_file(name), cover, progress)
        write_geopackage(name_file(pgettext("file name", "data.gpkg")), figures, scene)
        kmz = name_file(pgettext("file name", "map.kmz"))
        write_pack_kmz(workspace, kmz, scene, cover, band, request.language)
        write_source_list(name_file(pgettext("file name", "photo-sources.csv")), figures)
        _write_documents(folder, figures, request, progress)
        digest = write_hash_manifest(folder)
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
        notes=(encode_warning(MASKS_COVERED),) if cover.has_covered else (),
    )


def _write_documents(folder: Path, figures: PackFigures, request: PackRequest, progress: Progress) -> None:
    """Write report, slides, and the page that shows maps without a server."""
    document = build_pack_document(figures, request.language)
    names = pgettext("file name", "quick-report"), pgettext("file name", "slides"), _MAPS
    report, slides, maps = (folder / name.in_language(request.language) for name in names)
    report.with_suffix(".pdf").write_bytes(to_pack_pdf(document, request.paper))
    progress("documents", 1, 4)
    report.with_suffix(".docx").write_bytes(to_docx(document))
    progress("documents", 2, 4)
    slides.with_suffix(".pptx").write_bytes(to_pptx(document))
    progress("documents", 3, 4)
    maps.mkdir()
    for name, picture in document.pictures.items():
        (maps / f"{name}.jpg").write_bytes(picture)
    offered = sorted(path.name for path in folder.iterdir() if path.is_file())
    shown = _list_page_images(figures, document)
    (folder / PAGE_FILE).write_bytes(
        to_viewer(document, shown, offered, _list_changes_without_images(figures, document))
    )
    progress("documents", 4, 4)


def _list_page_images(figures: PackFigures, document: PackDocument) -> Sequence[ViewerPicture]:
    """List the maps and pairs of the page, with their captions in the report."""
    captions = {
        figure.picture: figure.caption
        for block in document.blocks
        if isinstance(block, FigureRow)
        for figure in block.figures
    }
    names: dict[str, Text] = {OVERVIEW: _("Overview")}
    names |= {name_commune_picture(one.number): f"{one.number}. {one.name}" for one in figures.communes}
    changes = {name_change_picture(one.number): format_change(figures, one) for one in figures.changes}
    names |= {name: title for name, title in changes.items() if name in captions}
    if LOCATOR in captions:
        names[LOCATOR] = _("Where it is")
    return [
        ViewerPicture(
            file=f"{_MAPS.in_language(document.language)}/{picture}.jpg",
            name=put_text(name, document.language),
            caption=captions[picture],
        )
        for picture, name in names.items()
    ]


def _list_changes_without_images(figures: PackFigures, document: PackDocument) -> list[str]:
    """List confirmed changes of which the page has no image pair."""
    return [
        format_change(figures, one).in_language(document.language)
        for one in figures.changes
        if name_change_picture(one.number) not in document.pictures
    ]


def _make_outdated_error() -> DraftOutdated:
    return DraftOutdated(
        _(
            "what this meeting pack shows has changed since its draft was made: ask for a "
            "new draft, look at it and approve that one"
        )
    )


def _withheld_from(workspace: Workspace, name: str) -> AccessPolicy:
    """Load an account's access policy. Raises NotFound: a removed account has none."""
    if not name:
        return UNRESTRICTED
    account = next((one for one in workspace.catalog.accounts.all() if one.name == name), None)
    if account is None:
        raise NotFound(_("{name}: there is no such account; see 'flycam user list'", name=name))
    return load_access_policy(workspace.catalog, account)


def _leader(name: str) -> str:
    """Normalise the leader's name. Raises OptionUnusable for a name of spaces."""
    normalized = normalize_name(strip_unprintable(name))
    if name and not normalized:
        raise OptionUnusable(
            _("--approved-by: give the name of the leader who approved the pack, or leave it out")
        )
    return normalized


def _tell_audit(workspace: Workspace, figures: PackFigures, seen: Sequence[str], digest: str) -> None:
    """Append to the audit log who exported and approved this pack, with its hash.

    It names every flight that is shown in the pack.
    """
    approval = f"approved by {figures.approved_by}" if figures.approved_by else "draft"
    approval += f", asked for by {figures.requested_by}" if figures.requested_by else ""
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "pack",
        " ".join(seen),
        f"{approval}, {figures.classification}; {MANIFEST} {digest}",
        at_ns=figures.made_ns,
    )


# -- Letterhead of an office's documents, from a small file in JSON or YAML ------------------------


_MAX_BYTES = 1 << 16
_TEXTS = ("parent", "issuer", "number", "place", "signer_title")
_LISTS = ("recipients", "heading")


def read_letterhead(path: Path) -> Letterhead:
    """Read a letterhead.

    Keys: texts parent, issuer, number, place, signer_title; lists of texts recipients, heading. Absent values
    are dotted lines in the document; without heading it is the nation's, where the ground is in Viet Nam, and
    an empty one is none. Raises SourceUnreadable for a file that is neither JSON nor YAML, or has other keys
    or values.
    """
    values = _read(path)
    unknown = sorted(set(map(str, values)) - {*_TEXTS, *_LISTS})
    if unknown:
        known = ", ".join((*_TEXTS, *_LISTS))
        raise SourceUnreadable(
            _(
                "{name}: a letterhead has no {unknown!r}; it knows {known}",
                name=path.name,
                unknown=unknown[0],
                known=known,
            )
        )
    texts = {name: _text(path, name, values.get(name)) for name in _TEXTS}
    recipients = _texts(path, "recipients", values.get("recipients") or [])
    heading = values.get("heading")
    return Letterhead(
        **texts, recipients=recipients, heading=None if heading is None else _texts(path, "heading", heading)
    )


def _texts(path: Path, name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise _not_text(path, name)
    return tuple(_text(path, name, one) for one in values)


def _read(path: Path) -> dict[Any, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("too large")
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    # YAML's constructors raise arbitrary exceptions for odd values
    except Exception as error:
        raise SourceUnreadable(
            _("{path}: cannot be read as JSON or YAML; check the file", path=path)
        ) from error
    if not isinstance(values, dict):
        raise SourceUnreadable(
            _("{name}: holds no letterhead: give named values such as 'issuer: …'", name=path.name)
        )
    return values


def _text(path: Path, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _not_text(path, name)
    return normalize_name(strip_unprintable(str(value)))


def _not_text(path: Path, name: str) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: {key!r} is not text; write it on one line; recipients and heading as lists",
            name=path.name,
            key=name,
        )
    )
