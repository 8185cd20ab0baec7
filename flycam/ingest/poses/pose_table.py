"""Camera poses and positions from tables, and from OpenDroneMap's geo.txt.

Tables are in the notations that photogrammetry programs write.

Two dialects, distinguished by their columns: x y z + omega phi kappa in a projected CRS (angles on grid
north), and latitude longitude altitude + roll pitch yaw (a gimbal: pitch 0 looks straight down, as
OpenDroneMap and Pix4D write it, yaw from true north). Angles in degrees. The photo is named with or without
its suffix. Sigmas that a table does not state are taken as of a drone's own GNSS and gimbal: with full trust,
poses from a flight controller would reject every tie that contradicts them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import CrsMissing, DatumUnknown, SourceUnreadable
from flycam.geodata.control_points import parse_crs_line
from flycam.geodata.crs import (
    WGS84,
    choose_work_crs,
    compute_convergence_and_scale,
    describe_crs,
    parse_crs,
    to_lonlat,
    to_work,
)
from flycam.geodata.geoid import DATUMS
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.pose import (
    ExteriorOrientation,
    PoseSource,
    rotation_from_gimbal,
    rotation_from_opk,
    to_mat3,
)
from flycam.ingest.preflight.altitude import estimate_rounding_sigma_m
from flycam.ingest.preflight.attitude import (
    SIGMA_GIMBAL_DEG,
    SIGMA_GIMBAL_YAW_DEG,
    compute_camera_axis_sigma_rad,
)
from flycam.ingest.preflight.flight_table import Floats
from flycam.ingest.preflight.frame_headers import SIGMA_GNSS_M
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.messages import _
from flycam.model.flight import LOCAL_DATUM
from flycam.storage.files import read_regular

# -- Positions in OpenDroneMap's geo.txt format ----------------------------------------------------
#
# First line: the coordinate system, as in gcp_list.txt. Then one photo a line: name x y [z [omega phi kappa
# [horizontal accuracy, vertical accuracy]]], separated by blanks. Angles are not read: programs that write
# the list do not agree on their meaning.
#
# Format: OpenDroneMap documentation, "Image Geolocation Files", geo.txt.


NAME_COLUMNS = ("filename", "file", "name", "image", "imagename", "label", "photo", "sourcefile")
"""Header names of the column of photo names, in lower case."""

_HEADER = ("filename", "longitude", "latitude", "altitude", "horizontal_accuracy", "vertical_accuracy")
_PLACED, _WITH_HEIGHT, _WITH_ACCURACY = 3, 4, 9


def detect_geo_list_crs(path: Path, lines: Sequence[str]) -> str | None:
    """Return the CRS of the list in `lines`, none of them blank.

    None for another kind of table. Without a line that names it: longitudes and latitudes, if all values can
    be. Raises CrsMissing.
    """
    rows = [line for line in lines if not line.startswith("#")]
    if not rows or not all(map(_is_place, rows[1:])) or _names_columns(rows[0]):
        return None
    if _is_place(rows[0]):
        places = [[float(one) for one in row.split()[1:_PLACED]] for row in rows]
        if all(abs(x) <= 180.0 and abs(y) <= 90.0 for x, y in places):
            return WGS84
        raise CrsMissing(
            _(
                "{name}: lists photos with x and y in metres and does not say in which "
                "coordinate system: write it as the first line, e.g. EPSG:32648",
                name=path.name,
            )
        )
    return parse_crs_line(path, list(enumerate(rows, start=1))) if len(rows) > 1 else None


def parse_geo_list(lines: Sequence[str], crs: str) -> tuple[list[str], list[list[str]]]:
    """Convert the list to a table of longitudes and latitudes: header and rows."""
    fields = [line.split() for line in lines if not line.startswith("#") and _is_place(line)]
    least = min(len(row) for row in fields)
    lonlat = to_lonlat(np.array([[float(one) for one in row[1:_PLACED]] for row in fields]), crs)
    places = [[repr(lon), repr(lat)] for lon, lat in lonlat.tolist()]
    rows = [[row[0], *place] for row, place in zip(fields, places, strict=True)]
    if least >= _WITH_HEIGHT:
        rows = [[*row, cells[3]] for row, cells in zip(rows, fields, strict=True)]
    if least >= _WITH_ACCURACY:
        rows = [[*row, *cells[7:9]] for row, cells in zip(rows, fields, strict=True)]
    return list(_HEADER[: len(rows[0])]), rows


def _names_columns(line: str) -> bool:
    return any(word.strip("'\",;").lower() in NAME_COLUMNS for word in line.split())


def _is_place(line: str) -> bool:
    """Return True if a line begins with a photo's name and two numbers."""
    fields = line.split()
    return len(fields) >= _PLACED and "." in fields[0] and all(map(is_number, fields[1:_PLACED]))


