"""The only table from an error to its exit code, HTTP status and the words that people read."""

from __future__ import annotations

from dataclasses import dataclass

from flycam import errors as e
from flycam.messages import Message, _, join, verbatim

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
    e.InputUnusable: Outcome(EXIT_INPUT, 422, _("The input cannot be used")),
    e.OptionUnusable: Outcome(EXIT_USAGE, 422, _("The command is not right")),
    e.SourceUnreadable: Outcome(EXIT_INPUT, 422, _("The file cannot be read")),
    e.StreamUnreadable: Outcome(EXIT_INPUT, 422, _("No video comes")),
    e.CalibrationMissing: Outcome(EXIT_INPUT, 422, _("The camera is not known")),
    e.PositionMissing: Outcome(EXIT_INPUT, 422, _("The photos have no position")),
    e.PhotosUnpositioned: Outcome(EXIT_INPUT, 422, _("No photo can be placed")),
    e.VideoUnpositioned: Outcome(EXIT_INPUT, 422, _("The film has no position")),
    e.TerrainMissing: Outcome(EXIT_INPUT, 422, _("No terrain here")),
    e.CrsMissing: Outcome(EXIT_INPUT, 422, _("No coordinate system")),
    e.DatumUnknown: Outcome(EXIT_INPUT, 422, _("Height datum not known")),
    e.BoundaryInvalid: Outcome(EXIT_INPUT, 422, _("No usable boundary")),
    e.LayerInvalid: Outcome(EXIT_INPUT, 422, _("No usable layer")),
    e.NotFound: Outcome(EXIT_INPUT, 404, _("Not found")),
    e.OriginalPurged: Outcome(EXIT_INPUT, 410, _("Let go under the retention term")),
    e.DueListChanged: Outcome(EXIT_INPUT, 409, _("The list has changed")),
    e.NameTaken: Outcome(EXIT_INPUT, 409, _("The name is taken")),
    e.FlightBoundToEvent: Outcome(EXIT_INPUT, 409, _("The flight stays in its event")),
    e.RealDataPresent: Outcome(EXIT_INPUT, 409, _("Something real is here")),
    e.FrameRejected: Outcome(EXIT_INPUT, 422, _("No frame can be used")),
    e.StorageFailed: Outcome(EXIT_STORAGE, 503, _("Storage trouble")),
    e.StoreUnavailable: Outcome(EXIT_STORAGE, 503, _("The store does not answer")),
    e.PeerUnavailable: Outcome(EXIT_STORAGE, 503, _("The server does not answer")),
    e.StoreDenied: Outcome(EXIT_STORAGE, 503, _("The store denies access")),
    e.BucketMissing: Outcome(EXIT_STORAGE, 503, _("The bucket does not exist")),
    e.StoreConflict: Outcome(EXIT_STORAGE, 409, _("Something else was written first")),
    e.DiskFull: Outcome(EXIT_STORAGE, 507, _("The disk is full")),
    e.ObjectMissing: Outcome(EXIT_STORAGE, 503, _("An object is missing")),
    e.RecordsMissing: Outcome(EXIT_STORAGE, 409, _("It has to be sent again")),
    e.TileCorrupt: Outcome(EXIT_STORAGE, 503, _("A tile is damaged")),
    e.DataDamaged: Outcome(EXIT_STORAGE, 503, _("Not all that is kept is whole")),
    e.CatalogUnavailable: Outcome(EXIT_STORAGE, 503, _("The catalogue does not open")),
    e.FlightBusy: Outcome(EXIT_STORAGE, 409, _("The flight is busy")),
    e.ClusterUnavailable: Outcome(EXIT_STORAGE, 503, _("The cluster does not answer")),
    e.WorkerIncompatible: Outcome(EXIT_STORAGE, 503, _("A worker does not belong to this house")),
    e.AccessDenied: Outcome(EXIT_USAGE, 403, _("Not allowed")),
    e.UploadIncomplete: Outcome(EXIT_INCOMPLETE, 409, _("Keep the card")),
    e.FeatureDisabled: Outcome(EXIT_USAGE, 404, _("This server does not do that")),
    e.ServerUntrusted: Outcome(EXIT_INPUT, 422, _("The server is not believed")),
    e.SignInUnavailable: Outcome(EXIT_STORAGE, 503, _("The sign-in service cannot be used")),
    e.Cancelled: Outcome(EXIT_CANCELLED, 409, _("Stopped")),
    e.EvidenceInsufficient: Outcome(EXIT_REFUSED, 409, _("Refused by evidence")),
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
    if isinstance(error, e.FlycamError) and get_outcome(error) is not _INTERNAL:
        return error.message
    return verbatim(f"{type(error).__name__}: {error}")
