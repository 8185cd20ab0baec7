"""What the catalogue holds of changes under review, as a frozen value. No database is seen from here."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.image_reference import list_mosaic_ids, parse_source_pair
from flycam.catalog.records import BoundsLonLat
from flycam.frame.change import ChangeAction, ChangeKind, ChangeStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeVersion:
    """One line of a change's history; the last is how the change stands.

    version      1, 2, … : who decides says which line was seen
    step_id      of all lines that one decision wrote, on however many changes
    event_id     the storm or drill it belongs to: a drill's changes never stand beside real ones
    score        the detector's, by which candidates are ranked; None: its outline was drawn, or redrawn, by
                 hand. A probability that it is of its kind only where the terrain is known (`probability`)
    area_m2      in the work CRS, as length_m along its longest axis; slope_deg None where it is not known
    scored_as    the kind that the score is of, where a person said since that it is of another; "": its own
    commune      code of the commune that holds most of it, "" where no boundary is known
    tie_m        from its middle to the nearest ground by which pictures were laid on each other, rmse_m of
                 that laying; both None of what was drawn by hand
    error_m      how far off its picture BEFORE the outline may lie, 1 sigma (`analysis.position_error`); None
                 of what was drawn, or found before schema 17
    before_shown, after_shown  what was compared (`pictures_shown`): "mosaic@revision" or a file; of what was
                 drawn what it was drawn over, "" where nobody said
    undoes       the step that this line undid; "" of all other lines
    origins      of what was found again on a newer revision, the changes whose place it took
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
    scored_as: str = ""

    @property
    def is_kind_sure(self) -> bool:
        """Whether kinds could be told apart: where the terrain is not known a slide, a flood and a field are
        alike to the detector. What a person drew, or took for another kind, is of the kind that was said."""
        return self.score is None or self.slope_deg is not None or bool(self.scored_as)

    @property
    def is_drawn(self) -> bool:
        """Whether a person drew it without a candidate: no two pictures were laid on each other for it."""
        return self.score is None and self.rmse_m is None

    @property
    def probability(self) -> float | None:
        """That it is of its kind; None: drawn by hand, found where the terrain is not known, for which no
        score was ever calibrated, or scored as of another kind."""
        return None if self.no_score else self.score

    @property
    def no_score(self) -> str:
        """Why there is no probability: "drawn", "kind_changed", "no_terrain", or "" where there is one."""
        if self.score is None:
            return "drawn"
        if self.scored_as:
            return "kind_changed"
        return "" if self.is_kind_sure else "no_terrain"

    @property
    def mosaics(self) -> tuple[str, ...]:
        """Ids of the mosaics that it was found on, or drawn over; pictures have none."""
        return list_mosaic_ids(self.before_shown, self.after_shown)

    @property
    def pair(self) -> tuple[str, str]:
        """Mosaics (whatever their revisions) or pictures, before and after, between which it was found, or
        over which it was drawn."""
        return parse_source_pair(self.before_shown, self.after_shown)