def is_number(text: str) -> bool:
    """Return True if a field is a finite number."""
    try:
        return isfinite(float(text))
    except ValueError:
        return False


# -- Poses and positions of a table ----------------------------------------------------------------


_XYZ = (("x", "easting", "east"), ("y", "northing", "north"), ("z", "altitude", "height", "elevation"))
_OPK = (("omega",), ("phi",), ("kappa",))
_LONLAT = (("longitude", "lon", "lng", "gpslongitude"), ("latitude", "lat", "gpslatitude"))
_UP = ("altitude", "alt", "height", "elevation", "z", "absolutealtitude", "gpsaltitude")
_LLA = (*_LONLAT, _UP)
_RPY = (("yaw", "heading"), ("pitch",), ("roll",))
_SIGMA_EAST = ("sigma_x", "sigma_e", "sigma_east", "sigma_longitude", "std_x", "accuracy_x")
_SIGMA_NORTH = ("sigma_y", "sigma_n", "sigma_north", "sigma_latitude", "std_y", "accuracy_y")
_SIGMA_PLAN = ("sigma_xy", "sigma_position", "horizontal_accuracy", "accuracy_horizontal", "horz_accuracy")
_SIGMA_UP = (
    *("sigma_z", "sigma_h", "sigma_height", "sigma_altitude", "std_z", "accuracy_z", "sigma_position"),
    *("vertical_accuracy", "accuracy_vertical", "vert_accuracy"),
)
_SIGMA_TILT = (
    *("sigma_omega", "sigma_phi", "sigma_roll", "sigma_pitch", "sigma_tilt", "sigma_attitude"),
    *("accuracy_omega", "accuracy_phi", "accuracy_roll", "accuracy_pitch"),
)
_SIGMA_HEADING = (
    *("sigma_kappa", "sigma_yaw", "sigma_heading", "sigma_attitude"),
    *("accuracy_kappa", "accuracy_yaw", "accuracy_heading"),
)
_DATUM = "vertical_datum"
_MAX_BYTES, _MAX_CRS_BYTES = 32 << 20, 1 << 16  # 200,000 photos; one CRS


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseRow:
    """One photo's pose: name as written, exterior, camera name and interior.

    states_sigma  True if the file states the sigmas of the pose, in position and attitude
    """

    name: str
    exterior: ExteriorOrientation
    camera: str = ""
    interior: InteriorOrientation | None = None
    states_sigma: bool = True


