"""Records of access rules, as frozen values. The rules of `records` hold here too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flycam.catalog.records import Account, BoundsLonLat, Role
from flycam.frame.redaction import RedactionReason, RedactionStep


@dataclass(frozen=True, kw_only=True, slots=True)
class RestrictedArea:
    """Ground that is withheld from all roles that are not named.

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
    """A person as the province's own sign-in service describes them.

    issuer, subject  the service, and its permanent identifier of the person
    name             of the account if it is made now
    communes         codes of those that the account is for; none: for all
    """

    issuer: str
    subject: str
    name: str
    role: Role
    communes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """A guest link. The secret itself is never stored.

    event_id    the only event that it shows; "": all
    communes    codes of those that it is for, as its maker's account; none: for all
    revoked_ns  None: valid until it expires
    made_with   id of the token with which its maker signed in, and with which it ends; None: none, or not
                known
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
        """Account as which the link's holder is treated."""
        return Account(
            name=self.guest_id,
            role=Role.GUEST,
            token_hash=self.secret_hash,
            created_ns=self.made_ns,
            communes=self.communes,
            event_id=self.event_id,
        )

    def is_valid(self, now_ns: int) -> bool:
        """Return True unless it is revoked or expired."""
        return self.revoked_ns is None and now_ns < self.expires_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionRecord:
    """One record of a redaction: it was made, or revoked. A grow-only set.

    frame_id  of the photo
    author    of this record, at `at_ns`
    wkb       the polygon in the photo's own pixels as its file has them: x to the right, y down, corners of
              pixels at integers. A revocation holds the polygon that it revokes
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
        """24 hex digits from its content: the same on every node."""
        said = (self.mask_id, self.step, self.frame_id, self.reason, self.author, str(self.at_ns))
        return hashlib.sha256("\n".join(said).encode() + self.wkb).hexdigest()[:24]


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionFootprint:
    """Ground that a redaction covers, by one placement of its photo.

    line_id  of the record that made the redaction
    lay      name of the placement, as `redacted_ground.GroundProjection.name`
    wkb      polygon, longitude and latitude degrees, with `redacted_ground.REDACTION_MARGIN_M` around; empty
             if the redaction covers no ground
    """

    line_id: str
    lay: str
    wkb: bytes
