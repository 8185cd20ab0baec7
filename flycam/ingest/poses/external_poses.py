"""External poses and positions: tables, and OpenSfM or ODM adjustments.

They are assigned to photos by name, as frame headers or in place of the photos' own positions. The format of
a file is recognised by its content.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar

import numpy as np

from flycam.errors import (
    CalibrationMissing,
    LensUnknown,
    PositionUnknown,
    SourceUnreadable,
)
from flycam.geodata.crs import choose_work_crs, compute_convergence_and_scale, to_lonlat, to_work
from flycam.geodata.geoid import convert_height
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_angle_axis, to_mat3
from flycam.ingest.photos.calibration import fit_interior_to_photo, resolve_interior
from flycam.ingest.photos.photo_reader import PhotoMetadata, make_display_names
from flycam.ingest.poses.block_positions import (
    check_crs_accuracy,
)
from flycam.ingest.poses.pose_table import (
    PoseRow,
    PositionRow,
    is_number,
    is_positions_csv,
    read_crs_csv,
    read_datum_csv,
    read_poses_csv,
    read_positions_csv,
)
from flycam.ingest.preflight.altitude import (
    RTK_FIXED,
    RTK_SINGLE,
)
from flycam.ingest.preflight.attitude import SIGMA_GIMBAL_DEG, SIGMA_GIMBAL_YAW_DEG
from flycam.ingest.preflight.files import (
    make_duplicate_error,
    reject_bad_images,
    resolve_capture_times,
)
from flycam.ingest.preflight.flight_table import Floats
from flycam.ingest.preflight.flying_height import GreyOf, PoseEstimates, estimate_flying_heights
from flycam.ingest.preflight.frame_headers import SIGMA_GNSS_M, assign_layer
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.ingest.telemetry.airdata import is_airdata
from flycam.ingest.telemetry.subtitles import is_subtitle_file
from flycam.messages import _, join, ngettext
from flycam.model.diagnosis import Diagnosis, Problem, Rejection, Severity, Takeoff
from flycam.model.flight import LOCAL_DATUM, Layer, is_flat_datum
from flycam.model.frame import FrameHeader, Provenance, derive_frame_id
from flycam.model.warning import NO_TERRAIN
from flycam.mosaic.terrain import TerrainLookup
from flycam.storage.files import guard_foreign_reader, make_unopenable, parse_bounded_json, read_regular


def build_posed_headers(
    photos: Sequence[PhotoMetadata],
    poses: Sequence[PoseRow],
    *,
    camera: InteriorOrientation | None,
    pose_file: str,
) -> tuple[tuple[FrameHeader, ...], tuple[Rejection, ...]]:
    """Return headers of the photos that have a pose by name; rejections of the rest.

    Names match with or without suffix. Folders in the file's names decide only between photos of one name;
    without them such photos cannot be distinguished, and are rejected rather than placed where another was
    taken; so are copies. A pose with its adjusted interior beats `resolve_interior`, unless the photo has
    another aspect ratio. `pose_file` is named in each header's provenance. Headers are in order of time, then
    of name.
    """
    times, _ = resolve_capture_times(photos)
    headers: list[FrameHeader] = []
    rejected: list[Rejection] = []
    first: dict[str, str] = {}
    row_of = index_rows_by_name(photos, poses, pose_file)
    for photo, name, captured_ns in zip(photos, make_display_names(photos), times.tolist(), strict=True):
        try:
            row = row_of(photo)
        except PositionUnknown as error:
            rejected.append(Rejection.from_error(name, error))
            continue
        if photo.identity in first:
            rejected.append(Rejection.from_error(name, make_duplicate_error(first[photo.identity])))
            continue
        try:
            interior = _adjusted_lens(row, photo) or resolve_interior(photo, camera)
        except CalibrationMissing as error:
            rejected.append(Rejection.from_error(name, LensUnknown.from_error(error)))
            continue
        first[photo.identity] = name
        headers.append(
            FrameHeader(
                frame_id=derive_frame_id(photo.identity),
                captured_ns=captured_ns,
                layer=Layer(photo.band),
                interior=interior,
                exterior_prior=row.exterior,
                provenance=Provenance(
                    source_name=photo.name,
                    source_sha256=photo.identity,
                    camera=photo.camera_name,
                    settled=(f"The pose is taken from {pose_file}.",),
                ),
            )
        )
    headers.sort(key=lambda h: (h.captured_ns, h.provenance.source_name))
    return tuple(headers), tuple(rejected)


class _NamedRow(Protocol):
    """Row of a file that names a photo."""

    @property
    def name(self) -> str: ...


_Row = TypeVar("_Row", bound=_NamedRow)


def index_rows_by_name(
    photos: Sequence[PhotoMetadata], poses: Sequence[_Row], pose_file: str
) -> Callable[[PhotoMetadata], _Row]:
    """Return a function that finds a photo's row.

    It raises PositionUnknown if there is none, or more than one candidate.
    """
    rows_of: dict[str, dict[tuple[str, ...], _Row]] = {}
    for row in poses:
        *folders, stem = _parts(row.name)
        rows_of.setdefault(stem, {})[tuple(folders)] = row
    namesakes: dict[str, list[PhotoMetadata]] = {}
    for photo in photos:
        namesakes.setdefault(_parts(photo.path.name)[-1], []).append(photo)

    def row_of(photo: PhotoMetadata) -> _Row:
        path = _parts(str(photo.path))
        rows = rows_of.get(path[-1], {})
        if len(rows) == 1 and len({one.identity for one in namesakes[path[-1]]}) == 1:
            return next(iter(rows.values()))
        inside = [folders for folders in rows if folders and path[-1 - len(folders) : -1] == folders]
        if inside:
            return rows[max(inside, key=len)]
        if () in rows:
            raise PositionUnknown(
                _(
                    "shares its name with another photo and {pose_file} does not tell them "
                    "apart: write the folder before the name there",
                    pose_file=pose_file,
                )
            )
        raise PositionUnknown(_("is not named in {pose_file}: add its pose there", pose_file=pose_file))

    return row_of


def _adjusted_lens(row: PoseRow, photo: PhotoMetadata) -> InteriorOrientation | None:
    if row.interior is None:
        return None
    try:
        return fit_interior_to_photo(row.interior, photo)
    except CalibrationMissing:
        return None


def _parts(name: str) -> tuple[str, ...]:
    """Return folders and name without an image suffix, in lower case."""
    path = PurePath(name.replace("\\", "/").lower())
    known = path.suffix in {".jpg", ".jpeg", ".tif", ".tiff", ".png"}
    return (*(part for part in path.parts[:-1] if part != "."), path.stem if known else path.name)


# -- Adjusted poses of OpenSfM and OpenDroneMap ----------------------------------------------------
#
# Read from reconstruction.json, and from shots.geojson of ODM's report.
#
# A shot's rotation is angle-axis, world to camera, and C = -R^T t. Pixel model: normalised by the larger
# side, centre at the image centre (OpenSfM documentation, "Camera coordinate system and conventions").
#
# OpenSfM's world is topocentric (east, north, up at reference_lla); ODM also writes reconstructions that it
# has turned onto the UTM grid, about the same point, unmarked. A shot's own `gps_position` stays topocentric
# in both, so the adjusted centres show which it is: they lie on the GPS positions either as they are, or once
# these are turned by the meridian convergence.


SIGMA_POSITION_M, SIGMA_ATTITUDE_RAD = 0.1, 2e-4
"""Sigmas of an adjusted pose, relative to its block."""
_EARTH_M = 6_371_000.0
_MAX_BYTES, _MAX_VALUES = 128 << 20, 5_000_000
"""Limits for a reconstruction with its ground points: half a million, from some 2000 photos."""


@dataclass(frozen=True)
class _Frame:
    """Local frame: shots are turned by `turn` and scaled onto the grid at `origin_m`."""

    work_crs: str
    origin_m: Floats
    turn: Floats
    scale: float
    grid_scale: float
    is_topocentric: bool

    def to_grid(self, local: Floats) -> Floats:
        """Return (east, north, height) of a local point.

        A tangent plane leaves the curved earth below it.
        """
        drop = float(local[0] ** 2 + local[1] ** 2) / (2.0 * _EARTH_M) if self.is_topocentric else 0.0
        turned: Floats = self.turn @ local
        turned[:2] *= self.scale
        placed: Floats = self.origin_m + turned + np.array([0.0, 0.0, drop])
        return placed


def read_sfm_poses(path: Path, *, vertical_datum: str, work_crs: str | None = None) -> list[PoseRow]:
    """Read poses and interiors of a reconstruction.json, or poses of a shots.geojson.

    In `work_crs` (default: UTM). Heights are taken in `vertical_datum` as they are written.
    Raises SourceUnreadable if the file is neither, has no reference point, or names an unknown lens model.
    """
    try:
        document = parse_bounded_json(read_regular(path, _MAX_BYTES), _MAX_VALUES)
        if isinstance(document, dict) and document.get("type") == "FeatureCollection":
            rows = _from_shots(document, vertical_datum, work_crs)
        else:
            blocks = document if isinstance(document, list) else [document]
            rows = [row for block in blocks for row in _from_block(block, vertical_datum, work_crs)]
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnreadable(
            _("{path}: cannot be read ({error}): check the file", path=path, error=error)
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise SourceUnreadable(
            _(
                "{path}: is neither an OpenSfM reconstruction nor ODM's shots ({error!r}): "
                "give opensfm/reconstruction.json or odm_report/shots.geojson",
                path=path,
                error=error,
            )
        ) from error
    if not rows:
        raise SourceUnreadable(_("{path}: holds no shot: give the reconstruction of this flight", path=path))
    return rows


def _from_block(block: dict[str, Any], datum: str, work_crs: str | None) -> list[PoseRow]:
    """Return the poses of one reconstruction."""
    cameras = {name: _interior(name, camera) for name, camera in block["cameras"].items()}
    shots = sorted(block["shots"].items())
    rotations = [rotation_from_angle_axis(_vector(shot["rotation"])) for _, shot in shots]
    centres = [-r.T @ _vector(shot["translation"]) for r, (_, shot) in zip(rotations, shots, strict=True)]
    frame = _frame_of(block["reference_lla"], shots, centres, work_crs)
    return [
        PoseRow(
            name=name,
            exterior=_exterior(
                frame.to_grid(centre), rotation @ frame.turn.T, frame.work_crs, datum, frame.grid_scale
            ),
            camera=shot["camera"],
            interior=cameras[shot["camera"]],
        )
        for (name, shot), rotation, centre in zip(shots, rotations, centres, strict=True)
    ]


def _frame_of(
    reference: dict[str, Any], shots: list[tuple[str, Any]], centres: list[Floats], work_crs: str | None
) -> _Frame:
    """Return the frame, topocentric or grid, that best fits the shots' GPS."""
    lon, lat = float(reference["longitude"]), float(reference["latitude"])
    crs = work_crs or choose_work_crs(lon, lat)
    convergence, scale = compute_convergence_and_scale(crs, lon, lat)
    cosine, sine = np.cos(convergence), np.sin(convergence)
    onto_grid = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    pairs = [
        (centre, _vector(shot["gps_position"]))
        for (_, shot), centre in zip(shots, centres, strict=True)
        if shot.get("gps_position") is not None
    ]
    as_it_is = [np.hypot(*(centre - gps)[:2]) for centre, gps in pairs]
    on_grid = [np.hypot(*(centre - onto_grid @ gps * scale)[:2]) for centre, gps in pairs]
    topocentric = not pairs or bool(np.median(as_it_is) <= np.median(on_grid))
    origin = to_work(np.array([[lon, lat]]), crs)[0]
    return _Frame(
        work_crs=crs,
        origin_m=np.array([*origin, float(reference.get("altitude") or 0.0)]),
        turn=onto_grid if topocentric else np.eye(3),
        scale=scale if topocentric else 1.0,
        grid_scale=scale if topocentric else 1.0,
        is_topocentric=topocentric,
    )


