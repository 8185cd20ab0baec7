"""Restricted areas, told to those who see what lies in them.

Administrators, who answer for the rules, know all of them.
"""

from __future__ import annotations

from fastapi import APIRouter

from flycam.catalog.records import Role
from flycam.catalog.sharing_records import RestrictedArea
from flycam.frame.moment import iso
from flycam.serve.answering.wording import Json
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Operator
from flycam.serve.services import CatalogHere

router = APIRouter()


@router.get("/api/restricted")
def restricted(catalog: CatalogHere, visitor: Operator) -> list[Json]:
    """Areas by name, and the roles that still see them: those that one's own role sees."""
    return [_told(one) for one in catalog.restrictions.areas() if _may_know(visitor, one)]


def _may_know(visitor: Visitor, area: RestrictedArea) -> bool:
    if visitor.may(Role.ADMIN):
        return True
    account = visitor.account
    return account is not None and account.role in area.roles and not visitor.withholding.is_outside(area.wkb)


def _told(area: RestrictedArea) -> Json:
    return {
        "area_id": area.area_id,
        "name": area.name,
        "roles": sorted(role.value for role in area.roles),
        "added": iso(area.added_ns),
        "bounds": list(area.bounds_lonlat_deg),
    }