def read_poses_csv(
    path: Path,
    *,
    crs: str | None = None,
    vertical_datum: str,
    work_crs: str | None = None,
) -> list[PoseRow]:
    """Read the poses of a table in `work_crs`.

    Its default is the table's own CRS for x y z, the UTM zone for lon lat. Sigmas are those of the table's
    columns, where they are above 0; else 1.5 m in plan, 8 m in height, 0.7° of tilt and 1.5° of heading.
    Rounded longitudes and latitudes add the rounding error.

    crs  of x y z columns; None: the .prj beside the table

    Raises CrsMissing if neither states it, SourceUnreadable for a table without a known set of columns or
    with a value that is no number.
    """
    header, rows = _read(path)
    columns = {name: i for i, name in enumerate(header)}
    name_at = _find(columns, (NAME_COLUMNS,))
    xyz, opk = _find(columns, _XYZ), _find(columns, _OPK)
    lla, rpy = _find(columns, _LLA), _find(columns, _RPY)
    if name_at is None or not ((xyz and opk) or (lla and rpy)):
        raise SourceUnreadable(
            _(
                "{path}: has neither filename x y z omega phi kappa nor filename latitude "
                "longitude altitude roll pitch yaw columns, nor filename latitude longitude "
                "alone: name them so in its first line",
                path=path,
            )
        )
    names = [row[name_at[0]] for row in rows]
    cameras = [row[columns["camera"]] if "camera" in columns else "" for row in rows]
    if xyz and opk:
        own_crs = crs or _sidecar_prj(path)
        places, angles = _numbers(rows, xyz, path), np.radians(_numbers(rows, opk, path))
        target = work_crs or own_crs
        centres, rotations, scale = _from_xyz_opk(places, angles, own_crs, target)
        rounded = np.zeros((len(rows), 2))
    else:
        assert lla is not None and rpy is not None  # noqa: S101 - one of the sets was found above
        places, angles = _numbers(rows, lla, path), np.radians(_numbers(rows, rpy, path))
        _require_on_earth(places, path)
        centre = np.median(places, axis=0)
        target = work_crs or choose_work_crs(float(centre[0]), float(centre[1]))
        centres, rotations, scale = _from_lla_rpy(places, angles, target)
        rounded = estimate_rounding_sigma_m(places[:, :2])
    sigma_m, sigma_deg, stated = _sigmas(columns, rows, path)
    sigma_m[:, :2] = np.hypot(sigma_m[:, :2], rounded)
    sigma_rad = compute_camera_axis_sigma_rad(rotations, sigma_deg)
    return [
        PoseRow(
            name=names[i],
            exterior=ExteriorOrientation(
                projection_centre_m=tuple(centres[i].tolist()),
                rotation=to_mat3(rotations[i]),
                work_crs=target,
                vertical_datum=vertical_datum,
                grid_scale=float(scale[i]),
                sigma_position_m=tuple(sigma_m[i].tolist()),
                sigma_attitude_rad=tuple(sigma_rad[i].tolist()),
                source=PoseSource.GNSS,
            ),
            camera=cameras[i],
            states_sigma=bool(stated[i]),
        )
        for i in range(len(rows))
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class PositionRow:
    """One photo's position: name as written, degrees, height, sigmas.

    Height is None if not given; sigmas (east, north, up) where the file has columns of them.
    """

    name: str
    lonlat: tuple[float, float]
    height_m: float | None
    sigma_m: tuple[float, float, float] | None


def is_positions_csv(path: Path) -> bool:
    """Return True if a table gives positions of photos without angles.

    Raises SourceUnreadable as reading does.
    """
    header, _ = _read(path)
    columns = {name: i for i, name in enumerate(header)}
    has_place = _find(columns, _LONLAT) is not None or _find(columns, _XYZ[:2]) is not None
    has_angles = _find(columns, _OPK) is not None or _find(columns, _RPY) is not None
    return _find(columns, (NAME_COLUMNS,)) is not None and has_place and not has_angles


def read_positions_csv(path: Path) -> list[PositionRow]:
    """Read the positions of a table without angles.

    Columns latitude longitude [altitude], or x y [z] with a .prj beside it. Latitudes and longitudes may be
    written in degrees, minutes and seconds with N, S, E, W. Raises as `read_poses_csv`.
    """
    header, rows = _read(path)
    columns = {name: i for i, name in enumerate(header)}
    name_at, lonlat_at, up_at = (
        _find(columns, (NAME_COLUMNS,)),
        _find(columns, _LONLAT),
        _find(columns, (_UP,)),
    )
    assert name_at is not None  # noqa: S101 - checked by is_positions_csv
    if lonlat_at is not None:
        lonlat = _numbers([[_decimal(row[i]) for i in lonlat_at] for row in rows], [0, 1], path)
        _require_on_earth(lonlat, path)
    else:
        xy_at = _find(columns, _XYZ[:2])
        assert xy_at is not None  # noqa: S101 - as above
        lonlat = to_lonlat(_numbers(rows, xy_at, path), _sidecar_prj(path))
    heights = _numbers(rows, up_at, path)[:, 0].tolist() if up_at is not None else [None] * len(rows)
    sigma_m, _, _ = _sigmas(columns, rows, path)
    stated = [any(name in columns for name in names) for names in (_SIGMA_EAST + _SIGMA_PLAN, _SIGMA_UP)]
    return [
        PositionRow(
            name=row[name_at[0]],
            lonlat=(lon, lat),
            height_m=height,
            sigma_m=tuple(sigma) if all(stated) else None,
        )
        for row, (lon, lat), height, sigma in zip(
            rows, lonlat.tolist(), heights, sigma_m.tolist(), strict=True
        )
    ]


_SEXAGESIMAL = re.compile(
    r"""^(?P<d>\d+(?:\.\d+)?)\s*(?:deg|°|d)?\s*(?:(?P<m>\d+(?:\.\d+)?)\s*['′m]?\s*)?"""
    r"""(?:(?P<s>\d+(?:\.\d+)?)\s*(?:"|″|''|s)?\s*)?(?P<h>[NSEWnsew])$"""
)


def _decimal(text: str) -> str:
    """Convert degrees, minutes and seconds with a hemisphere to a decimal number.

    Any other text is returned unchanged.
    """
    if not (found := _SEXAGESIMAL.match(text.strip())):
        return text
    value = sum(float(found[part] or 0.0) / 60.0**k for k, part in enumerate("dms"))
    return repr(-value if found["h"] in "SWsw" else value)


def _sigmas(
    columns: dict[str, int], rows: list[list[str]], path: Path
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return N×3 metres (east, north, up), N×2 degrees (heading, tilt), and a mask.

    The mask is True where a row states all of them. Of several columns the largest counts; empty, 0 or less
    counts as not stated.
    """

    def stated(*spellings: Sequence[str]) -> Floats:
        found = np.full(len(rows), np.nan)
        for name in [one for names in spellings for one in names if one in columns]:
            cells = [[row[columns[name]] or "0"] for row in rows]
            values = _numbers(cells, [0], path)[:, 0]
            found = np.fmax(found, np.where(values > 0.0, values, np.nan))
        return found

    metres = np.stack(
        [stated(_SIGMA_EAST, _SIGMA_PLAN), stated(_SIGMA_NORTH, _SIGMA_PLAN), stated(_SIGMA_UP)], axis=1
    )
    degrees = np.stack([stated(_SIGMA_HEADING), stated(_SIGMA_TILT)], axis=1)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(np.hstack([metres, degrees])).all(axis=1))
    usual_m = np.array([SIGMA_GNSS_M, SIGMA_GNSS_M, SIGMA_GNSS_HEIGHT_M])
    usual_deg = np.array([SIGMA_GIMBAL_YAW_DEG, SIGMA_GIMBAL_DEG])
    return (
        np.where(np.isfinite(metres), metres, usual_m),
        np.where(np.isfinite(degrees), degrees, usual_deg),
        known,
    )


def _require_on_earth(places: Floats, path: Path) -> None:
    """Raise SourceUnreadable unless positions (n×3, degrees) lie where UTM has zones."""
    lon, lat = places[:, 0], places[:, 1]
    if not ((np.abs(lon) <= 180.0) & (lat >= -80.0) & (lat <= 84.0)).all():
        raise SourceUnreadable(
            _(
                "{path}: a longitude or latitude is none in degrees: look whether its columns "
                "are named rightly",
                path=path,
            )
        )


def read_datum_csv(path: Path) -> str | None:
    """Return the vertical datum that a table states, EGM96, EGM2008 or ELLIPSOID.

    From the column vertical_datum, else the height axis of its .prj; None where it states none. Raises
    DatumUnknown for another word or for several, SourceUnreadable and CrsMissing as `read_poses_csv`.
    """
    header, rows = _read(path)
    if _DATUM not in header:
        has_prj = path.with_suffix(".prj").is_file()
        return describe_crs(_sidecar_prj(path)).vertical_datum if has_prj else None
    words = {row[header.index(_DATUM)].upper() for row in rows}
    known = [datum for datum in DATUMS if datum != LOCAL_DATUM]
    if len(words) > 1 or not words <= {"", *known}:
        stated, choice = ", ".join(sorted(words)), ", ".join(known)
        raise DatumUnknown(
            _(
                "{path}: {datum} says {text}: write one of {choice} in every line",
                path=path,
                datum=_DATUM,
                text=stated,
                choice=choice,
            )
        )
    return words.pop() or None


def read_crs_csv(path: Path) -> str | None:
    """Return the CRS of a table's x and y, or of a geo.txt.

    None where its positions are longitudes and latitudes. Raises SourceUnreadable and CrsMissing as
    `read_poses_csv`.
    """
    if crs := detect_geo_list_crs(path, _lines(path)):
        return crs
    header, _ = _read(path)
    columns = {name: i for i, name in enumerate(header)}
    is_lonlat = _find(columns, _LONLAT) is not None or _find(columns, _XYZ[:2]) is None
    return None if is_lonlat else _sidecar_prj(path)


def _lines(path: Path) -> list[str]:
    """Return the non-blank lines. Raises SourceUnreadable."""
    try:
        text = read_regular(path, _MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnreadable(
            _("{path}: cannot be read as a text table: export it as CSV in UTF-8", path=path)
        ) from error
    return [line for line in text.splitlines() if line.strip()]


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table, or of a geo.txt as one."""
    lines = _lines(path)
    if crs := detect_geo_list_crs(path, lines):
        return parse_geo_list(lines, crs)
    if len(lines) < 2:
        raise _no_pose(path)
    quote = "'" if lines[0].lstrip().startswith("'") else '"'
    delimiter = max(",;\t ", key=lambda d: (lines[0].count(d), d != " "))
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    try:
        header, *rows = ([cell.strip() for cell in row] for row in reader)
    except csv.Error as error:
        raise SourceUnreadable(
            _("{path}: is not a table ({error}): export it as CSV in UTF-8", path=path, error=error)
        ) from error
    # an unclosed quotation mark makes one line of all
    if not rows:
        raise _no_pose(path)
    short = next((number for number, row in enumerate(rows, start=2) if len(row) < len(header)), None)
    if short is not None:
        raise SourceUnreadable(
            _("{path}: line {short} has fewer columns than the header: complete it", path=path, short=short)
        )
    return [name.lower().lstrip("#").strip() for name in header], rows


def _no_pose(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        _("{path}: holds no pose: a header line and one line per photo are needed", path=path)
    )


def _find(columns: dict[str, int], wanted: Sequence[Sequence[str]]) -> list[int] | None:
    found = [next((columns[n] for n in spellings if n in columns), None) for spellings in wanted]
    return None if None in found else [i for i in found if i is not None]


def _numbers(rows: list[list[str]], at: list[int], path: Path) -> Floats:
    try:
        values = np.array([[float(row[i]) for i in at] for row in rows], dtype=np.float64)
    except ValueError as error:
        raise SourceUnreadable(
            _("{path}: {error}: write numbers with a decimal point", path=path, error=error)
        ) from error
    if not np.isfinite(values).all():
        raise SourceUnreadable(_("{path}: holds a value that is not finite: remove that line", path=path))
    return values


def _sidecar_prj(path: Path) -> str:
    prj_path = path.with_suffix(".prj")
    if not prj_path.is_file():
        raise CrsMissing(
            _(
                "{path}: does not say which CRS its x and y are in: put a .prj file of that name beside it",
                path=path,
            )
        )
    text = read_regular(prj_path, _MAX_CRS_BYTES).decode("utf-8").strip()
    parse_crs(text)
    return text


def _from_xyz_opk(places: Floats, opk: Floats, own_crs: str, target: str) -> tuple[Floats, Floats, Floats]:
    """Return centres N×3, rotations N×3×3 and grid scales N in the CRS `target`.

    Angles refer to the table's own grid: in another CRS they turn by the difference of convergence.
    """
    rotations = rotation_from_opk(*opk.T)
    lonlat = to_lonlat(places[:, :2], own_crs)
    if target == own_crs:
        scale = np.array([compute_convergence_and_scale(own_crs, *p)[1] for p in lonlat])
        return places, rotations, scale
    own = np.array([compute_convergence_and_scale(own_crs, *p) for p in lonlat])
    other = np.array([compute_convergence_and_scale(target, *p) for p in lonlat])
    turn = own[:, 0] - other[:, 0]
    # a direction's azimuth on the target grid is larger by own - other convergence
    c, s, o, one = np.cos(turn), np.sin(turn), np.zeros_like(turn), np.ones_like(turn)
    own_from_target = np.stack(
        [np.stack([c, -s, o], -1), np.stack([s, c, o], -1), np.stack([o, o, one], -1)], -2
    )
    moved = np.column_stack([to_work(lonlat, target), places[:, 2]])
    return moved, rotations @ own_from_target, other[:, 1]


def _from_lla_rpy(places: Floats, ypr: Floats, target: str) -> tuple[Floats, Floats, Floats]:
    """Return centres N×3, rotations N×3×3 and grid scales N in the CRS `target`.

    Pitch 0 looks straight down (Pix4D); in a table of gimbal angles, by which most cameras would else look
    at the horizon or the sky behind, -90° does (DJI).
    """
    grid = np.array([compute_convergence_and_scale(target, *p[:2]) for p in places])
    yaw, pitch, roll = ypr.T
    if np.median(pitch) > -np.pi / 4.0:
        pitch = pitch - np.pi / 2.0
    rotations = rotation_from_gimbal(yaw, pitch, roll, grid[:, 0])
    moved = np.column_stack([to_work(places[:, :2], target), places[:, 2]])
    return moved, rotations, grid[:, 1]
