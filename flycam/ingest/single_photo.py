"""Single photos on a DEM, orthorectified in memory: no workspace, no tiles, nothing written.

preflight check of the one photo ─ DEM around it ─ footprint ─ north-up grid ─ pixels of ground that it shows
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import DatumUnknown, FrameRejected, OptionUnusable
from flycam.geodata.cameras import load_camera_file
from flycam.geodata.dem import read_dem_info
from flycam.geodata.raster import EXERCISE_TAG, write_cog
from flycam.geometry.camera import InteriorOrientation, scale_interior
from flycam.geometry.footprint import Footprint, compute_footprints, make_unknown_ground_error
from flycam.geometry.orthorectification import orthorectify_onto_grid
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.photos.calibration import resolve_interior
from flycam.ingest.photos.photo_reader import read_metadata
from flycam.ingest.preflight_check import PreflightRequest, run_preflight
from flycam.media.pixels import open_pixels
from flycam.messages import Message, _
from flycam.model.flight import DRILL_MARK, is_flat_datum
from flycam.mosaic.terrain import load_terrain_around

Transform = tuple[float, float, float, float, float, float]

MAX_ORTHOPHOTO_PIXELS = 250_000_000
"""Most pixels of an orthophoto, which take 2 GB while it is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Orthophoto:
    """One photo on the ground, north up in the UTM zone of its place.

    rgb        H×W×3 uint8; 0 where not valid
    valid      H×W bool: ground that the photo shows; False where it is hidden, unknown or outside the photo
    transform  GDAL's (a, b, c, d, e, f) from pixel corners (column, row) to `crs`, metres
    crs        "EPSG:n"; gsd_m: side of a pixel in it, metres
    interior   camera used
    exterior   pose used: the projection centre in `crs` and the DEM's vertical datum
    findings   how the preflight check settled the metadata, a sentence each
    is_drill   the photo is of a drill; its GeoTIFF is marked so
    """

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    transform: Transform
    crs: str
    gsd_m: float
    interior: InteriorOrientation
    exterior: ExteriorOrientation
    findings: tuple[Message, ...] = ()
    is_drill: bool = False

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the outer pixel corners in `crs`."""
        west, north = self.transform[2], self.transform[5]
        rows, cols = self.valid.shape
        return west, north - rows * self.gsd_m, west + cols * self.gsd_m, north

    def write_geotiff(self, path: str | Path) -> None:
        """Write it as a Cloud-Optimized GeoTIFF with mask, complete or not at all.

        Raises DiskFull, StorageFailed.
        """
        tags = {EXERCISE_TAG: DRILL_MARK} if self.is_drill else {}
        write_cog(Path(path), self.rgb, self.valid, self.transform, self.crs, tags=tags)


class Orthorectifier:
    """Orthorectifies photos one by one on a DEM; needs no workspace and writes nothing.

    Poses are those of the metadata, settled by the preflight check of flights. Without neighbours nothing is
    adjusted: a photo lies as far off as its position and attitude do, metres with a consumer drone.
    """

    def __init__(
        self,
        dem: str | Path,
        datum: str | None = None,
        *,
        camera: str | Path | None = None,
        telemetry: str | Path | None = None,
        height_mode: str = "auto",
        takeoff: float | tuple[float, float] | None = None,
    ) -> None:
        """Inspect the DEM; the options are those of `ingest_photos`.

        datum  vertical datum where the file does not state it, or states a wrong one

        Raises SourceUnreadable, CrsMissing, DatumUnknown, TerrainMissing.
        """
        self._dem = read_dem_info(Path(dem), datum)
        self._camera = None if camera is None else Path(camera)
        self._telemetry = None if telemetry is None else Path(telemetry)
        self._height_mode, self._takeoff = height_mode, takeoff

    def orthorectify(
        self, photo: str | Path, *, gsd_m: float | None = None, exterior: ExteriorOrientation | None = None
    ) -> Orthophoto:
        """Orthorectify one photo: JPEG, PNG or TIFF.

        gsd_m     side of a pixel on the ground, m; None: that of the photo at its centre
        exterior  pose that replaces the metadata's; it may be in any metric CRS and vertical datum

        Raises SourceUnreadable, FrameUnreadable, PositionMissing or PhotosUnpositioned (metadata that do not
        place it), CalibrationMissing (unknown lens: give a camera file), TerrainMissing and OutsideTerrain
        (it looks at other ground), HorizonInView, DatumUnknown, OptionUnusable (too many pixels).
        """
        path = Path(photo)
        if gsd_m is not None and not 0.0 < gsd_m < math.inf:
            raise OptionUnusable(_("gsd_m={gsd_m:g}: give metres, more than 0", gsd_m=gsd_m))
        interior, exterior, findings, is_drill = self._settle(path, exterior)
        terrain = self._load_terrain(path, exterior)
        (footprint,) = compute_footprints([(interior, exterior)], terrain)
        if isinstance(footprint, FrameRejected):
            raise footprint
        rgb, valid, transform = _lay_on_ground(path, interior, exterior, terrain, footprint, gsd_m)
        return Orthophoto(
            rgb=rgb,
            valid=valid,
            transform=transform,
            crs=exterior.work_crs,
            gsd_m=transform[0],
            interior=interior,
            exterior=exterior,
            findings=findings,
            is_drill=is_drill,
        )

    def _settle(
        self, photo: Path, exterior: ExteriorOrientation | None
    ) -> tuple[InteriorOrientation, ExteriorOrientation, tuple[Message, ...], bool]:
        """Return a photo's camera, pose, findings, and whether it is of a drill."""
        if exterior is not None:
            metadata = read_metadata(photo)
            camera = None if self._camera is None else load_camera_file(self._camera)
            return resolve_interior(metadata, camera), exterior, (), metadata.is_drill
        request = PreflightRequest(
            paths=(photo,),
            telemetry=self._telemetry,
            camera=self._camera,
            height_mode=self._height_mode,
            takeoff=self._takeoff,
            own_dem=self._dem.path,
        )
        diagnosis = run_preflight(request, [self._dem]).diagnosis
        header, findings = diagnosis.headers[0], tuple(one.sentence for one in diagnosis.problems)
        return header.interior, header.exterior_prior, findings, diagnosis.is_drill

    def _load_terrain(self, photo: Path, exterior: ExteriorOrientation) -> TerrainGrid:
        """Load the DEM around a camera, in the CRS and vertical datum of its pose."""
        datum = exterior.vertical_datum
        if is_flat_datum(datum):
            raise DatumUnknown(
                _(
                    "{name}: heights in the datum LOCAL do not tell how far the ground is below the "
                    "camera; give terrain and pose in EGM96, EGM2008 or ELLIPSOID",
                    name=photo.name,
                )
            )
        centre_m = np.array([exterior.projection_centre_m])
        return load_terrain_around(
            None, [self._dem], centre_m, exterior.work_crs, datum=datum, plane_height_m=0.0
        )


