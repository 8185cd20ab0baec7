"""Settlements (villages, hamlets) and their access: unknown until a person states it."""

from __future__ import annotations

from enum import StrEnum


class Access(StrEnum):
    """Access to a settlement; UNKNOWN until somebody states otherwise."""

    REACHABLE = "reachable"
    ISOLATED = "isolated"
    UNKNOWN = "unknown"


class RoadStatus(StrEnum):
    """Road access of a settlement by the layers and confirmed changes.

    Only CUT_OFF proposes anything.

    CUT_OFF    its roads led to the main net, and all that do are cut
    JOINED     a road leads to the main net past all confirmed cuts; others may be cut unseen
    NO_ROAD    no road of the layers comes near it
    NOT_JOINED its roads do not lead to the main net, cut or not: the layer has a gap, or it lies apart
    NO_LAYER   no layer has roads
    """

    CUT_OFF = "cut_off"
    JOINED = "joined"
    NO_ROAD = "no_road"
    NOT_JOINED = "not_joined"
    NO_LAYER = "no_layer"

    @property
    def proposed_access(self) -> Access:
        """Access to propose.

        A road that is not known to be cut does not make a place reachable.
        """
        return Access.ISOLATED if self is RoadStatus.CUT_OFF else Access.UNKNOWN
