"""The error tree. It imports only `messages` of flycam, so that every layer can raise from it.

Two branches matter. A `FrameRejected` is about one frame: it is counted under its `reason`, shown,
and the flight goes on. Every other `FlycamError` stops what is running, loudly. The words that people
read, the exit code and the HTTP status are chosen in one place only: `flycam.outcomes`.

A message names the file (or the place) first and ends with what to do about it.
"""

from typing import Self

from flycam.messages import Message, verbatim


class FlycamError(Exception):
    """Root of all errors that flycam raises on purpose.

    `str` of one is English; `message` has the other languages. A plain text reads the same in all of them.
    """

    def __init__(self, message: Message | str = "") -> None:
        super().__init__(message)
        self.message = message if isinstance(message, Message) else verbatim(message)


# -- the input --------------------------------------------------------------------------------


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


# -- one frame --------------------------------------------------------------------------------


class FrameRejected(FlycamError):
    """A frame that is not used; `reason` is the stable key under which it is counted."""

    reason = "rejected"

    @classmethod
    def from_error(cls, error: FlycamError) -> Self:
        """Return the rejection of a frame for an error of its file, lens or log, with its message."""
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


# -- store, catalogue, disk -------------------------------------------------------------------


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

    The sender has to ask anew.
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
    """A worker of the cluster runs other software, or sees another store or catalogue."""


# -- people -----------------------------------------------------------------------------------


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
    """No change can be told from two images; finding none does not mean there is none."""


class DraftOutdated(EvidenceInsufficient):
    """A briefing pack would differ from the draft that was approved."""


class FlightLogMismatch(EvidenceInsufficient):
    """A video turns otherwise than its flight log: they are of two flights."""