def _from_shots(document: dict[str, Any], datum: str, work_crs: str | None) -> list[PoseRow]:
    """Return poses of ODM's shots.geojson.

    Positions in WGS 84 degrees, rotations on the UTM grid there.
    """
    features = document["features"]
    places = np.array([_vector(one["geometry"]["coordinates"]) for one in features]).reshape(-1, 3)
    if not len(places):
        return []
    middle = np.median(places, axis=0)
    own = choose_work_crs(float(middle[0]), float(middle[1]))
    crs = work_crs or own
    xy = to_work(places[:, :2], crs)
    # one rotation for the whole block: its convergence differs only if the caller chose another zone
    turn = (
        compute_convergence_and_scale(own, *middle[:2])[0]
        - compute_convergence_and_scale(crs, *middle[:2])[0]
        if crs != own
        else 0.0
    )
    between = np.array(
        [[np.cos(turn), np.sin(turn), 0.0], [-np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]]
    )
    return [
        PoseRow(
            name=str(one["properties"]["filename"]),
            exterior=_exterior(
                np.array([*place, height]),
                rotation_from_angle_axis(_vector(one["properties"]["rotation"])) @ between.T,
                crs,
                datum,
                1.0,
            ),
        )
        for one, place, height in zip(features, xy, places[:, 2], strict=True)
    ]


