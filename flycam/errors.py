"""Error tree, and the exit code, HTTP status and heading of each error.

Of flycam it imports only `flycam.messages`, so that every layer can raise from it.

Two branches matter. A `FrameRejected` is about one frame: it is counted under its `reason`, shown, and the
flight goes on. Every other `FlycamError` stops what is running, loudly. Heading, exit code and
HTTP status stand on the class, and are inherited.

A message names the file (or the place) first and ends with what to do about it.
"""

from __future__ import annotations

from typing import Self

from flycam.messages import Message, _, join, verbatim

EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_STORAGE = 4
EXIT_REFUSED = 5
# done, but some files are on the memory card alone: it must not be wiped
EXIT_INCOMPLETE = 6
# 128 + SIGINT, as shells report Ctrl-C
EXIT_CANCELLED = 130


class FlycamError(Exception):
    """Root of all errors that flycam raises on purpose.

    `str` of one is English; `message` has the other languages. A plain text reads the same in all of them.
    """

    exit_code = EXIT_INTERNAL
    http_status = 500
    heading = _("Internal error")

    def __init__(self, message: Message | str = "") -> None:
        super().__init__(message)
        self.message = message if isinstance(message, Message) else verbatim(message)


# -- Errors of the input ---------------------------------------------------------------------------


class InputUnusable(FlycamError):
    """The input as a whole cannot be used; the message names the file and the cure."""

    exit_code = EXIT_INPUT
    http_status = 422
    heading = _("The input cannot be used")


class OptionUnusable(InputUnusable):
    """An impossible option, value or combination; the message says what is possible."""

    exit_code = EXIT_USAGE
    heading = _("The command is not right")


class SourceUnreadable(InputUnusable):
    """A file is truncated, empty, of another type, a bomb, or otherwise not readable."""

    heading = _("The file cannot be read")


class UnexpectedSource(SourceUnreadable):
    """A reader failed on a file in an unforeseen way.

    To people the file is unreadable, to tests it is an error of flycam's.
    """


class StreamUnreadable(SourceUnreadable):
    """A stream's address delivers nothing readable, or cannot be listened at."""

    heading = _("No video comes")


class CalibrationMissing(InputUnusable):
    """Interior orientation unknown from file, `models/cameras` and operator."""

    heading = _("The camera is not known")


class PositionMissing(InputUnusable):
    """No frame of the flight has a position, and no log supplies one."""

    heading = _("The photos have no position")


class PhotosUnpositioned(PositionMissing):
    """Photos have positions, but other data for their pose are missing or wrong."""

    heading = _("No photo can be placed")


class VideoUnpositioned(PositionMissing):
    """A video came without anything that says where it was filmed."""

    heading = _("The video has no position")


class TerrainMissing(InputUnusable):
    """No registered terrain covers the flight, or the terrain has a hole under it."""

    heading = _("No terrain here")


class CrsMissing(InputUnusable):
    """A vector or raster file does not state its coordinate reference system."""

    heading = _("No coordinate system")


class DatumUnknown(InputUnusable):
    """A height has no vertical datum, or the grid to convert between two is missing."""

    heading = _("Height datum not known")


class BoundaryInvalid(InputUnusable):
    """A boundary file has no usable polygon."""

    heading = _("No usable boundary")


class LayerInvalid(InputUnusable):
    """A specialist layer is empty, or has no feature that fits its kind."""

    heading = _("No usable layer")


class NotFound(InputUnusable):
    """A requested flight, frame, commune, revision or tile does not exist."""

    http_status = 404
    heading = _("Not found")


class OriginalPurged(InputUnusable):
    """A needed original was deleted under a retention term; its record stays."""

    http_status = 410
    heading = _("Let go under the retention term")


class DueListChanged(InputUnusable):
    """The confirmed list is not the current one any more."""

    http_status = 409
    heading = _("The list has changed")


class FlightBoundToEvent(InputUnusable):
    """A flight cannot leave its event: records there refer to it."""

    http_status = 409
    heading = _("The flight stays in its event")


class RealDataPresent(InputUnusable):
    """An exercise was requested on a node where real data are registered."""

    http_status = 409
    heading = _("Something real is here")


class NameTaken(InputUnusable):
    """A label belongs to another flight; use the id or choose another name."""

    http_status = 409
    heading = _("The name is taken")


# -- Rejections of one frame -----------------------------------------------------------------------


class FrameRejected(FlycamError):
    """A frame that is not used; `reason` is the stable key under which it is counted."""

    exit_code = EXIT_INPUT
    http_status = 422
    heading = _("No frame can be used")

    reason = "rejected"

    @classmethod
    def from_error(cls, error: FlycamError) -> Self:
        """Return the rejection of a frame for an error of its file, camera or log."""
        return cls(error.message)


class FrameUnreadable(FrameRejected):
    """The pixels of this frame cannot be decoded."""

    reason = "unreadable"


class PositionUnknown(FrameRejected):
    """This frame has no usable position although its neighbours have."""

    reason = "no_position"


class LensUnknown(FrameRejected):
    """The lens of this frame is unknown, although that of its neighbours is known."""

    reason = "calibration_missing"


class AttitudeUnknown(FrameRejected):
    """The viewing direction of this frame's camera is unknown."""

    reason = "no_sight"


class HeightUnknown(FrameRejected):
    """Neither terrain nor operator gives a usable height for this frame."""

    reason = "no_height"


class TelemetryGap(FrameRejected):
    """No telemetry sample is close enough in time; flycam never extrapolates."""

    reason = "telemetry_gap"


class PoseRejected(FrameRejected):
    """The pose contradicts the terrain or the rest of the flight."""

    reason = "pose_rejected"


