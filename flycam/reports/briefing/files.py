"""Files of a briefing pack: PMTiles, GeoPackage, KMZ, list of photos, hashes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.board.settlements import build_settlement_layer
from flycam.change.impact_report import IMPACT_COLUMNS, build_impact_columns, build_impact_field
from flycam.change.outlines import estimate_area_error
from flycam.errors import StorageFailed
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.geodata.feature_file import FeatureLayer, encode_csv, write_features
from flycam.geodata.kml import GroundOverlay, Placemark, write_kmz
from flycam.geodata.pmtiles import sort_by_archive_id, write_pmtiles
from flycam.geometry.grid import TileId, mercator_to_lonlat
from flycam.model.board import CHANGE_KIND_NAMES, MARK_KIND_NAMES, MARK_STATUS_NAMES, MarkKind
from flycam.model.flight import DRILL_MARK
from flycam.model.frame import TileRecord
from flycam.model.text import escape_cell
from flycam.model.time import format_iso
from flycam.mosaic.raster import COLOURS, TileDecoding
from flycam.mosaic.redaction import MaskOverlay
from flycam.mosaic.tiles.codec import ViewFormat, encode_view
from flycam.reports.briefing.contents import PackContents, ShownFlight, ShownMark
from flycam.reports.briefing.figures import PackFigures
from flycam.reports.briefing.maps import render_flight_png
from flycam.workspace import Progress, Workspace

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
    write_pmtiles(
        path,
        _views(workspace, look, [heads[tile] for tile in sort_by_archive_id(list(heads))], progress),
        bounds_lonlat_deg=(west, south, east, north),
        metadata=_about(side),
    )


def write_geopackage(path: Path, figures: PackFigures, contents: PackContents) -> None:
    """Write a GeoPackage in the work CRS.

    Layers: flights (ground shown), communes (boundaries, with figures), marks and sectors, confirmed changes
    with their impact, settlements. Raises OSError.
    """
    to_work = make_point_transform(WEB_MERCATOR, contents.work_crs)
    from_lonlat = make_point_transform(WGS84, contents.work_crs)
    layers = [_flights_layer(figures, contents, to_work)]
    if contents.communes:
        layers.append(_communes_layer(figures, contents, to_work))
    for name, kind in (("marks", "Point"), ("sectors", "MultiPolygon")):
        signs = [
            (number, one)
            for number, one in enumerate(contents.marks, 1)
            if (one.line.kind is MarkKind.SECTOR) == (name == "sectors")
        ]
        if signs:
            layers.append(_signs_layer(name, kind, signs, contents, from_lonlat))
    if contents.changes:
        layers.append(_changes_layer(contents, from_lonlat))
    if contents.settlements:
        layers.append(build_settlement_layer(contents.settlements, from_lonlat))
    try:
        write_features(path, layers, crs=contents.work_crs)
    # its message names the temporary folder, which nobody sees
    except StorageFailed as error:
        raise OSError(errno.EIO, str(error.__cause__)) from error


def _flights_layer(figures: PackFigures, contents: PackContents, to_work: PointTransform) -> FeatureLayer:
    return FeatureLayer(
        name="flights",
        kind="MultiPolygon",
        shapes=_multi([shapely.transform(side.ground, to_work) for side in contents.flights]),
        fields={
            "flight_id": _texts(one.flight_id for one in figures.flights),
            "name": _texts(one.name for one in figures.flights),
            "event": _texts(one.event for one in figures.flights),
            "drill": _drill(contents, len(figures.flights)),
            "first": _texts(format_iso(one.first_ns, "seconds") for one in figures.flights),
            "last": _texts(format_iso(one.last_ns, "seconds") for one in figures.flights),
            "gsd_m": np.array([one.gsd_m for one in figures.flights]),
            "imaged_m2": np.array([one.imaged_m2 for one in figures.flights]),
            "error_m": np.array([one.error_m[0] if one.error_m else np.nan for one in figures.flights]),
        },
    )


def _communes_layer(figures: PackFigures, contents: PackContents, to_work: PointTransform) -> FeatureLayer:
    return FeatureLayer(
        name="communes",
        kind="MultiPolygon",
        shapes=_multi([shapely.transform(place.shape, to_work) for place in contents.communes]),
        fields={
            "code": _texts(one.code for one in figures.communes),
            "name": _texts(one.name for one in figures.communes),
            "drill": _drill(contents, len(figures.communes)),
            "imaged_m2": np.array([one.imaged_m2 for one in figures.communes]),
            "imaged_pct": np.array([one.imaged_pct for one in figures.communes]),
            "last": _texts(format_iso(one.last_ns, "seconds") for one in figures.communes),
            "marks": np.array([len(one.marks) for one in figures.communes], dtype=np.int32),
        },
    )


def _signs_layer(
    name: str,
    kind: str,
    signs: Sequence[tuple[int, ShownMark]],
    contents: PackContents,
    to_work: PointTransform,
) -> FeatureLayer:
    shapes = [shapely.transform(one.shape, to_work) for _, one in signs]
    lines = [one.line for _, one in signs]
    return FeatureLayer(
        name=name,
        kind=kind,
        shapes=_multi(shapes) if kind == "MultiPolygon" else np.array(shapes, dtype=object),
        fields={
            "number": np.array([number for number, _ in signs], dtype=np.int32),
            "drill": _drill(contents, len(signs)),
            "kind": _texts(line.kind.value for line in lines),
            "status": _texts(line.status.value for line in lines),
            "note": _texts(line.note for line in lines),
            "author": _texts(line.author for line in lines),
            "time": _texts(format_iso(line.at_ns, "seconds") for line in lines),
        },
    )


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
            "change_id": _texts(line.change_id for line in lines),
            "drill": _drill(contents, len(lines)),
            "kind": _texts(line.kind.value for line in lines),
            "area_m2": np.array([line.area_m2 for line in lines]),
            "area_error_m2": np.array([estimate_area_error(line) for line in lines], np.float64),
            "note": _texts(line.note for line in lines),
            "note_by": _texts(sign.note_by for sign in signs),
            "decided_by": _texts(sign.decided_by for sign in signs),
            "decided": _texts(format_iso(sign.decided_ns, "seconds") for sign in signs),
            **{name: build_impact_field(name, [row[name] for row in touched]) for name in IMPACT_COLUMNS},
        },
    )


def _drill(contents: PackContents, count: int) -> np.ndarray:
    """Return the exercise mark for every row.

    A row that is copied elsewhere keeps it.
    """
    return _texts([DRILL_MARK if contents.is_drill else ""] * count)


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


def _about(side: ShownFlight) -> dict[str, object]:
    """Return the archive's metadata."""
    flight = side.flight
    mark = f"{DRILL_MARK} – " if side.event.is_drill else ""
    captured = [format_iso(flight.first_ns, "seconds"), format_iso(flight.last_ns, "seconds")]
    return {
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
    }


def _multi(shapes: Sequence[Any]) -> np.ndarray:
    made = np.empty(len(shapes), dtype=object)
    made[:] = [shapely.multipolygons(shapely.get_parts(shape)) for shape in shapes]
    return made


def _texts(values: Any) -> np.ndarray:
    return np.array(list(values), dtype=object)