def _vector(values: Any) -> Floats:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise ValueError(f"{values!r} is not three numbers")
    return vector


def _exterior(centre: Floats, rotation: Floats, crs: str, datum: str, scale: float) -> ExteriorOrientation:
    return ExteriorOrientation(
        projection_centre_m=(float(centre[0]), float(centre[1]), float(centre[2])),
        rotation=to_mat3(rotation),
        work_crs=crs,
        vertical_datum=datum,
        grid_scale=scale,
        sigma_position_m=(SIGMA_POSITION_M,) * 3,
        sigma_attitude_rad=(SIGMA_ATTITUDE_RAD,) * 3,
        source=PoseSource.ADJUSTED,
    )


def _interior(name: str, camera: dict[str, Any]) -> InteriorOrientation:
    width, height = int(camera["width"]), int(camera["height"])
    side = max(width, height)
    kind = camera["projection_type"]
    fx = float(camera.get("focal_x", camera.get("focal", 0.0))) * side
    fy = float(camera.get("focal_y", camera.get("focal", 0.0))) * side
    k1, k2, k3 = (float(camera.get(k, 0.0)) for k in ("k1", "k2", "k3"))
    p1, p2 = float(camera.get("p1", 0.0)), float(camera.get("p2", 0.0))
    models = {
        "brown": (LensModel.BROWN, (k1, k2, p1, p2, k3)),
        "perspective": (LensModel.BROWN, (k1, k2, 0.0, 0.0, 0.0)),
        "fisheye": (LensModel.FISHEYE, (k1, k2, 0.0, 0.0)),
        "fisheye_opencv": (LensModel.FISHEYE, (k1, k2, k3, float(camera.get("k4", 0.0)))),
    }
    if kind not in models or fx <= 0.0:
        raise ValueError(f"lens model {kind!r} of camera {name!r} is not known")
    model, distortion = models[kind]
    return InteriorOrientation(
        model=model,
        image_size_px=(width, height),
        focal_length_px=(fx, fy),
        principal_point_px=(
            float(camera.get("c_x", 0.0)) * side + (width - 1) / 2.0,
            float(camera.get("c_y", 0.0)) * side + (height - 1) / 2.0,
        ),
        distortion=distortion,
        calibration_id=f"opensfm:{name}",
        sigma_focal_rel=0.0005,
    )


