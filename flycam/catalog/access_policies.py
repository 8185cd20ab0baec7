"""Which rules hold for which account, and what each withholds: `withholding` for whoever is at the door."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import shapely

from flycam.catalog.access_policy import UNRESTRICTED, AccessPolicy, IdFilter, can_see
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Account, Role
from flycam.catalog.redacted_ground import (
    NOTHING_REDACTED,
    RedactedGround,
    RedactedGroundCache,
    load_redacted_ground,
)
from flycam.errors import NotFound
from flycam.frame.classification import Classification

_CACHE_TTL_S = 2.0


@dataclass(frozen=True, slots=True)
class _AccountScope:
    """What of an account decides what it sees."""

    role: Role
    communes: tuple[str, ...]
    event_id: str


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a withholding is made of: equal rules withhold the same."""

    areas: tuple[bytes, ...]
    within: bytes | None
    flights: IdFilter
    mosaics: IdFilter
    masks: RedactedGround

    def access_policy(self) -> AccessPolicy:
        return AccessPolicy(
            areas=self.areas,
            within=self.within,
            flights=self.flights,
            mosaics=self.mosaics,
            layers=self.flights.hidden,
            masks=self.masks,
        )


@dataclass(frozen=True, slots=True)
class _CachedPolicy:
    at_s: float
    rules: _Rules | None
    access_policy: AccessPolicy


class AccessPolicies:
    """The withholding of each account, as the rules stood at most two seconds ago. Safe to use from several
    threads. What was made under a withholding stays good as long as it is the same object.

    Masks are worked out once for every kind of visitor, and shapes made of rules only where these changed.
    """

    def __init__(self, catalog: Catalog, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._catalog, self._clock_s = catalog, clock_s
        self._lock = threading.Lock()
        self._kept: dict[_AccountScope, _CachedPolicy] = {}
        self._masks = RedactedGroundCache(catalog)

    def get(self, account: Account | None) -> AccessPolicy:
        """What is withheld from an account; nothing from whoever sits at the machine itself (None).

        Raises CatalogUnavailable: then nobody knows, and nothing may be handed out.
        """
        if account is None:
            return UNRESTRICTED
        kind = _AccountScope(account.role, account.communes, account.event_id)
        with self._lock:
            kept = self._kept.get(kind)
            if kept is not None and self._clock_s() - kept.at_s < _CACHE_TTL_S:
                return kept.access_policy
            at_s, rules = self._clock_s(), _rules_of(self._catalog, account, self._masks.get_current)
            made = kept.access_policy if kept is not None and kept.rules == rules else _make_policy(rules)
            if kept is not None and kept.access_policy.fingerprint == made.fingerprint:
                made = kept.access_policy
            self._kept[kind] = _CachedPolicy(at_s, rules, made)
            return made


def load_access_policy(catalog: Catalog, account: Account) -> AccessPolicy:
    """What is withheld from an account by the rules as they stand now."""
    return _make_policy(_rules_of(catalog, account, lambda: load_redacted_ground(catalog)))


def load_export_policy(catalog: Catalog) -> AccessPolicy:
    """What is withheld from whoever may come to hold what is handed on: what masks cover, whoever made it."""
    masks = load_redacted_ground(catalog)
    return AccessPolicy(masks=masks) if masks.photos else UNRESTRICTED


def _make_policy(rules: _Rules | None) -> AccessPolicy:
    return UNRESTRICTED if rules is None else rules.access_policy()


def _rules_of(catalog: Catalog, account: Account, masks_now: Callable[[], RedactedGround]) -> _Rules | None:
    """The rules for an account; None where there is none."""
    role = account.role
    areas = tuple(one.wkb for one in catalog.restrictions.areas() if role not in one.roles)
    unseen = {subject for subject, level in catalog.restrictions.levels().items() if not can_see(role, level)}
    within = _within(catalog, account.communes) if account.communes else None
    masks = NOTHING_REDACTED if can_see(role, Classification.RESTRICTED) else masks_now()
    if not (areas or unseen or within or account.event_id or masks.photos):
        return None
    hidden = frozenset(unseen)
    only = _of_event(catalog, account.event_id) if account.event_id else None
    mosaics = catalog.tiles.mosaics() if hidden or only is not None else []
    return _Rules(
        areas=areas,
        within=within,
        flights=IdFilter(hidden, only),
        mosaics=IdFilter(
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
