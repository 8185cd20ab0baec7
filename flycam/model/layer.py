"""Layers, the spectral band sets of frames, and their names."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from flycam.messages import Message, _, pgettext, verbatim


class Layer(StrEnum):
    """Spectral band set of a frame; frames of different layers never share a mosaic."""

    COLOUR = "colour"
    INFRARED = "infrared"
    THERMAL = "thermal"
    NIGHT = "night"


_LAYER_IMAGES: Mapping[str, Message] = {"colour": _("colour"), "thermal": _("thermal")}


def name_layer(layer: str) -> Message:
    """Name a layer as pictures of it are called; one without a name of its own by its key."""
    return _LAYER_IMAGES.get(layer) or verbatim(layer)


LAYER_NAMES = {
    Layer.COLOUR: pgettext("layer", "colour"),
    Layer.INFRARED: pgettext("layer", "infrared"),
    Layer.THERMAL: pgettext("layer", "thermal"),
    Layer.NIGHT: pgettext("layer", "night"),
}
