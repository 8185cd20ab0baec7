"""Names of kinds of changes and of features that they touch, and why a change has no score or volume."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.change import ChangeKind
from flycam.frame.specialist_layer import LayerKind
from flycam.messages import Message, _

CHANGE_KIND_NAMES: Mapping[ChangeKind, Message] = {
    ChangeKind.LANDSLIDE: _("Landslide"),
    ChangeKind.FLOOD: _("Flood"),
    ChangeKind.OTHER: _("Other change"),
}

LAYER_KIND_NAMES: Mapping[LayerKind, Message] = {
    LayerKind.ROAD: _("roads"),
    LayerKind.HOUSE: _("houses"),
    LayerKind.SETTLEMENT: _("settlements"),
    LayerKind.SCHOOL: _("schools"),
    LayerKind.MAST: _("phone masts"),
    LayerKind.POWER: _("power lines"),
    LayerKind.HYDROLOGY: _("waters"),
    LayerKind.OTHER: _("other things"),
}
"""Most important first."""

NO_SCORE_REASONS: Mapping[str, Message] = {
    "drawn": _("none (drawn by hand)"),
    "kind_changed": _("none (a person chose another kind)"),
    "no_terrain": _("none (no terrain)"),
}
"""Reason for a missing probability, by `ChangeVersion.no_score`."""

VOLUME_BASIS = _(
    "A volume is measured against unchanged ground around: without that of other changes, rejected ones too"
    " (unless too little is left), so that it moves only where outlines come or are redrawn."
)
"""Basis of every volume of a landslide."""

NO_VOLUME_REASONS: Mapping[str, Message] = {
    "drawn": _("drawn by hand, of no two flights"),
    "picture": _("one side is a picture without heights"),
    "not_finished": _("one of the flights was not finished when they were compared"),
    "no_surface": _("one of the flights has no surface of its own"),
    "little_known": _("heights are known on both dates under less than half of it"),
    "little_stable": _("too little unchanged ground around to lay one surface on the other"),
}
"""Reason for a missing volume of a landslide, by `NoSurfaces` and `VolumeUnavailable`."""
