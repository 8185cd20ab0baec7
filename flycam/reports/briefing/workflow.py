"""Writing of a briefing pack into one folder, and letterheads.

The folder holds the documents for a meeting, and can be opened from a USB stick.

    flights -> ground of each -> communes under it, marks in them -> maps
    figures + maps -> quick report as PDF and DOCX, slides, a page for any browser
    tiles -> PMTiles · outlines -> GeoPackage · both -> KMZ
    hashes of all of it -> manifest -> the folder, atomically -> an entry in the audit log
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from numpy.typing import NDArray

from flycam.access.policy import UNRESTRICTED, AccessPolicy, load_access_policy, load_export_policy
from flycam.board.marks import build_settlement_layer
from flycam.catalog.access import make_account_not_found
from flycam.change.export import IMPACT_COLUMNS, build_impact_columns, build_impact_field, list_lower_bounds
from flycam.change.outlines import estimate_area_error
from flycam.errors import DraftOutdated, OptionUnusable, SourceUnreadable, StorageFailed
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.geodata.feature_file import FeatureLayer, encode_csv, write_features
from flycam.geodata.kml import GroundOverlay, Placemark, write_kmz
from flycam.geodata.pmtiles import sort_by_archive_id, write_pmtiles
from flycam.geometry.grid import TileId, mercator_to_lonlat
from flycam.messages import Message, _, pgettext
from flycam.model.board import CHANGE_KIND_NAMES, MARK_KIND_NAMES, MARK_STATUS_NAMES, MarkKind
from flycam.model.flight import DRILL_MARK, Classification
from flycam.model.frame import TileRecord
from flycam.model.text import escape_cell, normalize_name, strip_unprintable
from flycam.model.time import format_iso
from flycam.model.warning import MASKS_COVERED, encode_warning
from flycam.mosaic.raster import COLOURS, TileDecoding
from flycam.mosaic.redaction import MaskOverlay
from flycam.mosaic.tiles.codec import ViewFormat, encode_view
from flycam.reports.briefing.changes import (
    LOCATOR,
    OVERVIEW,
    format_change,
    name_change_picture,
    name_commune_picture,
)
from flycam.reports.briefing.contents import PackContents, ShownFlight, gather_contents
from flycam.reports.briefing.document import PackDocument, build_pack_document
from flycam.reports.briefing.figures import Letterhead, PackFigures, gather_pack_figures, hash_content
from flycam.reports.briefing.formats import (
    ViewerPicture,
    to_docx,
    to_drill_band,
    to_pack_pdf,
    to_pptx,
    to_viewer,
)
from flycam.reports.briefing.maps import draw_image_pairs, draw_locator, draw_maps, render_flight_png
from flycam.reports.layout import FigureRow, Text, put_text
from flycam.storage.files import replace_folder
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Data files: PMTiles, GeoPackage, KMZ, list of photos, hashes ----------------------------------


PointTransform = Callable[[NDArray[np.float64]], NDArray[np.float64]]

MANIFEST = "manifest.sha256"
_DESKTOP_FILES = frozenset({"Thumbs.db", "desktop.ini", ".DS_Store"})
"""Files that file managers leave in folders that they show."""
_TILES_AT_ONCE = 64
_LOSSY_QUALITY = 78


def write_tile_archive(
    workspace: Workspace, side: ShownFlight, path: Path, overlay: MaskOverlay, progress: Progress
) -> None:
    """Write all tiles of a flight's mosaic, without masked pixels, as PMTiles.

    Format: docs/formats/pmtiles.md.
    """
    look = overlay.wrap_reader(COLOURS)
    heads = {
        head.tile_id: head
        for head in workspace.catalog.tiles.heads(side.mosaic.mosaic_id, side.mosaic.revision)
    }
    (west, south), (east, north) = mercator_to_lonlat(np.array(side.extent).reshape(2, 2)).tolist()
    flight = side.flight
    mark = f"{DRILL_MARK} – " if side.event.is_drill else ""
    captured = [format_iso(flight.first_ns, "seconds"), format_iso(flight.last_ns, "seconds")]
    write_pmtiles(
        path,
        _views(workspace, look, [heads[tile] for tile in sort_by_archive_id(list(heads))], progress),
        bounds_lonlat_deg=(west, south, east, north),
        metadata={
            "name": f"{mark}{flight.name}",
            "description": f"{side.event.name}, {captured[0]} – {captured[1]}",
            "type": "overlay",
            "flycam": {
                "flight_id": flight.flight_id,
                "mosaic_id": side.mosaic.mosaic_id,
                "revision": side.mosaic.revision,
                "is_drill": side.event.is_drill,
                "captured": captured,
            },
        },
    )


def write_geopackage(path: Path, figures: PackFigures, contents: PackContents) -> None:
    """Write a GeoPackage in the work CRS.

    Layers: flights (ground shown), communes (boundaries, with figures), marks and sectors, confirmed changes
    with their impact, settlements. Raises OSError.
    """
    to_work = make_point_transform(WEB_MERCATOR, contents.work_crs)
    from_lonlat = make_point_transform(WGS84, contents.work_crs)
    layers = [
        FeatureLayer(
            name="flights",
            kind="MultiPolygon",
            shapes=_multi([shapely.transform(side.ground, to_work) for side in contents.flights]),
            fields={
                "flight_id": _text_column(one.flight_id for one in figures.flights),
                "name": _text_column(one.name for one in figures.flights),
                "event": _text_column(one.event for one in figures.flights),
                "drill": _drill(contents, len(figures.flights)),
                "first": _text_column(format_iso(one.first_ns, "seconds") for one in figures.flights),
                "last": _text_column(format_iso(one.last_ns, "seconds") for one in figures.flights),
                "gsd_m": np.array([one.gsd_m for one in figures.flights]),
                "imaged_m2": np.array([one.imaged_m2 for one in figures.flights]),
                "error_m": np.array([one.error_m[0] if one.error_m else np.nan for one in figures.flights]),
            },
        )
    ]
    if contents.communes:
        layers.append(
            FeatureLayer(
                name="communes",
                kind="MultiPolygon",
                shapes=_multi([shapely.transform(place.shape, to_work) for place in contents.communes]),
                fields={
                    "code": _text_column(one.code for one in figures.communes),
                    "name": _text_column(one.name for one in figures.communes),
                    "drill": _drill(contents, len(figures.communes)),
                    "imaged_m2": np.array([one.imaged_m2 for one in figures.communes]),
                    "imaged_pct": np.array([one.imaged_pct for one in figures.communes]),
                    "last": _text_column(format_iso(one.last_ns, "seconds") for one in figures.communes),
                    "marks": np.array([len(one.marks) for one in figures.communes], dtype=np.int32),
                },
            )
        )
    for name, kind in (("marks", "Point"), ("sectors", "MultiPolygon")):
        signs = [
            (number, one)
            for number, one in enumerate(contents.marks, 1)
            if (one.line.kind is MarkKind.SECTOR) == (name == "sectors")
        ]
        if signs:
            shapes = [shapely.transform(one.shape, from_lonlat) for _, one in signs]
            lines = [one.line for _, one in signs]
            layers.append(
                FeatureLayer(
                    name=name,
                    kind=kind,
                    shapes=_multi(shapes) if kind == "MultiPolygon" else np.array(shapes, dtype=object),
                    fields={
                        "number": np.array([number for number, _ in signs], dtype=np.int32),
                        "drill": _drill(contents, len(signs)),
                        "kind": _text_column(line.kind.value for line in lines),
                        "status": _text_column(line.status.value for line in lines),
                        "note": _text_column(line.note for line in lines),
                        "author": _text_column(line.author for line in lines),
                        "time": _text_column(format_iso(line.at_ns, "seconds") for line in lines),
                    },
                )
            )
    if contents.changes:
        layers.append(_changes_layer(contents, from_lonlat))
    if contents.settlements:
        layers.append(build_settlement_layer(contents.settlements, from_lonlat))
    try:
        write_features(path, layers, crs=contents.work_crs)
    # its message names the temporary folder, which nobody sees
    except StorageFailed as error:
        raise OSError(errno.EIO, str(error.__cause__)) from error


def _changes_layer(contents: PackContents, to_work: PointTransform) -> FeatureLayer:
    lines = [patch.impact.line for patch in contents.changes]
    signs = [patch.signature for patch in contents.changes]
    touched = [build_impact_columns(patch.impact) for patch in contents.changes]
    return FeatureLayer(
        name="changes",
        kind="MultiPolygon",
        shapes=_multi([shapely.transform(patch.shape, to_work) for patch in contents.changes]),
        fields={
            "number": np.arange(1, len(lines) + 1, dtype=np.int32),
            "change_id": _text_column(line.change_id for line in lines),
            "drill": _drill(contents, len(lines)),
            "kind": _text_column(line.kind.value for line in lines),
            "area_m2": np.array([line.area_m2 for line in lines]),
            "at_least": _text_column(
                ", ".join(list_lower_bounds(patch.impact)) for patch in contents.changes
            ),
            "area_error_m2": np.array([estimate_area_error(line) for line in lines], np.float64),
            "note": _text_column(line.note for line in lines),
            "note_by": _text_column(sign.note_by for sign in signs),
            "decided_by": _text_column(sign.decided_by for sign in signs),
            "decided": _text_column(format_iso(sign.decided_ns, "seconds") for sign in signs),
            **{name: build_impact_field(name, [row[name] for row in touched]) for name in IMPACT_COLUMNS},
        },
    )


def _drill(contents: PackContents, count: int) -> np.ndarray:
    """Return the exercise mark for every row.

    A row that is copied elsewhere keeps it.
    """
    return _text_column([DRILL_MARK if contents.is_drill else ""] * count)


def write_pack_kmz(
    workspace: Workspace,
    path: Path,
    contents: PackContents,
    overlay: MaskOverlay,
    band_png: bytes | None,
    language: str,
) -> None:
    """Write images, boundaries, changes and marks as KMZ, newest flight on top."""
    mark = f"{DRILL_MARK} – " if contents.is_drill else ""
    pictures = []
    # the newest last, so that it is on top
    for side in reversed(contents.flights):
        picture, bounds = render_flight_png(workspace, side, overlay, band_png)
        pictures.append(
            GroundOverlay(
                name=f"{mark}{side.flight.name}",
                description=side.event.name,
                picture=picture,
                bounds_lonlat_deg=bounds,
                begin=format_iso(side.flight.first_ns, "seconds"),
                end=format_iso(side.flight.last_ns, "seconds"),
            )
        )
    outlines = [
        Placemark(
            name=place.commune.name,
            description=place.commune.code,
            shape=shapely.from_wkb(place.commune.wkb),
        )
        for place in contents.communes
    ]
    signs = [
        Placemark(
            name=f"{mark}{number}. {MARK_KIND_NAMES[one.line.kind].in_language(language)} "
            f"({MARK_STATUS_NAMES[one.line.status].in_language(language)})",
            description=f"{one.line.note} – {one.line.author}",
            shape=one.shape,
        )
        for number, one in enumerate(contents.marks, 1)
    ]
    patches = [
        Placemark(
            name=f"{mark}T{number}. {CHANGE_KIND_NAMES[patch.impact.line.kind].in_language(language)}",
            description=f"{patch.attributed_note} – {patch.signature.decided_by}",
            shape=patch.shape,
        )
        for number, patch in enumerate(contents.changes, 1)
    ]
    events = ", ".join(dict.fromkeys(side.event.name for side in contents.flights))
    write_kmz(path, f"{mark}{events}", pictures, [*outlines, *patches, *signs])


def write_source_list(path: Path, figures: PackFigures) -> None:
    """Write a CSV of all photos on the maps, with SHA-256.

    Photos of flights that changes are shown on are included.
    """
    rows = [["flight_id", "flight", "photo", "captured_utc", "sha256"]]
    shown = [(flight.flight_id, flight.name, flight.sources) for flight in figures.flights]
    shown += [(further.flight_id, further.name, further.sources) for further in figures.further_flights]
    for flight_id, name, sources in shown:
        for one in sources:
            captured = format_iso(one.captured_ns)
            rows.append([flight_id, escape_cell(name), escape_cell(one.name), captured, one.sha256])
    path.write_bytes(encode_csv(rows))


def write_hash_manifest(folder: Path) -> str:
    """Write hashes of all files of a folder for `sha256sum -c`; return its own.

    All files are synced.
    """
    lines = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and one.name != MANIFEST):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    text = "".join(lines).encode()
    with (folder / MANIFEST).open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(text).hexdigest()


def find_foreign_file(folder: Path) -> str | None:
    """Find a file that the manifest does not name, or that was changed since.

    None if there is none. Notes, or a report that an office went on editing, must not be lost with an old
    pack. Deleted files do not count. Raises OSError.
    """
    listed = _listed(folder / MANIFEST)
    # not a pack: one other file in it is enough, however large it is
    if not listed:
        return next((one.name for one in folder.iterdir() if one.name not in _DESKTOP_FILES), None)
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == MANIFEST or path.name in _DESKTOP_FILES:
            continue
        if name not in listed or listed[name] != _digest(path):
            return name
    return None


def _listed(manifest: Path) -> dict[str, str]:
    """Read digests by name; empty if there is no valid manifest."""
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    pairs = (line.split("  ", 1) for line in lines)
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _views(
    workspace: Workspace, look: TileDecoding, heads: Sequence[TileRecord], progress: Progress
) -> Iterator[tuple[TileId, bytes]]:
    """Yield each tile as WebP, in order, a few at a time in two threads."""

    def view(head: TileRecord) -> tuple[TileId, bytes]:
        rgb, mask = look.decode(workspace.store.get(head.key), head.tile_id)
        return head.tile_id, encode_view(rgb, mask, ViewFormat.WEBP, lossy_quality=_LOSSY_QUALITY)

    done = 0
    with ThreadPoolExecutor(2, thread_name_prefix="tiles") as pool:
        for start in range(0, len(heads), _TILES_AT_ONCE):
            yield from pool.map(view, heads[start : start + _TILES_AT_ONCE])
            done = min(start + _TILES_AT_ONCE, len(heads))
            progress("tiles", done, len(heads))


def _multi(shapes: Sequence[Any]) -> np.ndarray:
    made = np.empty(len(shapes), dtype=object)
    made[:] = [shapely.multipolygons(shapely.get_parts(shape)) for shape in shapes]
    return made


def _text_column(values: Any) -> np.ndarray:
    return np.array(list(values), dtype=object)


# -- The pack in one folder, and letterheads -------------------------------------------------------


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
    approved_by = normalize_name(strip_unprintable(request.approved_by))
    if request.approved_by and not approved_by:
        raise OptionUnusable(
            _("--approved-by: give the name of the leader who approved the pack, or leave it out")
        )
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
            raise DraftOutdated(
                _(
                    "what this meeting pack shows has changed since its draft was made: ask for a "
                    "new draft, look at it and approve that one"
                )
            )

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
    # it names every flight that is shown in the pack
    approval = f"approved by {figures.approved_by}" if figures.approved_by else "draft"
    approval += f", asked for by {figures.requested_by}" if figures.requested_by else ""
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "pack",
        " ".join(seen),
        f"{approval}, {figures.classification}; {MANIFEST} {digest}",
        at_ns=figures.made_ns,
    )
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
        to_viewer(
            document,
            shown,
            offered,
            [
                format_change(figures, one).in_language(document.language)
                for one in figures.changes
                if name_change_picture(one.number) not in document.pictures
            ],
        )
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


def _withheld_from(workspace: Workspace, name: str) -> AccessPolicy:
    """Load an account's access policy. Raises NotFound: a removed account has none."""
    if not name:
        return UNRESTRICTED
    account = next((one for one in workspace.catalog.accounts.all() if one.name == name), None)
    if account is None:
        raise make_account_not_found(name)
    return load_access_policy(workspace.catalog, account)


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
