"""The error tree. It imports nothing of the house but messages, so that every floor can raise from it.

Two branches matter. A `FrameRejected` is about one frame: it is counted under its `reason`, shown,
and the flight goes on. Every other `FlycamError` stops what is running, loudly. The words a person
reads, the exit code and the HTTP status are chosen in one place only: `flycam.outcomes`.

A message names the file (or the place) first and ends with what to do about it.
"""

from typing import Self

from flycam.messages import Message, verbatim


class FlycamError(Exception):
    """Root of all errors flycam raises on purpose; `str` of one is English, `message` knows the others."""

    def __init__(self, message: Message | str = "") -> None:
        super().__init__(message)
        self._is_known = isinstance(message, Message)
        self.message = message if isinstance(message, Message) else verbatim(message)

    @property
    def vi(self) -> str | None:
        """The message in Vietnamese; None where it was given in English only."""
        return self.message.in_language("vi") if self._is_known else None


# -- the input --------------------------------------------------------------------------------


class InputUnusable(FlycamError):
    """The input as a whole cannot be used; names the file and the cure."""


class OptionUnusable(InputUnusable):
    """A command was asked with an option, a value or a pair of them that cannot be meant; says what can."""


class SourceUnreadable(InputUnusable):
    """A file is truncated, empty, of another type, a bomb, or otherwise not readable."""


class UnexpectedSource(SourceUnreadable):
    """A reader met in a file what nobody foresaw: to people it is unreadable, to tests an error of ours."""


class StreamUnreadable(SourceUnreadable):
    """Nothing that can be read comes from a stream's address, or it cannot be listened at."""


class CalibrationMissing(InputUnusable):
    """Neither the file nor `models/cameras` nor the operator says what the lens is."""


class PositionMissing(InputUnusable):
    """No frame of the flight has a position and no log was given that could supply one."""


class PhotosUnpositioned(PositionMissing):
    """Photos have positions, but something else that placing them takes is missing or wrong."""


class VideoUnpositioned(PositionMissing):
    """A film came without anything that says where it was filmed."""


class TerrainMissing(InputUnusable):
    """No registered terrain covers the flight, or the terrain has a hole under it."""


class CrsMissing(InputUnusable):
    """A vector or raster file does not say which coordinate reference system it is in."""


class DatumUnknown(InputUnusable):
    """A height has no datum, or the grid needed to convert between two datums is not there."""


class BoundaryInvalid(InputUnusable):
    """A boundary file has no usable polygon."""


class LayerInvalid(InputUnusable):
    """A specialist layer has nothing in it, or nothing that can be of its kind."""


class NotFound(InputUnusable):
    """A flight, frame, commune, revision or tile that was asked for does not exist."""


class OriginalPurged(InputUnusable):
    """An original that is needed was let go under a retention term; its record stays."""


class DueListChanged(InputUnusable):
    """What was confirmed is not the list that stands now."""


class FlightBoundToEvent(InputUnusable):
    """A flight cannot leave its event: what was said of it there would lose its ground."""


class RealDataPresent(InputUnusable):
    """A drill was asked for in a house where something real is registered."""


class NameTaken(InputUnusable):
    """A label is already carried by another flight; the id must be used or another name chosen."""


# -- one frame --------------------------------------------------------------------------------


class FrameRejected(FlycamError):
    """One frame is left out. `reason` is the stable key under which it is counted, `reason_vi` says it."""

    reason = "rejected"
    reason_vi = "bị loại"

    @classmethod
    def from_error(cls, error: FlycamError) -> Self:
        """One frame left out for what is said of its file, its lens or its log, in both languages."""
        return cls(error.message)


class FrameUnreadable(FrameRejected):
    """The pixels of this frame cannot be decoded."""

    reason = "unreadable"
    reason_vi = "không đọc được ảnh; hãy chép lại từ thẻ nhớ"


class PositionUnknown(FrameRejected):
    """This frame has no usable position although its neighbours have."""

    reason = "no_position"
    reason_vi = "không có vị trí dùng được; hãy cung cấp nhật ký bay bằng --telemetry"


class LensUnknown(FrameRejected):
    """Nothing says what lens took this frame, although the lens of its neighbours is known."""

    reason = "calibration_missing"
    reason_vi = "chưa biết ống kính; hãy cung cấp bằng --camera"


class AttitudeUnknown(FrameRejected):
    """Nothing says which way the camera of this frame looked."""

    reason = "no_sight"
    reason_vi = "chưa biết máy ảnh nhìn hướng nào; hãy cung cấp tư thế ảnh bằng --telemetry"


class HeightUnknown(FrameRejected):
    """Neither terrain nor the operator makes a height of what this frame says."""

    reason = "no_height"
    reason_vi = "không có độ cao dùng được; hãy nạp DEM hoặc nhập --takeoff"


