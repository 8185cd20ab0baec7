"""Hand-drawn outlines: the image pair drawn over, and their uncompared share.

Shares of small shapes are computed in degrees.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.comparisons import Comparison
from flycam.catalog.image_reference import list_mosaic_ids, parse_image_reference
from flycam.errors import InputUnusable
from flycam.frame.flight import Event
from flycam.messages import _
from flycam.pipeline.change.change_outlines import DECIMALS, to_valid_shapes
from flycam.pipeline.change.comparison_store import ComparisonReader, list_visible_comparisons, unite_ground

# Share of an outline: recorded ground is shrunk by a pixel, and its rim is smoothed.
_MIN_UNCOMPARED_SHARE = 0.02


def require_event_images(catalog: Catalog, ref: str, over: tuple[str, str], policy: AccessPolicy) -> None:
    """Raise InputUnusable unless both images (before, after) may be drawn over.

    They must be images of the event (id or name) that the account may see. Raises NotFound for the event.
    """
    event = catalog.flights.event(ref)
    known = list_drawable_images(catalog, event, policy)
    strange = next((one for one in over if one not in known), None)
    if strange is None:
        return
    if not strange:
        raise InputUnusable(_("name both pictures that it was drawn over, or neither"))
    raise InputUnusable(
        _(
            "{strange}: is no picture of {name}; show two of its flights beside each other and draw it anew",
            strange=strange[:60],
            name=event.name,
        )
    )


def list_drawable_images(catalog: Catalog, event: Event, policy: AccessPolicy) -> set[str]:
    """Return references of the images over which changes of an event may be drawn.

    Revisions of the mosaics of its flights, and what its changes were looked for on (files, and mosaics of
    earlier flights); none that the policy hides, and none of a drill in a real event.
    """
    compared: list[Comparison | ChangeVersion] = [*list_visible_comparisons(catalog, event.event_id, policy)]
    compared += [one for one in catalog.changes.current(event.event_id) if not policy.hides_change(one)]
    shown = {name for one in compared for name in (one.before_shown, one.after_shown)}
    looked_on = set(list_mosaic_ids(*shown))
    mixing = {one.event_id for one in catalog.flights.events() if one.is_drill and not event.is_drill}
    flown = {
        one.flight_id: one.event_id
        for one in catalog.flights.flights()
        if one.event_id not in mixing and not policy.hides_flight_entirely(one)
    }
    mosaics = {
        f"{one.mosaic_id}@{one.revision}"
        for one in catalog.tiles.mosaics()
        if one.flight_id in flown
        and (flown[one.flight_id] == event.event_id or one.mosaic_id in looked_on)
        and not policy.hides_mosaic(one.mosaic_id)
    }
    files = {one for one in shown if one and parse_image_reference(one).revision is None}
    return mosaics | files


def is_same_outline(outline: BaseGeometry, line: ChangeVersion) -> bool:
    """Return True if outlines are equal to the millimetre, from any first corner."""
    shapes = shapely.normalize([outline, shapely.from_wkb(line.wkb)])
    return bool(shapely.equals_exact(shapes[0], shapes[1], tolerance=1.5 * 10.0**-DECIMALS))


def compute_uncompared_shares(reader: ComparisonReader, lines: Sequence[ChangeVersion]) -> list[float | None]:
    """Return the share (0 to 1) of each drawn outline that was not compared.

    Not imaged on both dates, under a cloud, or outside the area asked for. None where the comparison is not
    recorded, where the share is within the outline's rim, or for a detector's outline, which lies on compared
    ground.
    """
    shares: list[float | None] = [None] * len(lines)
    drawn = [number for number, one in enumerate(lines) if one.score is None]
    for number, shape in zip(drawn, to_valid_shapes([lines[number] for number in drawn]), strict=True):
        line = lines[number]
        here = [one for one in reader(line.event_id) if one.pair == line.pair]
        if not here:
            continue
        share = 1.0 - float(shapely.intersection(shape, unite_ground(here)).area / shape.area)
        if share >= _MIN_UNCOMPARED_SHARE:
            shares[number] = share
    return shares
