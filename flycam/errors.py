"""Error tree, and the exit code, HTTP status and heading of each error.

Of flycam it imports only `flycam.messages`, so that every layer can raise from it.

Two branches matter. A `FrameRejected` is about one frame: it is counted under its `reason`, shown, and the
flight goes on. Every other `FlycamError` stops what is running, loudly. The words that people read, the exit
code and the HTTP status are chosen in one place only, the table of `Outcome` here.

A message names the file (or the place) first and ends with what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from flycam.messages import Message, _, join, verbatim


class FlycamError(Exception):
    """Root of all errors that flycam raises on purpose.

    `str` of one is English; `message` has the other languages. A plain text reads the same in all of them.
    """

    def __init__(self, message: Message | str = "") -> None:
        super().__init__(message)
        self.message = message if isinstance(message, Message) else verbatim(message)


# -- Errors of the input ---------------------------------------------------------------------------


class InputUnusable(FlycamError):
    """The input as a whole cannot be used; the message names the file and the cure."""


class OptionUnusable(InputUnusable):
    """An impossible option, value or combination; the message says what is possible."""


class SourceUnreadable(InputUnusable):
    """A file is truncated, empty, of another type, a bomb, or otherwise not readable."""


class UnexpectedSource(SourceUnreadable):
    """A reader failed on a file in an unforeseen way.

    To people the file is unreadable, to tests it is an error of flycam's.
    """


class StreamUnreadable(SourceUnreadable):
    """A stream's address delivers nothing readable, or cannot be listened at."""


class CalibrationMissing(InputUnusable):
    """Interior orientation unknown from file, `models/cameras` and operator."""


class PositionMissing(InputUnusable):
    """No frame of the flight has a position, and no log supplies one."""


class PhotosUnpositioned(PositionMissing):
    """Photos have positions, but other data for their pose are missing or wrong."""


class VideoUnpositioned(PositionMissing):
    """A video came without anything that says where it was filmed."""


class TerrainMissing(InputUnusable):
    """No registered terrain covers the flight, or the terrain has a hole under it."""


class CrsMissing(InputUnusable):
    """A vector or raster file does not state its coordinate reference system."""


class DatumUnknown(InputUnusable):
    """A height has no vertical datum, or the grid to convert between two is missing."""


class BoundaryInvalid(InputUnusable):
    """A boundary file has no usable polygon."""


class LayerInvalid(InputUnusable):
    """A specialist layer is empty, or has no feature that fits its kind."""


class NotFound(InputUnusable):
    """A requested flight, frame, commune, revision or tile does not exist."""


class OriginalPurged(InputUnusable):
    """A needed original was deleted under a retention term; its record stays."""


class DueListChanged(InputUnusable):
    """The confirmed list is not the current one any more."""


class FlightBoundToEvent(InputUnusable):
    """A flight cannot leave its event: records there refer to it."""


class RealDataPresent(InputUnusable):
    """An exercise was requested on a node where real data are registered."""


class NameTaken(InputUnusable):
    """A label belongs to another flight; use the id or choose another name."""


# -- Rejections of one frame -----------------------------------------------------------------------


class FrameRejected(FlycamError):
    """A frame that is not used; `reason` is the stable key under which it is counted."""

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


class StoreUnavailable(StorageFailed):
    """The object store cannot be reached or does not answer in time."""


class PeerUnavailable(StoreUnavailable):
    """Another server does not answer, or makes no progress; not this node's fault."""


class StoreDenied(StorageFailed):
    """The object store answers, but refuses access with these credentials."""


class BucketMissing(StorageFailed):
    """The bucket named in FLYCAM_STORE does not exist."""


class StoreConflict(StorageFailed):
    """A conditional write lost, or tiles of different epoch or base zoom met."""


class DiskFull(StorageFailed):
    """No space left for the write; nothing half-written stays visible."""


class ObjectMissing(StorageFailed):
    """A key that the catalogue names is not in the store."""


class RecordsMissing(ObjectMissing):
    """A sync step relies on flight records that are not here any more.

    The sender has to query anew.
    """


class TileCorrupt(StorageFailed):
    """A tile's bytes do not decode or do not match their content hash."""


class DataDamaged(StorageFailed):
    """Stored data are lost or damaged, and nothing here can make them again."""


class CatalogUnavailable(StorageFailed):
    """The catalogue cannot be opened, is locked too long, or has another schema."""


class FlightBusy(StorageFailed):
    """Another process is writing this flight at this moment."""


class ClusterUnavailable(StorageFailed):
    """The cluster in FLYCAM_CLUSTER does not answer, or has no working worker left."""


class WorkerIncompatible(StorageFailed):
    """A worker of the cluster has other software, or another store or catalogue."""


# -- Errors of access and of requests, and insufficient evidence -----------------------------------


class AccessDenied(FlycamError):
    """The account is missing, or its role does not allow this."""


class ServerUntrusted(InputUnusable):
    """A server's certificate is not trusted, so nothing was sent to it."""


class UploadIncomplete(FlycamError):
    """A memory card was sent, but some of its files are on the card alone."""


class FeatureDisabled(FlycamError):
    """This server was started without the requested feature; retrying is no use."""


class SignInUnavailable(FlycamError):
    """The province's own sign-in service does not answer, or answers unusably."""


class Cancelled(FlycamError):
    """The run was stopped on request; the same command resumes it."""


class EvidenceInsufficient(FlycamError):
    """The evidence does not support an answer, so none is given."""


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


# -- Outcomes of errors ----------------------------------------------------------------------------


EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_STORAGE = 4
EXIT_REFUSED = 5
# done, but some files are on the memory card alone: it must not be wiped
EXIT_INCOMPLETE = 6
# 128 + SIGINT, as shells report Ctrl-C
EXIT_CANCELLED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of an error: exit code, HTTP status, and a heading."""

    exit_code: int
    http_status: int
    heading: Message


_INTERNAL = Outcome(EXIT_INTERNAL, 500, _("Internal error"))

OUTCOMES: dict[type[Exception], Outcome] = {
    InputUnusable: Outcome(EXIT_INPUT, 422, _("The input cannot be used")),
    OptionUnusable: Outcome(EXIT_USAGE, 422, _("The command is not right")),
    SourceUnreadable: Outcome(EXIT_INPUT, 422, _("The file cannot be read")),
    StreamUnreadable: Outcome(EXIT_INPUT, 422, _("No video comes")),
    CalibrationMissing: Outcome(EXIT_INPUT, 422, _("The camera is not known")),
    PositionMissing: Outcome(EXIT_INPUT, 422, _("The photos have no position")),
    PhotosUnpositioned: Outcome(EXIT_INPUT, 422, _("No photo can be placed")),
    VideoUnpositioned: Outcome(EXIT_INPUT, 422, _("The film has no position")),
    TerrainMissing: Outcome(EXIT_INPUT, 422, _("No terrain here")),
    CrsMissing: Outcome(EXIT_INPUT, 422, _("No coordinate system")),
    DatumUnknown: Outcome(EXIT_INPUT, 422, _("Height datum not known")),
    BoundaryInvalid: Outcome(EXIT_INPUT, 422, _("No usable boundary")),
    LayerInvalid: Outcome(EXIT_INPUT, 422, _("No usable layer")),
    NotFound: Outcome(EXIT_INPUT, 404, _("Not found")),
    OriginalPurged: Outcome(EXIT_INPUT, 410, _("Let go under the retention term")),
    DueListChanged: Outcome(EXIT_INPUT, 409, _("The list has changed")),
    NameTaken: Outcome(EXIT_INPUT, 409, _("The name is taken")),
    FlightBoundToEvent: Outcome(EXIT_INPUT, 409, _("The flight stays in its event")),
    RealDataPresent: Outcome(EXIT_INPUT, 409, _("Something real is here")),
    FrameRejected: Outcome(EXIT_INPUT, 422, _("No frame can be used")),
    StorageFailed: Outcome(EXIT_STORAGE, 503, _("Storage trouble")),
    StoreUnavailable: Outcome(EXIT_STORAGE, 503, _("The store does not answer")),
    PeerUnavailable: Outcome(EXIT_STORAGE, 503, _("The server does not answer")),
    StoreDenied: Outcome(EXIT_STORAGE, 503, _("The store denies access")),
    BucketMissing: Outcome(EXIT_STORAGE, 503, _("The bucket does not exist")),
    StoreConflict: Outcome(EXIT_STORAGE, 409, _("Something else was written first")),
    DiskFull: Outcome(EXIT_STORAGE, 507, _("The disk is full")),
    ObjectMissing: Outcome(EXIT_STORAGE, 503, _("An object is missing")),
    RecordsMissing: Outcome(EXIT_STORAGE, 409, _("It has to be sent again")),
    TileCorrupt: Outcome(EXIT_STORAGE, 503, _("A tile is damaged")),
    DataDamaged: Outcome(EXIT_STORAGE, 503, _("Not all that is kept is whole")),
    CatalogUnavailable: Outcome(EXIT_STORAGE, 503, _("The catalogue does not open")),
    FlightBusy: Outcome(EXIT_STORAGE, 409, _("The flight is busy")),
    ClusterUnavailable: Outcome(EXIT_STORAGE, 503, _("The cluster does not answer")),
    WorkerIncompatible: Outcome(EXIT_STORAGE, 503, _("A worker does not belong to this house")),
    AccessDenied: Outcome(EXIT_USAGE, 403, _("Not allowed")),
    UploadIncomplete: Outcome(EXIT_INCOMPLETE, 409, _("Keep the card")),
    FeatureDisabled: Outcome(EXIT_USAGE, 404, _("This server does not do that")),
    ServerUntrusted: Outcome(EXIT_INPUT, 422, _("The server is not believed")),
    SignInUnavailable: Outcome(EXIT_STORAGE, 503, _("The sign-in service cannot be used")),
    Cancelled: Outcome(EXIT_CANCELLED, 409, _("Stopped")),
    EvidenceInsufficient: Outcome(EXIT_REFUSED, 409, _("Refused by evidence")),
}


def get_outcome(error: BaseException) -> Outcome:
    """Return the nearest entry up the error's class tree, else the internal error."""
    return next((OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES), _INTERNAL)


def get_exit_code(error: BaseException) -> int:
    """Return the exit code of the process."""
    return get_outcome(error).exit_code


def get_http_status(error: BaseException) -> int:
    """Return the HTTP status."""
    return get_outcome(error).http_status


def format_error(error: BaseException) -> Message:
    """Return heading and sentence of an error."""
    return join((get_outcome(error).heading, format_error_detail(error)), ": ")


def format_error_detail(error: BaseException) -> Message:
    """Return the sentence of an error without the heading.

    An internal error keeps its type's name.
    """
    if isinstance(error, FlycamError) and get_outcome(error) is not _INTERNAL:
        return error.message
    return verbatim(f"{type(error).__name__}: {error}")
