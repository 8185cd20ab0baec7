"""Masks and what the audit log tells of them: both, or neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import sqlalchemy

from flycam.access.policy import AccessPolicy, load_redacted_ground
from flycam.catalog.access import select_active_redactions
from flycam.geodata.crs import to_lonlat
from flycam.geometry.camera import project
from flycam.model.access import RedactionReason
from flycam.mosaic.orthorectify.rectification import project_frame
from flycam.mosaic.redaction import (
    RedactionRequest,
    add_redaction,
    revoke_redaction,
    update_redaction_footprints,
)
from flycam.mosaic.terrain_codec import encode_terrain
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.geometry.test_monoplotting import CAMERA, EAST, NORTH, pose
from tests.serve.test_redacted_photos import TERRAIN, facing, photo
from tests.serve.world import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@contextmanager
def no_audit_log(workspace: Workspace) -> Iterator[None]:
    """No line can be added to it, as where the disk is full at that moment."""
    refuse = "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    database = workspace.catalog.audit._database
    with database.write() as connection:
        connection.exec_driver_sql(refuse)
    yield
    with database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")


def audited(workspace: Workspace) -> list[tuple[str, str, str]]:
    lines = workspace.catalog.audit.lines()
    return [(one.who, one.what, one.subject) for one in lines if one.what.startswith("mask")]


def test_a_mask_is_drawn_and_taken_back_with_its_audit_line_or_not_at_all(world: World) -> None:
    workspace, mask_id = world.workspace, "mask-0000000a"
    shot = next(one for one in workspace.catalog.frames.list_for_flight(world.after) if one.exterior)
    request = RedactionRequest(
        redaction_id=mask_id,
        frame_id=shot.frame_id,
        reason=RedactionReason.HOME,
        corners=[(10, 10), (40, 10), (40, 40)],
    )
    with no_audit_log(workspace), pytest.raises(sqlalchemy.exc.IntegrityError):
        add_redaction(workspace, request, "Lan")
    assert workspace.catalog.redactions.lines() == [] and audited(workspace) == []
    for _ in range(2):
        made = add_redaction(workspace, request, "Lan")
    assert select_active_redactions(workspace.catalog.redactions.lines()) == [made]
    assert audited(workspace) == [("Lan", "mask made", mask_id)]

    with no_audit_log(workspace), pytest.raises(sqlalchemy.exc.IntegrityError):
        revoke_redaction(workspace, mask_id, "Minh")
    assert select_active_redactions(workspace.catalog.redactions.lines()) == [made]
    for _ in range(2):
        revoke_redaction(workspace, mask_id, "Minh")
    assert select_active_redactions(workspace.catalog.redactions.lines()) == []
    assert audited(workspace) == [("Lan", "mask made", mask_id), ("Minh", "mask taken back", mask_id)]


def test_a_home_far_ahead_in_an_oblique_photo_is_hidden_where_it_lies(world: World) -> None:
    """The leak: it is known to more than 15 m, so all that is mapped of the photo was hidden, which ends at
    500 m. The home on every other map was not."""
    workspace = world.workspace
    workspace.store.put(keys.format_terrain_key(TERRAIN.dem_id), encode_terrain(TERRAIN))
    ahead = pose(0.5, facing(30.0))
    seen = project_frame(replace(photo().header, exterior_prior=ahead), TERRAIN)
    one = replace(
        photo(),
        flight_id=world.after,
        exterior=ahead,
        footprint_wkb=shapely.to_wkb(seen.outline_lonlat),
    )
    workspace.catalog.frames.put([one])
    ((x, y),) = project(CAMERA, ahead, np.array([[EAST, NORTH + 800.0, 0.0]]))[0] + 0.5
    request = RedactionRequest(
        redaction_id="mask-0000000a",
        frame_id=one.frame_id,
        reason=RedactionReason.HOME,
        corners=[(x - 4, y - 2), (x + 4, y - 2), (x + 4, y + 2), (x - 4, y + 2)],
    )
    add_redaction(workspace, request, "Lan")
    assert update_redaction_footprints(workspace) == 0, "it is known once"
    hidden = AccessPolicy(masks=load_redacted_ground(workspace.catalog))
    places = to_lonlat(np.array([[EAST, NORTH + away_m] for away_m in (800.0, 300.0, 1900.0)]), "EPSG:32648")
    assert [hidden.hides_point(*place) for place in places.tolist()] == [True, True, False]
