"""Which rules hold for which account, and what each withholds: `withholding` for whoever is at the door."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import shapely

from flycam.catalog.catalog import Catalog
from flycam.catalog.masked_ground import NO_MASKS, Masks, MasksKept, masks_of
from flycam.catalog.records import Account, Role
from flycam.catalog.withholding import NOTHING_WITHHELD, Allowed, Withholding, sees
from flycam.errors import NotFound
from flycam.frame.classification import Classification

_KEPT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """What of an account decides what it sees."""

    role: Role
    communes: tuple[str, ...]
    event_id: str


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a withholding is made of: equal rules withhold the same."""

    areas: tuple[bytes, ...]
    within: bytes | None
    flights: Allowed
    mosaics: Allowed
    masks: Masks

    def withholding(self) -> Withholding:
        return Withholding(
            areas=self.areas,
            within=self.within,
            flights=self.flights,
            mosaics=self.mosaics,
            layers=self.flights.hidden,
            masks=self.masks,
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    at_s: float
    rules: _Rules | None
    withholding: Withholding


class Withholdings:
    """The withholding of each account, as the rules stood at most two seconds ago. Safe to use from several
    threads. What was made under a withholding stays good as long as it is the same object.

    Masks are worked out once for every kind of visitor, and shapes made of rules only where these changed.
    """

    def __init__(self, catalog: Catalog, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._catalog, self._clock_s = catalog, clock_s
        self._lock = threading.Lock()
        self._kept: dict[_Kind, _Kept] = {}
        self._masks = MasksKept(catalog)

    def of(self, account: Account | None) -> Withholding:
        """What is withheld from an account; nothing from whoever sits at the machine itself (None).

        Raises CatalogUnavailable: then nobody knows, and nothing may be handed out.
        """
        if account is None:
            return NOTHING_WITHHELD
        kind = _Kind(account.role, account.communes, account.event_id)
        with self._lock:
            kept = self._kept.get(kind)
            if kept is not None and self._clock_s() - kept.at_s < _KEPT_S:
                return kept.withholding
            at_s, rules = self._clock_s(), _rules_of(self._catalog, account, self._masks.now)
            made = kept.withholding if kept is not None and kept.rules == rules else _made(rules)
            if kept is not None and kept.withholding.fingerprint == made.fingerprint:
                made = kept.withholding
            self._kept[kind] = _Kept(at_s, rules, made)
            return made


def withholding_of(catalog: Catalog, account: Account) -> Withholding:
    """What is withheld from an account by the rules as they stand now."""
    return _made(_rules_of(catalog, account, lambda: masks_of(catalog)))


def withheld_outside(catalog: Catalog) -> Withholding:
    """What is withheld from whoever may come to hold what is handed on: what masks cover, whoever made it."""
    masks = masks_of(catalog)
    return Withholding(masks=masks) if masks.photos else NOTHING_WITHHELD


def _made(rules: _Rules | None) -> Withholding:
    return NOTHING_WITHHELD if rules is None else rules.withholding()


def _rules_of(catalog: Catalog, account: Account, masks_now: Callable[[], Masks]) -> _Rules | None:
    """The rules for an account; None where there is none."""
    role = account.role
    areas = tuple(one.wkb for one in catalog.restrictions.areas() if role not in one.roles)
    unseen = {subject for subject, level in catalog.restrictions.levels().items() if not sees(role, level)}
    within = _within(catalog, account.communes) if account.communes else None
    masks = NO_MASKS if sees(role, Classification.RESTRICTED) else masks_now()
    if not (areas or unseen or within or account.event_id or masks.photos):
        return None
    hidden = frozenset(unseen)
    only = _of_event(catalog, account.event_id) if account.event_id else None
    mosaics = catalog.tiles.mosaics() if hidden or only is not None else []
    return _Rules(
        areas=areas,
        within=within,
        flights=Allowed(hidden, only),
        mosaics=Allowed(
            frozenset(one.mosaic_id for one in mosaics if one.flight_id in hidden),
            None if only is None else frozenset(one.mosaic_id for one in mosaics if one.flight_id in only),
        ),
        masks=masks,
    )


def _of_event(catalog: Catalog, event_id: str) -> frozenset[str]:
    return frozenset(one.flight_id for one in catalog.flights.flights(event_id))


def _within(catalog: Catalog, codes: Iterable[str]) -> bytes:
    """The ground of these communes as their boundaries are latest; of one that is known no longer, none."""
    found = []
    for code in codes:
        try:
            found.append(shapely.from_wkb(catalog.boundaries.commune(code).wkb))
        except NotFound:
            continue
    ground: bytes = shapely.to_wkb(shapely.union_all(found) if found else shapely.Polygon())
    return ground
