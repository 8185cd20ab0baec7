"""Advice on objects that the node cannot make again by itself."""

from __future__ import annotations

from flycam.messages import Message, _
from flycam.pipeline.operations.inventory import REPLACEABLE_KINDS, InventoryItem, InventoryKind

_FROM_COPY = _("put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP")
_ADVICE = {
    InventoryKind.PHOTO: _(
        "put it back from a folder that still has it: flycam verify --from CARD|FOLDER|BACKUP; a picture of "
        "a film that is lost comes back with the same film: flycam live"
    ),
    InventoryKind.TERRAIN: _(
        "put it back from a backup (flycam verify --from BACKUP), or ingest the flight's photos, or lay its "
        "film, again"
    ),
    InventoryKind.TILE: _(
        "the photos or the terrain it is made of are not whole: bring those back and verify again, put it "
        "back from a backup, or run 'flycam finish' for a new revision"
    ),
    InventoryKind.GIVEN: _(
        "put it back from a backup (flycam verify --from BACKUP), or have the box that gave it write all of "
        "it once more: flycam bundle write --all"
    ),
    InventoryKind.CLIP: _("the tiles it is cut from are not whole: bring those back and verify again"),
    InventoryKind.REPORT: _("make it anew: flycam report FLIGHT OUT.pdf"),
    InventoryKind.PACK: _(
        "put it back from a backup (flycam verify --from BACKUP), or ask for a new meeting pack on the map"
    ),
}
_BUSY = _("its flight is being written at this moment: verify again when that is done")
_NOT_TRIED = _("nothing was mended in this dry run: flycam verify makes it again, or says what it lacks")


def choose_advice(item: InventoryItem, *, is_busy: bool, was_tried: bool) -> Message:
    """Choose the advice for a lost or damaged object.

    is_busy: its flight could not be written now; was_tried: a repair was attempted.
    """
    if not was_tried and item.kind in REPLACEABLE_KINDS:
        return _NOT_TRIED
    return _BUSY if is_busy else _ADVICE.get(item.kind, _FROM_COPY)
