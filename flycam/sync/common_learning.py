"""What a server holds in common, taken in here: the bytes first, as evidence, then the records they hold.

What was not touched here since it came is replaced. What this box decided itself stays unless the server
decided later: layers, areas and changes by their time, boundaries, which have none, stay. Either way it is
said, and in the audit log (decision 0025).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Protocol

import shapely
import zstandard

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.comparisons import Comparison
from flycam.catalog.records import AuditEntry, CommuneRecord, LayerFeatureRecord, LayerRecord, Withdrawal
from flycam.catalog.sharing_records import RedactionGround, RedactionLine, RestrictedArea
from flycam.errors import ObjectMissing, SourceUnreadable
from flycam.frame.classification import Classification, strictest
from flycam.frame.flight import Event
from flycam.frame.redaction import RedactionStep
from flycam.frame.unpacking import json_in
from flycam.messages import _
from flycam.store import keys
from flycam.sync.commons import MAX_THING_BYTES, MAX_THING_VALUES, Common, Thing
from flycam.sync.decisions import lines_to_learn
from flycam.sync.house import House
from flycam.sync.inflating import inflated
from flycam.sync.learning import learn_event
from flycam.sync.ledger import Ledger
from flycam.sync.masks import require_grounds, require_masks
from flycam.sync.names import segment, text
from flycam.sync.taking import Hands, take_withdrawals
from flycam.sync.values import from_values

_HIDDEN = "hidden"
_LATER = ("error_m", "scored_as", "doubts", "warnings")  # what boxes of before did not tell


class CommonHands(Hands, Protocol):
    """What only the recipes of this box can do."""

    def terrain(self, sha256: str, name: str, datum: str, sigma_m: tuple[float, float | None] | None) -> None:
        """Enter a terrain file that is evidence here; where it is known already nothing of it changes.
        Raises InputUnusable."""

    def masked(self) -> None:
        """Masks came: work out the ground that they show here."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that was not taken in, and why."""

    name: str
    sentence: str
    sentence_vi: str


@dataclass(frozen=True, slots=True)
class _Entered:
    """A layer as it is known by what was entered: the file's SHA-256, and when."""

    id: str
    name: str
    sha256: str
    at_ns: int


