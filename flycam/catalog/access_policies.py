"""Access policies by account: which rules apply, and the cached `AccessPolicy` made of them."""

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

# rules that another process changed apply after this
_CACHE_TTL_S = 2.0


@dataclass(frozen=True, slots=True)
class _AccountScope:
    """The part of an account that decides its access policy."""

    role: Role
    communes: tuple[str, ...]
    event_id: str


@dataclass(frozen=True, slots=True)
class _Rules:
    """Rules that make an access policy: equal rules withhold the same."""

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
    """Cache of access policies by account, at most two seconds old. Thread-safe.

    What was made under a policy remains valid as long as the policy is the same object. Redacted ground is
    computed once for all accounts, and the shapes of a policy only when its rules changed.
    """

    def __init__(self, catalog: Catalog, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._catalog, self._clock_s = catalog, clock_s
        self._lock = threading.Lock()
        self._kept: dict[_AccountScope, _CachedPolicy] = {}
        self._masks = RedactedGroundCache(catalog)

    def get(self, account: Account | None) -> AccessPolicy:
        """Return the access policy of an account.

        None, the person at the machine itself, is unrestricted. Raises CatalogUnavailable: the policy is
        unknown then, and nothing may be served.
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
            # same object for equal rules: what was made under it stays valid
            if kept is not None and kept.access_policy.fingerprint == made.fingerprint:
                made = kept.access_policy
            self._kept[kind] = _CachedPolicy(at_s, rules, made)
            return made


def load_access_policy(catalog: Catalog, account: Account) -> AccessPolicy:
    """Return an account's access policy by the current rules, uncached."""
    return _make_policy(_rules_of(catalog, account, lambda: load_redacted_ground(catalog)))


def load_export_policy(catalog: Catalog) -> AccessPolicy:
    """Return the access policy of exported data, whose later holders are unknown.

    It withholds redacted ground, even from the author of the redaction.
    """
    masks = load_redacted_ground(catalog)
    return AccessPolicy(masks=masks) if masks.photos else UNRESTRICTED


def _make_policy(rules: _Rules | None) -> AccessPolicy:
    return UNRESTRICTED if rules is None else rules.access_policy()


def _rules_of(catalog: Catalog, account: Account, masks_now: Callable[[], RedactedGround]) -> _Rules | None:
    """Return the rules for an account; None if nothing is withheld."""
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
    """Return the union (WKB) of communes by their latest boundaries.

    Communes that are no longer known are left out.
    """
    found = []
    for code in codes:
        try:
            found.append(shapely.from_wkb(catalog.boundaries.commune(code).wkb))
        except NotFound:
            continue
    ground: bytes = shapely.to_wkb(shapely.union_all(found) if found else shapely.Polygon())
    return ground
