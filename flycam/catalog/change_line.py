"""What the catalogue holds of changes under review, as a frozen value. No database is seen from here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flycam.catalog.records import BoundsLonLat
from flycam.frame.change import ChangeAction, ChangeKind, ChangeStatus

SEVERAL = " + "
"""Between the pictures that a merged change was found on, where those are several."""

_MOSAIC_SHOWN = re.compile(r"(.+)@[0-9]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeLine:
    """One line of a change's history; the last is how the change stands.

    version      1, 2, … : who decides says which line was seen
    step_id      of all lines that one decision wrote, on several changes where it split or merged them
    event_id     the storm or drill it belongs to: a drill's changes never stand beside real ones
    score        probability that it is of its kind, the detector's; None: drawn by hand
    area_m2      in the work CRS, as length_m along its longest axis; slope_deg None where it is not known
    commune      code of the commune that holds most of it, "" where no boundary is known
    tie_m        from its middle to the nearest ground by which pictures were laid on each other, rmse_m of
                 that laying; both None of what was drawn by hand
    error_m      how far off its picture BEFORE the outline may lie, 1 sigma (`analysis.place_error`); None of
                 what was drawn, or found before schema 17
    before_shown, after_shown  what was compared: "mosaic@revision" or a picture's name, "" of what was drawn;
                 of what was merged all of them, with `SEVERAL` between
    undoes       the step that this line undid; "" of all other lines
    origins      changes that it was split off or merged from; of what was found again on a newer revision,
                 those whose place it took
    author       whoever wrote this line, at `at_ns`; of what was found: who had it looked for
    wkb          multipolygon
    """

    change_id: str
    version: int
    step_id: str
    event_id: str
    action: ChangeAction
    status: ChangeStatus
    kind: ChangeKind
    score: float | None
    area_m2: float
    length_m: float
    slope_deg: float | None
    commune: str
    tie_m: float | None
    rmse_m: float | None
    before_shown: str
    after_shown: str
    origins: tuple[str, ...]
    note: str
    author: str
    at_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat
    undoes: str = ""
    error_m: float | None = None

    @property
    def mosaics(self) -> tuple[str, ...]:
        """Ids of the mosaics that it was found on; pictures, and what was drawn, have none."""
        return mosaics_of(self.before_shown, self.after_shown)

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Mosaics (whatever their revisions) or pictures between which it may have been found: of what was
        merged each before with each after."""
        before, after = (
            [mosaic_of(part) for part in one.split(SEVERAL)] for one in (self.before_shown, self.after_shown)
        )
        return frozenset((one, other) for one in before for other in after)


def mosaics_of(*shown: str) -> tuple[str, ...]:
    """The mosaics among what was compared, each "mosaic@revision" or a picture's name, or several."""
    found = (_MOSAIC_SHOWN.fullmatch(part) for one in shown for part in one.split(SEVERAL))
    return tuple(one[1] for one in found if one is not None)


def revision_of(shown: str) -> int:
    """The revision of "mosaic@revision"; 0 of a picture."""
    mosaic_id, _, revision = shown.rpartition("@")
    return int(revision) if mosaic_id and revision.isdecimal() else 0


def mosaic_of(shown: str) -> str:
    """The mosaic of "mosaic@revision", whatever its revision; a picture's name as it is."""
    mosaic_id, _, revision = shown.rpartition("@")
    return mosaic_id if mosaic_id and revision.isdecimal() else shown
