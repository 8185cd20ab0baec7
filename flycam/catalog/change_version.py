"""Versions of changes under review, as frozen values; independent of the database."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.image_reference import list_mosaic_ids, parse_source_pair
from flycam.catalog.records import BoundsLonLat
from flycam.frame.change import ChangeAction, ChangeKind, ChangeStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeVersion:
    """One version of a change; the last one is current.

    version      1, 2, … : a decision names the version that it was based on
    step_id      of all versions that one decision wrote, on however many changes
    event_id     the event it belongs to: an exercise's changes never appear beside real ones
    score        the detector's, by which candidates are ranked; None: its outline was drawn, or redrawn, by
                 hand. A probability of its kind only where the terrain is known (`probability`)
    area_m2      in the work CRS, as length_m along its longest axis; slope_deg None if not known
    scored_as    the kind that the score is of, if a person has changed the kind since; "": its own
    commune      code of the commune that holds most of it, "" where no boundary is known
    tie_m        from its middle to the nearest ground that the coregistration used, rmse_m of that; both None
                 if drawn by hand
    error_m      horizontal error of the outline on the image BEFORE, 1 sigma (`analysis.position_error`);
                 None if drawn, or found before schema 17
    before_shown, after_shown  images that were compared (`image_reference`): "mosaic@revision" or a file; of
                 a drawn change the images it was drawn over, "" if not stated
    undoes       the step that this version undid; "" in all others
    origins      of a change found again on a newer revision, the changes that it replaces
    author       of this version, at `at_ns`; of a found change, who started the search
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
        """True if kinds could be told apart.

        Without terrain a slide, a flood and a field are alike to the detector. A change that a person drew,
        or gave another kind, is of that kind.
        """
        return self.score is None or self.slope_deg is not None or bool(self.scored_as)

    @property
    def is_drawn(self) -> bool:
        """True if a person drew it without a candidate.

        No images were coregistered for it then.
        """
        return self.score is None and self.rmse_m is None

    @property
    def probability(self) -> float | None:
        """Probability that it is of its kind.

        None if it was drawn by hand, found where the terrain is not known (no score was ever calibrated for
        that), or scored as another kind.
        """
        return None if self.no_score else self.score

    @property
    def no_score(self) -> str:
        """Reason for no probability: "drawn", "kind_changed", "no_terrain"; else ""."""
        if self.score is None:
            return "drawn"
        if self.scored_as:
            return "kind_changed"
        return "" if self.is_kind_sure else "no_terrain"

    @property
    def mosaics(self) -> tuple[str, ...]:
        """Ids of the mosaics on which it was found or drawn; image files have none."""
        return list_mosaic_ids(self.before_shown, self.after_shown)

    @property
    def pair(self) -> tuple[str, str]:
        """Sources before and after between which it was found, or over which it was drawn.

        They are mosaics (whatever their revisions) or image files.
        """
        return parse_source_pair(self.before_shown, self.after_shown)