# -- Pose files, recognised by content: a table, an OpenSfM reconstruction, ODM's shots ------------


_HEAD_BYTES = 4096
_DATAFLASH_TEXT = "FMT"


def has_poses(path: Path) -> bool:
    """Return True if a telemetry file is text that is not a flight log.

    Raises SourceUnreadable if it cannot be opened.
    """
    head = _head(path)
    return (
        bool(head.strip())
        and not head.startswith(_DATAFLASH_TEXT)
        and not is_airdata(head)
        and not is_subtitle_file(head.encode())
    )


@guard_foreign_reader
def has_ground_control(path: Path) -> bool:
    """Return True if a file that is not a log lists ground control points.

    That is, a coordinate system, then marks.
    """
    lines = [line for line in _head(path).splitlines() if line.strip()][:2]
    if len(lines) < 2 or _is_json(path):
        return False
    fields = lines[1].split("\t") if lines[1].count("\t") >= 5 else lines[1].split()
    return len(fields) >= 6 and all(map(is_number, fields[:5])) and not is_number(fields[5])


@guard_foreign_reader
def has_only_positions(path: Path) -> bool:
    """Return True if a pose file gives positions of photos without angles."""
    return not _is_json(path) and is_positions_csv(path)


@guard_foreign_reader
def read_poses(path: Path, *, vertical_datum: str, work_crs: str | None = None) -> list[PoseRow]:
    """Read the poses of a file, whose format its first character shows.

    Raises as `read_sfm_poses` and `read_poses_csv`.
    """
    if _is_json(path):
        return read_sfm_poses(path, vertical_datum=vertical_datum, work_crs=work_crs)
    return read_poses_csv(path, vertical_datum=vertical_datum, work_crs=work_crs)


