"""Who may see what, as frozen values. The rules of `records` hold here too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flycam.catalog.records import Account, BoundsLonLat, Role
from flycam.frame.redaction import RedactionReason, RedactionStep


@dataclass(frozen=True, kw_only=True, slots=True)
class RestrictedArea:
    """Ground that is withheld from everybody whose role is not named.

    wkb     polygon or multipolygon; sha256 of the file it was read from
    """

    area_id: str
    name: str
    roles: frozenset[Role]
    sha256: str
    added_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Who signs in through the province's own sign-in service, as that says.

    issuer, subject  which service, and by which word it knows the person for good
    name             what the account is called if it is made now
    communes         codes of those that the account is for; none: for all
    """

    issuer: str
    subject: str
    name: str
    role: Role
    communes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """A link for whoever holds it. The secret itself is never kept.

    event_id    the only event that it shows; "": all
    communes    codes of those that it is for, as whoever made it is; none: for all
    revoked_ns  None: it holds until it expires
    made_with   id of the token by which its maker had come, with which it ends; None: of none, or not known
    """

    guest_id: str
    secret_hash: str
    event_id: str
    communes: tuple[str, ...]
    made_by: str
    made_ns: int
    expires_ns: int
    revoked_ns: int | None = None
    made_with: str | None = None

    @property
    def account(self) -> Account:
        """What the door takes whoever holds the link for."""
        return Account(
            name=self.guest_id,
            role=Role.GUEST,
            token_hash=self.secret_hash,
            created_ns=self.made_ns,
            communes=self.communes,
            event_id=self.event_id,
        )

    def is_valid(self, now_ns: int) -> bool:
        """Whether it opens anything."""
        return self.revoked_ns is None and now_ns < self.expires_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionRecord:
    """One line of a redaction mask's history: it was made, or taken back. A grow-only set.

    frame_id  of the photo
    author    whoever wrote this line, at `at_ns`
    wkb       the polygon in the photo's own pixels as its file has them: x to the right, y down, corners of
              pixels at integers. A taken-back line holds the polygon that it takes back
    """

    mask_id: str
    step: RedactionStep
    frame_id: str
    reason: RedactionReason
    author: str
    at_ns: int
    wkb: bytes

    @property
    def line_id(self) -> str:
        """24 hex digits from what it says: the same on every box."""
        said = (self.mask_id, self.step, self.frame_id, self.reason, self.author, str(self.at_ns))
        return hashlib.sha256("\n".join(said).encode() + self.wkb).hexdigest()[:24]


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionFootprint:
    """The ground that a mask shows, as its photo lies in one way.

    line_id  of the line that made the mask; lay: as `masked_ground.Lay` names it
    wkb      polygon, longitude and latitude degrees, with `masked_ground.REDACTION_MARGIN_M` around; empty
             where the mask shows no ground
    """

    line_id: str
    lay: str
    wkb: bytes