def _lay_on_ground(
    photo: Path,
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    terrain: TerrainGrid,
    footprint: Footprint,
    gsd_m: float | None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Transform]:
    """Orthorectify a photo's pixels; return colours, mask and transform of the ground that it shows."""
    gsd_m = footprint.gsd_m if gsd_m is None else gsd_m
    west, south, east, north = footprint.bounds_m
    west, north = math.floor(west / gsd_m) * gsd_m, math.ceil(north / gsd_m) * gsd_m
    shape_px = math.ceil((north - south) / gsd_m), math.ceil((east - west) / gsd_m)
    if math.prod(shape_px) > MAX_ORTHOPHOTO_PIXELS:
        raise OptionUnusable(
            _(
                "{name}: its ground has {cols} by {rows} pixels at {gsd_m:.2g} m, more than fit in memory; "
                "give a larger gsd_m",
                name=photo.name,
                cols=shape_px[1],
                rows=shape_px[0],
                gsd_m=gsd_m,
            )
        )
    pixels = open_pixels(photo)
    if gsd_m > footprint.gsd_m:
        # A pixel larger than the photo's shows the mean of what it covers.
        height, width = (max(round(side * footprint.gsd_m / gsd_m), 1) for side in pixels.shape[:2])
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        interior = scale_interior(interior, (width, height))
    made = orthorectify_onto_grid(pixels, interior, exterior, terrain, (west, north), gsd_m, shape_px)
    valid = made.quality > 0
    if not valid.any():
        raise make_unknown_ground_error()
    rows, cols = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    imaged = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    corner = west + float(cols[0]) * gsd_m, north - float(rows[0]) * gsd_m
    # copies, so that the margins are freed
    return made.rgb[imaged].copy(), valid[imaged].copy(), (gsd_m, 0.0, corner[0], 0.0, -gsd_m, corner[1])