class HorizonInView(FrameRejected):
    """Too much of the frame looks at or above the horizon."""

    reason = "horizon_in_view"


class OutsideTerrain(FrameRejected):
    """The frame's footprint misses the known terrain."""

    reason = "outside_terrain"


class TooBlurred(FrameRejected):
    """Sharpness is far below the rest of the flight."""

    reason = "too_blurred"


class LensCovered(FrameRejected):
    """The photo holds no image: lens cap, or black."""

    reason = "lens_covered"


class DuplicateFrame(FrameRejected):
    """The same bytes, or the same exposure, came twice."""

    reason = "duplicate"


# -- Errors of store, catalogue and disk -----------------------------------------------------------


class StorageFailed(FlycamError):
    """Disk, object store or database failed; running again is safe."""

    exit_code = EXIT_STORAGE
    http_status = 503
    heading = _("Storage trouble")


class StoreUnavailable(StorageFailed):
    """The object store cannot be reached or does not answer in time."""

    heading = _("The store does not answer")


class PeerUnavailable(StoreUnavailable):
    """Another server does not answer, or makes no progress; not this node's fault."""

    heading = _("The server does not answer")


class StoreDenied(StorageFailed):
    """The object store answers, but refuses access with these credentials."""

    heading = _("The store denies access")


class BucketMissing(StorageFailed):
    """The bucket named in FLYCAM_STORE does not exist."""

    heading = _("The bucket does not exist")


class StoreConflict(StorageFailed):
    """A conditional write lost, or tiles of different epoch or base zoom met."""

    http_status = 409
    heading = _("Something else was written first")


class DiskFull(StorageFailed):
    """No space left for the write; nothing half-written stays visible."""

    http_status = 507
    heading = _("The disk is full")


class ObjectMissing(StorageFailed):
    """A key that the catalogue names is not in the store."""

    heading = _("An object is missing")


class RecordsMissing(ObjectMissing):
    """A sync step relies on flight records that are not here any more.

    The sender has to query anew.
    """

    http_status = 409
    heading = _("It has to be sent again")


class TileCorrupt(StorageFailed):
    """A tile's bytes do not decode or do not match their content hash."""

    heading = _("A tile is damaged")


class DataDamaged(StorageFailed):
    """Stored data are lost or damaged, and nothing here can make them again."""

    heading = _("Not all that is kept is whole")


class CatalogUnavailable(StorageFailed):
    """The catalogue cannot be opened, is locked too long, or has another schema."""

    heading = _("The catalogue does not open")


class FlightBusy(StorageFailed):
    """Another process is writing this flight at this moment."""

    http_status = 409
    heading = _("The flight is busy")


class ClusterUnavailable(StorageFailed):
    """The cluster in FLYCAM_CLUSTER does not answer, or has no working worker left."""

    heading = _("The cluster does not answer")


class WorkerIncompatible(StorageFailed):
    """A worker of the cluster has other software, or another store or catalogue."""

    heading = _("A worker does not belong to this data folder")


# -- Errors of access and of requests, and insufficient evidence -----------------------------------


class AccessDenied(FlycamError):
    """The account is missing, or its role does not allow this."""

    exit_code = EXIT_USAGE
    http_status = 403
    heading = _("Not allowed")


class ServerUntrusted(InputUnusable):
    """A server's certificate is not trusted, so nothing was sent to it."""

    heading = _("The server is not trusted")


class UploadIncomplete(FlycamError):
    """A memory card was sent, but some of its files are on the card alone."""

    exit_code = EXIT_INCOMPLETE
    http_status = 409
    heading = _("Keep the card")


class FeatureDisabled(FlycamError):
    """This server was started without the requested feature; retrying is no use."""

    exit_code = EXIT_USAGE
    http_status = 404
    heading = _("This server does not do that")


class SignInUnavailable(FlycamError):
    """The province's own sign-in service does not answer, or answers unusably."""

    exit_code = EXIT_STORAGE
    http_status = 503
    heading = _("The sign-in service cannot be used")


class Cancelled(FlycamError):
    """The run was stopped on request; the same command resumes it."""

    exit_code = EXIT_CANCELLED
    http_status = 409
    heading = _("Stopped")


class EvidenceInsufficient(FlycamError):
    """The evidence does not support an answer, so none is given."""

    exit_code = EXIT_REFUSED
    http_status = 409
    heading = _("Refused by evidence")


class CoregistrationFailed(EvidenceInsufficient):
    """Two images do not surely match, so no change between them is reported."""


class ComparisonUnsuitable(EvidenceInsufficient):
    """Changes cannot be detected in these two images.

    Finding none does not mean that there is none.
    """


class DraftOutdated(EvidenceInsufficient):
    """A briefing pack would differ from the draft that was approved."""


class FlightLogMismatch(EvidenceInsufficient):
    """A video turns otherwise than its flight log: they are of two flights."""


# -- What people and programs learn of an error ----------------------------------------------------


def get_exit_code(error: BaseException) -> int:
    """Return the exit code of the process."""
    return error.exit_code if isinstance(error, FlycamError) else EXIT_INTERNAL


def get_http_status(error: BaseException) -> int:
    """Return the HTTP status."""
    return error.http_status if isinstance(error, FlycamError) else FlycamError.http_status


def format_error(error: BaseException) -> Message:
    """Return heading and sentence of an error."""
    heading = error.heading if isinstance(error, FlycamError) else FlycamError.heading
    return join((heading, format_error_detail(error)), ": ")


def format_error_detail(error: BaseException) -> Message:
    """Return the sentence of an error without the heading.

    An internal error keeps its type's name.
    """
    if isinstance(error, FlycamError) and error.exit_code != EXIT_INTERNAL:
        return error.message
    return verbatim(f"{type(error).__name__}: {error}")