def read_stated_datum(path: Path) -> str | None:
    """Return the vertical datum that a file states; only a table can.

    Raises as `read_datum_csv`.
    """
    return None if _is_json(path) else read_datum_csv(path)


def read_stated_crs(path: Path) -> str | None:
    """Return the CRS of a file's positions, None for longitudes and latitudes.

    Raises as `read_crs_csv`.
    """
    return None if _is_json(path) else read_crs_csv(path)


def _is_json(path: Path) -> bool:
    return _head(path).lstrip()[:1] in ("{", "[")


def _head(path: Path) -> str:
    """Return the first characters of a text file; "" for a binary one."""
    try:
        with path.open("rb") as file:
            data = file.read(_HEAD_BYTES)
    except OSError as error:
        raise make_unopenable(path, error) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # otherwise only a character cut in two
        if error.start < len(data) - 4 or len(data) < _HEAD_BYTES:
            return ""
        text = data[: error.start].decode("utf-8-sig")
    is_text = not any(unicodedata.category(c) == "Cc" and c not in "\t\r\n" for c in text)
    return text if is_text else ""


# -- Positions from a table that replace the photos' own, or supply missing ones -------------------
#
# The photos then go through the preflight check as if they had carried them: angles that no tag states follow
# from the course, and the height above ground from the images.


_SURVEYED_M = 0.1
"""Largest sigma of a fixed RTK solution."""


def with_table_positions(
    photos: Sequence[PhotoMetadata], path: Path
) -> tuple[list[PhotoMetadata], list[Problem]]:
    """Return photos with the positions of a table, and findings.

    Photos that it does not name stay unchanged. Heights are taken as EGM96 unless the table states another
    datum. Raises as `read_positions_csv` and `read_stated_datum`.
    """
    rows, datum = read_positions_csv(path), read_stated_datum(path)
    row_of = index_rows_by_name(photos, rows, path.name)
    placed: list[PhotoMetadata] = []
    count = 0
    for photo in photos:
        try:
            placed.append(_placed(photo, row_of(photo), datum))
            count += 1
        except PositionUnknown:
            placed.append(photo)
    lonlat = np.array([row.lonlat for row in rows])
    return placed, [
        _placement_problem(path.name, count, len(photos)),
        *check_crs_accuracy(path, read_stated_crs(path), lonlat),
    ]


def _placed(photo: PhotoMetadata, row: PositionRow, datum: str | None) -> PhotoMetadata:
    lon, lat = row.lonlat
    is_surveyed = row.sigma_m is not None and max(row.sigma_m) <= _SURVEYED_M and datum is not None
    placed = replace(
        photo,
        lon_deg=lon,
        lat_deg=lat,
        rtk_flag=None if row.sigma_m is None else RTK_FIXED if is_surveyed else RTK_SINGLE,
        rtk_std_m=row.sigma_m,
        horizontal_error_m=None,
    )
    if row.height_m is None:
        return placed
    # the preflight check takes heights of fixed solutions as ellipsoidal, all others as EGM96
    wanted = "ELLIPSOID" if is_surveyed else "EGM96"
    height = np.array([row.height_m])
    if datum is not None and datum != wanted:
        height = convert_height(height, np.array([row.lonlat]), datum, wanted)
    return replace(placed, absolute_altitude_m=float(height[0]), exif_altitude_m=None)


def _placement_problem(name: str, count: int, total: int) -> Problem:
    placed = ngettext(
        "{name}: gives the positions of {placed} of {count} photo",
        "{name}: gives the positions of {placed} of {count} photos",
        total,
        name=name,
        placed=count,
    )
    is_all = count == total
    return Problem(
        code="positions_given",
        severity=Severity.INFO if is_all else Severity.WARNING,
        sentence=join([placed, "." if is_all else _("; the others keep their own.")], ""),
    )