class TelemetryGap(FrameRejected):
    """The track has no sample close enough to the frame's time; flycam never extrapolates."""

    reason = "telemetry_gap"
    reason_vi = "nhật ký bay không có số liệu quanh giờ chụp"


class PoseRejected(FrameRejected):
    """The pose contradicts the terrain or the rest of the flight."""

    reason = "pose_rejected"
    reason_vi = "vị trí hoặc hướng trái với địa hình hay với phần còn lại của chuyến bay"


class HorizonInView(FrameRejected):
    """Too much of the frame looks at or above the horizon."""

    reason = "horizon_in_view"
    reason_vi = "nhìn vào chân trời hoặc bầu trời quá nhiều; hãy hạ gimbal xuống"


class OutsideTerrain(FrameRejected):
    """The frame's footprint misses the terrain that is known."""

    reason = "outside_terrain"
    reason_vi = "vùng chụp nằm ngoài địa hình đã biết; hãy nạp DEM của nơi đó"


class TooBlurred(FrameRejected):
    """Sharpness is far below the rest of the flight."""

    reason = "too_blurred"
    reason_vi = "quá mờ so với các ảnh khác; hãy bay chậm lại ở đoạn đó"


class LensCovered(FrameRejected):
    """The picture holds no image: lens cap, or black."""

    reason = "lens_covered"
    reason_vi = "ảnh đen hoặc ống kính bị che"


class DuplicateFrame(FrameRejected):
    """The same bytes, or the same exposure, came twice."""

    reason = "duplicate"
    reason_vi = "trùng với một ảnh khác; mỗi ảnh chỉ dùng một lần"


# -- store, catalogue, disk -------------------------------------------------------------------


class StorageFailed(FlycamError):
    """Disk, object store or database did not do what was asked; running again is safe."""


class StoreUnavailable(StorageFailed):
    """The object store cannot be reached or does not answer in time."""


class PeerUnavailable(StoreUnavailable):
    """Another server does not answer over a line, or gets no further: that is no trouble of this house's."""


class StoreDenied(StorageFailed):
    """The object store answers, but refuses access with these credentials."""


class BucketMissing(StorageFailed):
    """The bucket named in FLYCAM_STORE does not exist."""


class StoreConflict(StorageFailed):
    """A conditional write lost, or tiles of different epoch or base zoom were to be merged."""


class DiskFull(StorageFailed):
    """No space left for the write; nothing half-written stays visible."""


class ObjectMissing(StorageFailed):
    """A key that the catalogue names is not in the store."""


class RecordsMissing(ObjectMissing):
    """A step counts on what its box said of a flight before, which is not here any more: it has to ask
    anew."""


class TileCorrupt(StorageFailed):
    """A tile's bytes do not decode or do not match their content hash."""


class DataDamaged(StorageFailed):
    """Of what is kept something is lost or damaged, and nothing here can make it again."""


class CatalogUnavailable(StorageFailed):
    """The catalogue database cannot be opened, is locked too long, or has another schema."""


class FlightBusy(StorageFailed):
    """Another process is writing this flight at this moment."""


class ClusterUnavailable(StorageFailed):
    """The cluster named in FLYCAM_CLUSTER does not answer, or has no worker that goes on."""


class WorkerIncompatible(StorageFailed):
    """A worker of the cluster runs other software, or sees another store or catalogue."""


# -- people -----------------------------------------------------------------------------------


class AccessDenied(FlycamError):
    """The account is missing, or its role does not allow this."""


class ServerUntrusted(InputUnusable):
    """A server is not surely the one that is meant: its certificate is not believed. Nothing was sent."""


class UploadIncomplete(FlycamError):
    """A card was sent, but for some of its files: those are on the card alone."""


class FeatureDisabled(FlycamError):
    """This server was started without what was asked of it; asking again is no use."""


class SignInUnavailable(FlycamError):
    """The province's own sign-in service does not answer, or says what cannot be used."""


class Cancelled(FlycamError):
    """Somebody asked to stop. What was done is kept, and the same command goes on from there."""


class EvidenceInsufficient(FlycamError):
    """The answer would not be supported by the evidence, so none is given."""


class CoregistrationFailed(EvidenceInsufficient):
    """Two pictures do not surely lie on each other, so nothing is said of what changed between them."""


class ComparisonUnsuitable(EvidenceInsufficient):
    """Two pictures by which no change can be told: that none is found does not mean that there is none."""


class DraftOutdated(EvidenceInsufficient):
    """A pack would say other things than the draft that was approved."""


class FlightLogMismatch(EvidenceInsufficient):
    """A film turns otherwise than its log says: they are of two flights."""
