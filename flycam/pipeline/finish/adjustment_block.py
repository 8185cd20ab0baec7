"""The block of one layer's frames for the adjustment, and the hash of its inputs."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flycam.adjust.block import BlockFrame
from flycam.adjust.frame_motion import with_motion
from flycam.adjust.strips import assign_strips
from flycam.catalog.geometry_json import exterior_to_json, interior_to_json
from flycam.catalog.records import FrameRecord, MosaicInfo
from flycam.errors import InputUnusable
from flycam.frame.terrain_codec import parse_source_dem_id
from flycam.geometry.exterior import ExteriorOrientation, PoseSource
from flycam.messages import _
from flycam.pipeline.orthorectification.rectification import get_recorded_pose

RECIPE_VERSION = 9
"""Incremented when the same inputs would give another result, so that older revisions are not reused."""


def build_block_frames(
    records: Sequence[FrameRecord], *, rolling_shutter: bool = True
) -> tuple[BlockFrame, ...]:
    """Build block frames in the order of `records`, posed by `derive_prior_pose`.

    Frames of one calibration, image size and camera share an interior orientation. rolling_shutter: where the
    camera's readout is known and the aircraft moved enough in it to matter, poses have the motion with which
    all later stages project their rows (`adjust.frame_motion`, decision 0017).
    """
    cameras = [_camera_of(record) for record in records]
    poses = [derive_prior_pose(record) for record in records]
    centres = np.array([pose.projection_centre_m for pose in poses], dtype=np.float64).reshape(-1, 3)
    times = [record.header.captured_ns for record in records]
    strips = assign_strips(times, centres, cameras)
    frames = tuple(
        BlockFrame(
            frame_id=record.frame_id,
            source_name=record.header.provenance.source_name,
            camera=camera,
            strip=strip,
            captured_ns=record.header.captured_ns,
            interior=record.header.interior,
            exterior=pose,
        )
        for record, camera, strip, pose in zip(records, cameras, strips, poses, strict=True)
    )
    if not rolling_shutter:
        return frames
    return with_motion(frames, [_range_m(record) for record in records])


def select_terrain(records: Sequence[FrameRecord], preferred: str | None) -> str:
    """Return the recorded terrain of a block.

    The flight's, if a frame lies on it or on a surface derived from it; else the one that most frames lie on.
    Raises CatalogUnavailable for records without a pose.
    """
    ids = Counter(parse_source_dem_id(get_recorded_pose(record)[2]) for record in records)
    if preferred in ids:
        return str(preferred)
    return max(sorted(ids), key=lambda dem_id: ids[dem_id])


def derive_prior_pose(record: FrameRecord) -> ExteriorOrientation:
    """Return the pose that the adjustment starts from, with its sigmas.

    For a video frame that was registered to its neighbours, the flight log's pose: the registration is made
    of the ties that the adjustment weighs itself. Raises CatalogUnavailable for a record without a pose.
    """
    exterior = get_recorded_pose(record)[0]
    return record.header.exterior_prior if exterior.source is PoseSource.REGISTERED else exterior


def require_common_crs(records: Sequence[FrameRecord]) -> None:
    """Raise InputUnusable, naming a photo, unless poses share a work CRS and datum."""
    first = get_recorded_pose(records[0])[0]
    for record in records:
        pose = get_recorded_pose(record)[0]
        if (pose.work_crs, pose.vertical_datum) != (first.work_crs, first.vertical_datum):
            raise InputUnusable(
                _(
                    "{source_name}: its pose is in {work_crs} and {vertical_datum}, those "
                    "before it in {first_work_crs} and {first_vertical_datum}; lay all of "
                    "the flight on one terrain: ingest its photos once more, with --dem",
                    source_name=record.header.provenance.source_name,
                    work_crs=pose.work_crs,
                    vertical_datum=pose.vertical_datum,
                    first_work_crs=first.work_crs,
                    first_vertical_datum=first.vertical_datum,
                )
            )


def hash_block_inputs(
    mosaic: MosaicInfo, records: Sequence[FrameRecord], dem_id: str, options: Mapping[str, Any]
) -> str:
    """Return 32 hex digits of the hash of a revision's inputs.

    Frames, poses, terrain, grid, options, recipe.
    """
    digest = hashlib.sha256()
    head = [RECIPE_VERSION, mosaic.mosaic_id, mosaic.base_zoom, mosaic.min_zoom, dem_id, dict(options)]
    digest.update(json.dumps(head, sort_keys=True, ensure_ascii=False).encode())
    for record in sorted(records, key=lambda one: one.frame_id):
        _, tiles, own_dem = get_recorded_pose(record)
        parts = (
            record.frame_id,
            str(record.header.captured_ns),
            interior_to_json(record.header.interior),
            exterior_to_json(derive_prior_pose(record)),
            own_dem,
            str(tiles),
        )
        digest.update("\n".join(parts).encode())
    return digest.hexdigest()[:32]


def _camera_of(record: FrameRecord) -> str:
    interior, provenance = record.header.interior, record.header.provenance
    width, height = interior.image_size_px
    return f"{provenance.camera} {width}×{height} {interior.calibration_id}"


def _range_m(record: FrameRecord) -> float:
    """Return the ground's distance at a frame's centre, metres; NaN if not known."""
    gsd_m = math.nan if record.gsd_m is None else record.gsd_m
    return gsd_m * 0.5 * sum(record.header.interior.focal_length_px)