# -- Diagnosis of photos whose poses come from a file ----------------------------------------------


def build_diagnosis_from_poses(
    photos: Sequence[PhotoMetadata],
    pose_file: Path,
    *,
    terrain_at: TerrainLookup | None,
    camera: InteriorOrientation | None,
    layer: str | None,
    grey_of: GreyOf | None,
) -> Diagnosis:
    """Build headers with the file's poses, in the flight's UTM zone, unchanged.

    Where no terrain is known the ground is a plane as far below the photos as their image motion shows
    (`grey_of` returns small grey images), for a table's heights may have any origin.

    Heights are converted from the file's stated datum to the terrain's; without a stated one they are taken
    in the terrain's, with a finding. Cameras adjusted with the poses override the photos' metadata, and the
    operator's `camera` both. Raises what `read_poses` and `read_stated_datum` raise.
    """
    problems: list[Problem] = []
    photos = assign_layer(photos, layer, problems)
    names = make_display_names(photos)
    pictureless, image_problems = reject_bad_images(photos, names)
    problems += image_problems
    shown = [photo for row, photo in enumerate(photos) if row not in pictureless]
    unseen = [Rejection.from_error(names[row], error) for row, error in pictureless.items()]
    rough = read_poses(pose_file, vertical_datum=LOCAL_DATUM)
    places = np.array([row.exterior.projection_centre_m[:2] for row in rough])
    lonlat = to_lonlat(places, rough[0].exterior.work_crs)
    centre = np.median(lonlat, axis=0)
    work_crs = choose_work_crs(float(centre[0]), float(centre[1]))
    ground, datum = terrain_at(lonlat) if terrain_at else (np.full(len(rough), np.nan), LOCAL_DATUM)
    datum = datum if np.isfinite(ground).any() else LOCAL_DATUM
    stated = read_stated_datum(pose_file)
    rows = read_poses(pose_file, vertical_datum=datum, work_crs=work_crs)
    if stated is not None and not is_flat_datum(datum):
        rows = _converted(rows, stated, datum)
    headers, rejected = build_posed_headers(
        shown,
        rows if camera is None else [replace(row, interior=None) for row in rows],
        camera=camera,
        pose_file=pose_file.name,
    )
    by_sha = {photo.identity: str(photo.path) for photo in reversed(shown)}
    paths = {header.frame_id: by_sha[header.provenance.source_sha256] for header in headers}
    plane, on_plane = _plane_under(headers, paths, grey_of) if is_flat_datum(datum) else (None, [])
    sigma = _list_sigma_findings(pose_file.name, sum(not row.states_sigma for row in rows), len(rows))
    cameras = Counter(photo.camera_name or "unknown camera" for photo in photos)
    camera_name, count = cameras.most_common(1)[0]
    return Diagnosis(
        headers=headers,
        rejected=(*unseen, *rejected),
        problems=(
            *on_plane,
            _make_datum_finding(pose_file.name, stated, datum),
            *check_crs_accuracy(pose_file, read_stated_crs(pose_file), lonlat),
            *sigma,
            *problems,
        ),
        camera=f"{camera_name} ({ngettext('{count} photo', '{count} photos', count)})",
        work_crs=work_crs,
        vertical_datum=datum,
        takeoff=plane,
        is_drill=any(photo.is_drill for photo in photos),
        paths=paths,
    )


_MAX_PAIRS = 48


