"""Restricted areas, listed for roles that see the ground in them.

Administrators, who answer for the policy, see all.
"""

from __future__ import annotations

from fastapi import APIRouter

from flycam.catalog.records import Role
from flycam.catalog.sharing_records import RestrictedArea
from flycam.frame.timestamp import format_iso
from flycam.serve.auth.authenticator import Principal
from flycam.serve.auth.guards import OperatorPrincipal
from flycam.serve.http.json_values import Json
from flycam.serve.services import CatalogHere

router = APIRouter()


@router.get("/api/restricted")
def list_restricted_areas(catalog: CatalogHere, principal: OperatorPrincipal) -> list[Json]:
    """Areas by name, and the roles that still see them: those that one's own role sees."""
    return [_describe_area(one) for one in catalog.restrictions.areas() if _may_know(principal, one)]


def _may_know(principal: Principal, area: RestrictedArea) -> bool:
    if principal.has_role(Role.ADMIN):
        return True
    account = principal.account
    return (
        account is not None
        and account.role in area.roles
        and not principal.access_policy.is_outside(area.wkb)
    )


def _describe_area(area: RestrictedArea) -> Json:
    return {
        "area_id": area.area_id,
        "name": area.name,
        "roles": sorted(role.value for role in area.roles),
        "added": format_iso(area.added_ns),
        "bounds": list(area.bounds_lonlat_deg),
    }
