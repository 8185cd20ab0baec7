"""Masks and what the audit log tells of them: both, or neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from flycam.catalog.access import select_active_redactions
from flycam.model.access import RedactionReason
from flycam.mosaic.redaction import RedactionRequest, add_redaction, revoke_redaction
from flycam.workspace import Workspace
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
    photo = next(one for one in workspace.catalog.frames.list_for_flight(world.after) if one.exterior)
    request = RedactionRequest(
        redaction_id=mask_id,
        frame_id=photo.frame_id,
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