def _plane_under(
    headers: Sequence[FrameHeader], paths: Mapping[str, str], grey_of: GreyOf | None
) -> tuple[Takeoff | None, list[Problem]]:
    """Estimate the height of the plane under posed photos from their image motion."""
    if grey_of is None or not headers:
        return None, []
    exteriors = [header.exterior_prior for header in headers]
    centres = np.array([one.projection_centre_m for one in exteriors])
    sigma_m = np.array([one.sigma_position_m[:2] for one in exteriors])
    sigma_deg = np.degrees(
        [(one.sigma_attitude_rad[2], max(one.sigma_attitude_rad[:2])) for one in exteriors]
    )
    poses = PoseEstimates(
        paths=[Path(paths[header.frame_id]) for header in headers],
        interiors=[header.interior for header in headers],
        xy_m=centres[:, :2] / exteriors[0].grid_scale,
        rotations=np.array([one.rotation for one in exteriors]),
        position_sigma_m=sigma_m,
        attitude_sigma_deg=sigma_deg,
    )
    rows = np.arange(len(headers))
    seen = estimate_flying_heights(
        poses, [rows], np.ones(len(rows), dtype=bool), grey_of, max_pairs=_MAX_PAIRS
    )
    if not seen.measured.any():
        return None, [_on_plane(None)]
    level = (centres[:, 2] - seen.above_ground_m)[seen.measured]
    plane = Takeoff(
        height_m=float(np.median(level)),
        sigma_m=float(np.median(seen.sigma_m[seen.measured])),
        datum=LOCAL_DATUM,
        how="pictures",
        frames=tuple(header.provenance.source_name for header in headers),
    )
    return plane, [_on_plane(plane)]


def _on_plane(plane: Takeoff | None) -> Problem:
    if plane is None:
        height = _("its height is not known, so it is taken as 0: the map's scale may be wrong")
    else:
        height = _(
            "its height, {height_m:.0f} ± {sigma_m:.0f} m, is found from the motion of the pictures",
            height_m=plane.height_m,
            sigma_m=plane.sigma_m,
        )
    return Problem(
        code=NO_TERRAIN,
        severity=Severity.WARNING,
        sentence=_(
            "No terrain is registered here: the ground is taken as a plane; {height}; register a DEM (flycam "
            "dem add).",
            height=height,
        ),
    )


def _list_sigma_findings(name: str, unstated: int, total: int) -> list[Problem]:
    if not unstated:
        return []
    return [
        Problem(
            code="pose_sigma",
            severity=Severity.INFO,
            sentence=ngettext(
                "{name}: {count} of {total} lines does not say how far off it may be: what is missing "
                "is taken as of a drone's own (± {position_m} m, ± {height_m:.0f} m, {tilt_deg}°, "
                "{heading_deg}° in plan, height, tilt, heading); columns sigma_x sigma_y sigma_z, and "
                "of the angles sigma_tilt sigma_heading (degrees), say better.",
                "{name}: {count} of {total} lines do not say how far off they may be: what is missing "
                "is taken as of a drone's own (± {position_m} m, ± {height_m:.0f} m, {tilt_deg}°, "
                "{heading_deg}° in plan, height, tilt, heading); columns sigma_x sigma_y sigma_z, and "
                "of the angles sigma_tilt sigma_heading (degrees), say better.",
                unstated,
                name=name,
                total=total,
                position_m=SIGMA_GNSS_M,
                height_m=SIGMA_GNSS_HEIGHT_M,
                tilt_deg=SIGMA_GIMBAL_DEG,
                heading_deg=SIGMA_GIMBAL_YAW_DEG,
            ),
        )
    ]


def _converted(rows: Sequence[PoseRow], stated: str, datum: str) -> list[PoseRow]:
    """Return poses with their heights converted to another datum."""
    centres = np.array([row.exterior.projection_centre_m for row in rows])
    lonlat = to_lonlat(centres[:, :2], rows[0].exterior.work_crs)
    centres[:, 2] = convert_height(centres[:, 2], lonlat, stated, datum)
    return [
        replace(row, exterior=replace(row.exterior, projection_centre_m=(x, y, z)))
        for row, (x, y, z) in zip(rows, centres.tolist(), strict=True)
    ]


def _make_datum_finding(name: str, stated: str | None, datum: str) -> Problem:
    if stated is None and is_flat_datum(datum):
        sentence = _(
            "{name}: says no height datum, and no terrain of a known one is there to take its heights in.",
            name=name,
        )
    elif stated is None:
        sentence = _(
            "{name}: says no height datum; its heights are taken in the terrain's, {datum}.",
            name=name,
            datum=datum,
        )
    elif is_flat_datum(datum):
        sentence = _(
            "{name}: its heights are {stated}, but no terrain is known there to compare them with.",
            name=name,
            stated=stated,
        )
    else:
        sentence = _(
            "{name}: its heights are {stated}, as it says, and are used in the terrain's datum, {datum}.",
            name=name,
            stated=stated,
            datum=datum,
        )
    return Problem(code="pose_datum", severity=Severity.INFO, sentence=sentence)
