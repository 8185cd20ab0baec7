"""Which ground redaction masks withhold, as their photos lie now.

A photo may lie in several ways at once: as the live map has it, and as each finished revision adjusted it.
The ground of a mask is made where terrain and pixels are at hand (`pipeline.redacting`); as long as it is not
known for a way, all that the photo shows is withheld.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flycam.catalog.catalog import Catalog
from flycam.catalog.placement_rows import placement_id, placement_of
from flycam.catalog.records import FrameRecord, RevisionState
from flycam.catalog.redactions import standing
from flycam.catalog.sharing_records import RedactionLine
from flycam.errors import NotFound
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation


@dataclass(frozen=True, kw_only=True, slots=True)
class Lay:
    """One way in which a photo lies on the ground, named by pose, camera and terrain."""

    name: str
    interior: InteriorOrientation
    exterior: ExteriorOrientation
    dem_id: str | None


@dataclass(frozen=True, slots=True)
class Masks:
    """What masks withhold.

    photos   the polygons (WKB, as `RedactionLine.wkb`) of each photo that has any, by its frame's id
    grounds  (frame id, polygon WKB in lon/lat): ground that the masks of a photo show
    """

    photos: dict[str, tuple[bytes, ...]]
    grounds: tuple[tuple[str, bytes], ...]


NO_MASKS = Masks({}, ())


def masks_of(catalog: Catalog) -> Masks:
    """All masks that hold, as things stand."""
    held = standing(catalog.redactions.lines())
    if not held:
        return NO_MASKS
    photos: dict[str, tuple[bytes, ...]] = {}
    for line in held:
        photos[line.frame_id] = (*photos.get(line.frame_id, ()), line.wkb)
    known: dict[str, dict[str, bytes]] = {}
    for one in catalog.redactions.grounds(line.line_id for line in held):
        known.setdefault(one.line_id, {})[one.lay] = one.wkb
    grounds = [
        (line.frame_id, wkb)
        for line in held
        for wkb in _grounds_of(catalog, line, known.get(line.line_id, {}))
    ]
    return Masks(photos, tuple(dict.fromkeys(grounds)))


def lays_of(catalog: Catalog, frame: FrameRecord) -> Iterator[Lay]:
    """Every way in which a photo lies on something that may be shown."""
    if frame.exterior is not None:
        yield Lay(
            name=placement_id(placement_of(frame)),
            interior=frame.header.interior,
            exterior=frame.exterior,
            dem_id=frame.dem_id,
        )
    mosaics = {one.mosaic_id for one in catalog.tiles.mosaics(frame.flight_id)}
    for mosaic_id in sorted(mosaics):
        for record in catalog.revisions.of_mosaic(mosaic_id):
            if record.state is not RevisionState.PUBLISHED:
                continue
            used = catalog.revisions.frame(mosaic_id, record.revision, frame.frame_id)
            if used is not None:
                yield Lay(
                    name=f"{mosaic_id}:{record.revision}:{record.dem_id}",
                    interior=used.interior,
                    exterior=used.exterior,
                    dem_id=record.dem_id,
                )


def _grounds_of(catalog: Catalog, line: RedactionLine, known: Mapping[str, bytes]) -> Iterator[bytes]:
    """Ground as the photo lies, and as it lay before: tiles of that may be on show until they are folded
    anew."""
    yield from known.values()
    try:
        frame = catalog.frames.get(line.frame_id)
    except NotFound:
        return  # its photo has not come yet, nor a tile of it
    if frame.footprint_wkb is not None and any(lay.name not in known for lay in lays_of(catalog, frame)):
        yield frame.footprint_wkb
