"""Languages of reports, and texts that several of them have."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.messages import Message, _, verbatim

LANGUAGES = ("vi", "en")

_LAYER_NAMES: Mapping[str, Message] = {"colour": _("colour"), "thermal": _("thermal")}


def name_layer(layer: str) -> Message:
    """Name a layer; one without a name of its own by its key."""
    return _LAYER_NAMES.get(layer) or verbatim(layer)
