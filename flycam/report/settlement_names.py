"""Names of settlements' access and of road evidence."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.settlement import Access, RoadStatus
from flycam.messages import Message, _, pgettext

ACCESS_NAMES: Mapping[Access, Message] = {
    Access.REACHABLE: pgettext("settlement", "reachable"),
    Access.ISOLATED: pgettext("settlement", "isolated"),
    Access.UNKNOWN: pgettext("settlement", "unknown"),
}

ROADS_SAY_NAMES: Mapping[RoadStatus, Message] = {
    RoadStatus.CUT_OFF: _("its roads to the main net are cut: proposed as isolated"),
    RoadStatus.JOINED: _("a road passes all confirmed cuts; stretches that nobody flew over are not known"),
    RoadStatus.NO_ROAD: _("no road of the layers comes near"),
    RoadStatus.NOT_JOINED: _("its roads are not joined to the main net in the layer"),
    RoadStatus.NO_LAYER: _("no layer of roads, or no more in a layer"),
}
