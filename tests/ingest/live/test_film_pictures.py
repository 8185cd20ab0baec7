"""From a pixel of a filmed flight back to the picture that it came from, and a mask on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import cv2
import httpx
import numpy as np

from flycam.http.services import Services
from flycam.ingest.live.workflow import VideoReport
from flycam.model.access import Role
from flycam.model.records import FrameStatus
from flycam.serve.api.redacted_photos import FILL_GREY
from tests.houses import House
from tests.serve.running import running
from tests.serve.world import add_account

ROLES = {role: {"Authorization": f"Bearer {role.value}"} for role in (Role.OPERATOR, Role.ADMIN)}


def test_a_pixel_leads_to_its_picture_which_is_opened_and_masked(
    make_filmed: Callable[..., tuple[House, VideoReport]],
) -> None:
    house, report = make_filmed()
    workspace, flight = house.workspace, report.flight
    for role in ROLES:
        add_account(workspace, role.value, role, role.value)
    assert flight.bounds_lonlat_deg is not None
    west, south, east, north = flight.bounds_lonlat_deg
    middle = {"flight": flight.flight_id, "lon": (west + east) / 2, "lat": (south + north) / 2}
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url, timeout=60) as client:
        shown = client.get("/api/pixel", params=middle, headers=ROLES[Role.ADMIN]).json()
        sha256 = shown["source_sha256"]
        picture = client.get(f"/api/evidence/{sha256}", headers=ROLES[Role.ADMIN])
        assert picture.status_code == 200 and hashlib.sha256(picture.content).hexdigest() == sha256
        small = client.get(f"/api/evidence/{sha256}/preview", headers=ROLES[Role.ADMIN])
        assert small.status_code == 200
        drawn = {
            "photo": sha256,
            "reason": "victim",
            "corners": [[100, 60], [200, 60], [200, 120], [100, 120]],
        }
        made = client.put("/api/redactions/mask-0000000f", json=drawn, headers=ROLES[Role.OPERATOR])
        assert made.status_code == 200, made.text
        told = client.get(f"/api/redactions?photo={sha256}", headers=ROLES[Role.OPERATOR]).json()
        assert [one["mask_id"] for one in told["masks"]] == ["mask-0000000f"]
    (line,) = workspace.catalog.redactions.lines()
    used = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    assert line.frame_id in {one.frame_id for one in used}
    with running(Services(workspace=workspace)) as url, httpx.Client(base_url=url, timeout=60) as client:
        covered = client.get(f"/api/evidence/{sha256}", headers=ROLES[Role.OPERATOR])
        pixels = cv2.imdecode(np.frombuffer(covered.content, np.uint8), cv2.IMREAD_COLOR)
        assert (np.abs(pixels[70:110, 110:190].astype(int) - FILL_GREY) <= 16).all()
        whole = client.get(f"/api/evidence/{sha256}", headers=ROLES[Role.ADMIN])
        assert hashlib.sha256(whole.content).hexdigest() == sha256
