"""Warnings of a finished revision whose cameras have an unknown readout time.

A rolling shutter that cannot be modelled bends an image by its readout time times the speed. The amount is
unknown too, so it is stated in words beside the revision and no sigma pretends to include it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import MosaicInfo
from flycam.catalog.revisions import LIVE_REVISION
from flycam.frame.warning import READOUT_UNKNOWN, encode_warning


def list_readout_warnings(stats: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the warning of a revision's statistics.

    None where every readout is known, or none was to be used.
    """
    rows = stats.get("rolling_shutter")
    if not rows or not rows["asked"] or not rows["unknown"]:
        return ()
    return (encode_warning(READOUT_UNKNOWN, frames=rows["unknown"]),)


def collect_readout_warnings(catalog: Catalog, shown: Iterable[MosaicInfo]) -> tuple[str, ...]:
    """Return the warnings of the published finished revisions."""
    finished = [one for one in shown if one.revision != LIVE_REVISION]
    stats = [catalog.revisions.get(one.mosaic_id, one.revision).stats for one in finished]
    return tuple(dict.fromkeys(said for one in stats for said in list_readout_warnings(one)))