class CommonLearner:
    """Takes in the things of one server; each may be taken in again, which changes nothing."""

    def __init__(self, house: House, hands: CommonHands, peer: str, ledger: Ledger) -> None:
        self._house = house
        self._catalog = house.catalog
        self._hands = hands
        self._peer = peer
        self._ledger = ledger
        self.kept: list[Kept] = []

    def learn(self, things: Sequence[Thing]) -> None:
        """Things of one kind whose bytes are evidence here; of changes all groups of an event at once.

        Raises InputUnusable where one is not what it says, StorageTrouble.
        """
        try:
            if things[0].kind is Common.CHANGES:
                self._changes(things)
            else:
                for thing in things:
                    _TAKERS[thing.kind](self, thing)
        except (KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
            raise _unread(things[0].name, error) from error
        for thing in things:
            self._ledger.note(thing.kind, thing.name, thing.sha256)

    def hide_gone(self, things: Sequence[Thing]) -> None:
        """Layers that came from this server and are not for this box any more, untouched here since: shown to
        analysts and administrators only. Nothing is taken away; an area that is not listed stays in force."""
        listed = {one.name for one in things if one.kind is Common.LAYER}
        for layer in self._catalog.layers.all():
            is_theirs = layer.sha256 == self._ledger.of(Common.LAYER, layer.layer_id)
            is_hidden = layer.sha256 == self._ledger.of(_HIDDEN, layer.layer_id)  # who lifts it here lifts it
            if is_theirs and layer.layer_id not in listed and not is_hidden:
                self._classify(layer, Classification.RESTRICTED, "is not for this box any more")
                self._ledger.note(_HIDDEN, layer.layer_id, layer.sha256)
                self._keep(
                    layer.name,
                    f"{layer.name}: {self._peer} does not give this layer any more; it is shown to analysts"
                    " and administrators only: 'flycam layers classify' changes that",
                    f"{layer.name}: {self._peer} không còn cấp lớp này; chỉ còn phân tích viên và quản trị"
                    " viên xem được, đổi lại bằng 'flycam layers classify'",
                )

    # -- one kind each ----------------------------------------------------------------------------

    def _terrain(self, thing: Thing) -> None:
        said, name = thing.said, text(thing.said["name"])
        if PurePath(name).name != name or name == "..":
            raise ValueError(f"{name!r:.60} is no file's name")
        sigma_m = None
        if said["sigma"] is not None:
            vertical_m, horizontal_m = said["sigma"]
            sigma_m = float(vertical_m), None if horizontal_m is None else float(horizontal_m)
        self._hands.terrain(thing.sha256, name, text(said["datum"]), sigma_m)

    def _area(self, thing: Thing) -> None:
        values = self._values(thing.sha256, thing.name)
        came = replace(from_values(RestrictedArea, values["area"]), sha256=thing.sha256)
        _require_name(thing, came.area_id)
        alike = [
            one
            for one in self._catalog.restrictions.areas()
            if one.area_id == came.area_id or one.name == came.name
        ]
        theirs = (thing.sha256, self._ledger.of(thing.kind, thing.name))
        own = [one for one in alike if one.sha256 not in theirs]
        if not own and all(one.sha256 != thing.sha256 for one in alike):
            self._restrict(came, thing)
        for one in own:
            both = stricter_of(one, came)
            if both is not one:
                self._restrict(both, thing)
            if both is not one or not _is_as_strict(came, one):
                self._keep_both(one.name)

    def _mask(self, thing: Thing) -> None:
        """Masks of a photo hold here as there; what was taken back there is so here: who is there decides for
        its boxes."""
        values = self._values(thing.sha256, thing.name)
        lines = [from_values(RedactionLine, one) for one in values["lines"]]
        grounds = [from_values(RedactionGround, one) for one in values["grounds"]]
        if any(one.frame_id != thing.name or one.step is RedactionStep.BACK_ASKED for one in lines):
            raise not_what_it_says(thing)
        require_masks(lines)
        require_grounds(grounds, lines)
        redactions = self._catalog.redactions
        for line in redactions.append(lines):
            what = "mask made" if line.step is RedactionStep.MADE else "mask taken back"
            self._tell(what, line.mask_id, f"{line.frame_id}: {line.reason} ({line.author})", thing)
        redactions.learn_grounds(grounds)
        self._hands.masked()

    def _withdrawn(self, thing: Thing) -> None:
        """What was withdrawn there is withdrawn here, as by a stick."""
        values = self._values(thing.sha256, thing.name)
        came = [from_values(Withdrawal, one) for one in values["withdrawals"]]
        for one in came:
            segment(one.frame_id)
            if one.flight_id:
                segment(one.flight_id)
        take_withdrawals(self._house, came, self._hands, self._peer)

    def _restrict(self, area: RestrictedArea, thing: Thing) -> None:
        west, south, east, north = shapely.from_wkb(area.wkb).bounds
        self._catalog.restrictions.put(replace(area, bounds_lonlat_deg=(west, south, east, north)))
        detail = f"{area.name}: for {', '.join(sorted(area.roles))} only"
        self._tell("restricted add", area.area_id, detail, thing)

    def _keep_both(self, name: str) -> None:
        self._keep(
            name,
            f"{name}: this box and {self._peer} each decided on this restricted area; what either of them"
            " hides stays hidden here until somebody takes it away: 'flycam restricted remove'",
            f"{name}: trạm này và {self._peer} đều quy định vùng hạn chế này; nơi nào một bên che thì ở đây"
            " vẫn che cho đến khi có người gỡ bỏ: 'flycam restricted remove'",
        )

    def _layer(self, thing: Thing) -> None:
        values = self._values(thing.sha256, thing.name)
        came = replace(from_values(LayerRecord, values["layer"]), sha256=thing.sha256)
        features = [from_values(LayerFeatureRecord, one) for one in values["features"]]
        level = Classification(values["level"])
        _require_name(thing, came.layer_id)
        here = map(_entered_layer, self._catalog.layers.all())
        if not self._is_newer(thing, _entered_layer(came), here, "layer", "lớp dữ liệu"):
            return
        self._classify(came, level, "as there")  # before a feature of it is here
        self._catalog.layers.put(came, features)
        self._tell("layer add", came.layer_id, f"{came.name}: {came.kind}, {len(features)}", thing)

    def _communes(self, thing: Thing) -> None:
        values = self._values(thing.sha256, thing.name)
        came = [from_values(CommuneRecord, one) for one in values["communes"]]
        here = {(one.code, one.valid_from): one for one in self._catalog.boundaries.editions()}
        theirs = self._before(thing)
        taken = []
        for one in came:
            at = one.code, one.valid_from
            if at not in here or _is_alike(here[at], one) or _is_alike(here[at], theirs.get(at)):
                taken.append(one)
            else:
                self._stays(f"{one.code} {one.name}", "boundary", "ranh giới")
        new = [one for one in taken if not _is_alike(here.get((one.code, one.valid_from)), one)]
        if new:
            self._catalog.boundaries.put_communes(new)
            self._tell("communes add", thing.name, f"{len(new)} boundaries", thing)

    def _before(self, thing: Thing) -> dict[tuple[str, Any], CommuneRecord]:
        """Boundaries as this server told them before, by code and date."""
        before = self._ledger.of(thing.kind, thing.name)
        if not before:
            return {}
        try:
            values = self._values(before, thing.name)
        except ObjectMissing:
            return {}
        records = (from_values(CommuneRecord, one) for one in values["communes"])
        return {(one.code, one.valid_from): one for one in records}

    def _changes(self, things: Sequence[Thing]) -> None:
        """All that a server says of an event's changes, decision by decision, behind the decisions here.

        A decision is known by its change and step. One here that is later than what comes holds, and what
        comes of that change, or in one step with it, waits for a later decision there.
        """
        said = [self._values(thing.sha256, thing.name) for thing in things]
        event = from_values(Event, said[0]["event"])
        segment(event.event_id)
        came = [from_values(ChangeLine, one, _LATER) for values in said for one in values["lines"]]
        grounds = [from_values(Comparison, one, _LATER) for it in said for one in it.get("compared", ())]
        if {*(one.event_id for one in came), *(one.event_id for one in grounds)} - {event.event_id}:
            raise not_what_it_says(things[0])
        learn_event(self._house, event, self._peer)
        current = {one.change_id for one in self._catalog.changes.current(event.event_id)}
        histories = {one: self._catalog.changes.history(one) for one in current}
        new, held = lines_to_learn(histories, came)
        if new:
            told = AuditEntry(
                who=self._peer,
                what="changes",
                subject=event.event_id,
                detail=f"told by {self._peer}: {len(new)} decisions",
                at_ns=self._house.clock_ns(),
            )
            self._catalog.changes.append(new, [told])
        self._catalog.comparisons.add(grounds)
        for change_id in held:
            self._stays(change_id, "change", "thay đổi")

    # -- inside -----------------------------------------------------------------------------------

    def _values(self, sha256: str, name: str) -> Any:
        try:
            data = self._house.store.get(keys.evidence(sha256))
            return json_in(inflated(data, MAX_THING_BYTES), MAX_THING_VALUES)
        except (ValueError, zstandard.ZstdError) as error:
            raise _unread(name, error) from error

    def _is_newer(
        self, thing: Thing, came: _Entered, here: Iterable[_Entered], what: str, what_vi: str
    ) -> bool:
        """Whether what came takes the place of all that has its id or name here; said where that stays."""
        for one in here:
            if one.id != came.id and one.name != came.name:
                continue
            if one.sha256 == thing.sha256:
                return False
            if one.id != came.id or not self._gives_way(thing, one, came):
                self._stays(came.name, what, what_vi)
                return False
        return True

    def _gives_way(self, thing: Thing, one: _Entered, came: _Entered) -> bool:
        """Whether what is here came as it is from this server, or is the older."""
        return one.sha256 == self._ledger.of(thing.kind, thing.name) or came.at_ns > one.at_ns

    def _classify(self, layer: LayerRecord, level: Classification, why: str) -> None:
        """The stricter of both holds, as of flights."""
        here = self._catalog.restrictions.level(layer.layer_id)
        if (strict := strictest((here, level))) is not here:
            now_ns = self._house.clock_ns()
            self._catalog.restrictions.classify(layer.layer_id, strict, now_ns)
            said = f"told by {self._peer}: {layer.name}: {strict}, {why}"
            self._catalog.audit.append(self._peer, "classify", layer.layer_id, said, at_ns=now_ns)

    def _tell(self, what: str, subject: str, detail: str, thing: Thing) -> None:
        said = f"told by {self._peer}: {detail}, sha256 {thing.sha256}"
        self._catalog.audit.append(self._peer, what, subject, said, at_ns=self._house.clock_ns())

    def _stays(self, name: str, what: str, what_vi: str) -> None:
        self._keep(
            name,
            f"{name}: this box has a {what} of its own here and keeps it; {self._peer} has another. To take"
            " that one, decide so here, or have it entered there again",
            f"{name}: trạm này có {what_vi} riêng và giữ nguyên; bên {self._peer} khác. Muốn dùng bản bên đó,"
            " hãy quyết định tại đây, hoặc nhập lại bên đó",
        )

    def _keep(self, name: str, sentence: str, sentence_vi: str) -> None:
        self.kept.append(Kept(name, sentence, sentence_vi))


_TAKERS = {
    Common.AREA: CommonLearner._area,
    Common.MASK: CommonLearner._mask,
    Common.WITHDRAWN: CommonLearner._withdrawn,
    Common.LAYER: CommonLearner._layer,
    Common.COMMUNES: CommonLearner._communes,
    Common.TERRAIN: CommonLearner._terrain,
}


def _is_alike(one: CommuneRecord | None, other: CommuneRecord | None) -> bool:
    if one is None or other is None:
        return False
    return (one.name, one.wkb, one.area_m2) == (other.name, other.wkb, other.area_m2)


def stricter_of(here: RestrictedArea, came: RestrictedArea) -> RestrictedArea:
    """`here`, hiding all that either hides: the ground of both, from all who may not see one of them. `here`
    itself where that adds nothing."""
    if _is_as_strict(here, came):
        return here
    ground = shapely.union(shapely.from_wkb(here.wkb), shapely.from_wkb(came.wkb))
    return replace(here, roles=here.roles & came.roles, wkb=shapely.to_wkb(ground))


def _is_as_strict(one: RestrictedArea, other: RestrictedArea) -> bool:
    """Whether one hides all that the other hides."""
    return one.roles <= other.roles and bool(
        shapely.covers(shapely.from_wkb(one.wkb), shapely.from_wkb(other.wkb))
    )


def _entered_layer(layer: LayerRecord) -> _Entered:
    return _Entered(layer.layer_id, layer.name, layer.sha256, layer.refreshed_ns)


def _require_name(thing: Thing, name: str) -> None:
    """Ids become names here. Raises SourceUnreadable."""
    try:
        if segment(name) != thing.name:
            raise ValueError("it is another's")
    except (TypeError, ValueError) as error:
        raise _unread(thing.name, error) from error


def not_what_it_says(thing: Thing) -> SourceUnreadable:
    """A thing holds something else than its list says."""
    return _unread(thing.name, ValueError("it is of something else"))


def _unread(name: str, error: Exception) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: what the server holds in common does not read here ({error}); bring "
            "both boxes to the same version",
            name=name,
            error=error,
        )
    )
