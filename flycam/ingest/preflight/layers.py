"""Layer of photos: by their tags, by the operator's choice, and where the operator should be asked.

A camera with its infrared filter removed writes the same tags as one that has it. Such cameras are known
(`bands` in models/cameras); their photos stay colour until the operator states otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flycam.frame.frame import Layer
from flycam.geodata.cameras import lookup_bands
from flycam.ingest.photo.display_names import make_display_names
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.messages import _, ngettext, pgettext

LAYER_NAMES = {
    Layer.COLOUR: pgettext("layer", "colour"),
    Layer.INFRARED: pgettext("layer", "infrared"),
    Layer.THERMAL: pgettext("layer", "thermal"),
    Layer.NIGHT: pgettext("layer", "night"),
}


MAYBE_INFRARED = "maybe_infrared"


def assign_layer(
    photos: Sequence[PhotoMetadata], layer: str | None, problems: list[Problem]
) -> Sequence[PhotoMetadata]:
    """Return the photos, all in the operator's `layer` if one is given.

    Findings are added to `problems`. Raises ValueError for a layer that does not exist.
    """
    if layer is None:
        problems += _suspected_infrared(photos)
        return photos
    wanted = Layer(layer)
    changed = tuple(
        name for photo, name in zip(photos, make_display_names(photos), strict=True) if photo.band != wanted
    )
    problems.append(
        Problem(
            code="layer_given",
            severity=Severity.INFO,
            sentence=_(
                "All photos are {layer} by the operator's word; the tags of {changed} of {total} say "
                "otherwise.",
                layer=LAYER_NAMES[wanted],
                changed=len(changed),
                total=len(photos),
            ),
            frames=changed,
        )
    )
    return [replace(photo, band=wanted.value) for photo in photos]


def find_infrared_suspects(photos: Sequence[PhotoMetadata]) -> frozenset[str]:
    """Return cameras whose photos may be near-infrared although no tag states it."""
    return frozenset(photo.camera_name for photo in photos if _is_doubted(photo))


def _is_doubted(photo: PhotoMetadata) -> bool:
    return photo.band == Layer.COLOUR and Layer.INFRARED in lookup_bands(photo.maker, photo.model)


def _suspected_infrared(photos: Sequence[PhotoMetadata]) -> list[Problem]:
    """Report colour photos of cameras also sold for near-infrared, by camera."""
    by_camera: dict[str, list[str]] = {}
    for photo, name in zip(photos, make_display_names(photos), strict=True):
        if _is_doubted(photo):
            by_camera.setdefault(photo.model, []).append(name)
    return [
        Problem(
            code=MAYBE_INFRARED,
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} photo comes from a {camera}, which mapping aircraft carry with a colour or a "
                "near-infrared filter, and no tag says which: it is taken as colour; if plants look red or "
                "violet, ingest it with --layer infrared, which also moves photos that are on the map "
                "already.",
                "{count} photos come from a {camera}, which mapping aircraft carry with a colour or a "
                "near-infrared filter, and no tag says which: they are taken as colour; if plants look red "
                "or violet, ingest them with --layer infrared, which also moves photos that are on the map "
                "already.",
                len(names),
                camera=camera,
            ),
            frames=tuple(names),
        )
        for camera, names in by_camera.items()
    ]
