"""The catalogue: one database, with an attribute for each topic."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from flycam.catalog import snapshot
from flycam.catalog.accounts import Accounts
from flycam.catalog.audit import Audit
from flycam.catalog.audit_key import AuditKey
from flycam.catalog.boundaries import Boundaries
from flycam.catalog.briefings import Briefings
from flycam.catalog.changes import Changes
from flycam.catalog.comparisons import Comparisons
from flycam.catalog.database import Database
from flycam.catalog.flights import Flights
from flycam.catalog.frames import Frames
from flycam.catalog.guests import Guests
from flycam.catalog.identities import Identities
from flycam.catalog.live_flights import LiveFlightReports
from flycam.catalog.marks import Marks
from flycam.catalog.one_time_codes import OneTimeCodes
from flycam.catalog.packs import Packs
from flycam.catalog.placements import Placements
from flycam.catalog.redactions import Redactions
from flycam.catalog.restrictions import Restrictions
from flycam.catalog.retention import Retention
from flycam.catalog.revisions import Revisions
from flycam.catalog.settlements import Settlements
from flycam.catalog.specialist_layers import SpecialistLayers
from flycam.catalog.stored_originals import StoredOriginals
from flycam.catalog.terrain import Terrain
from flycam.catalog.tiles import Tiles
from flycam.catalog.tokens import Tokens
from flycam.catalog.video_segments import VideoSegments


class Catalog:
    """The catalogue. Thread-safe; each process opens its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.flights = Flights(database)
        self.frames = Frames(database)
        self.placements = Placements(database)
        self.tiles = Tiles(database)
        self.airborne = LiveFlightReports(database)
        self.recordings = VideoSegments(database)
        self.revisions = Revisions(database)
        self.terrain = Terrain(database)
        self.boundaries = Boundaries(database)
        self.layers = SpecialistLayers(database)
        self.marks = Marks(database)
        self.changes = Changes(database)
        self.comparisons = Comparisons(database)
        self.briefings = Briefings(database)
        self.packs = Packs(database)
        self.settlements = Settlements(database)
        self.accounts = Accounts(database)
        self.tokens = Tokens(database)
        self.codes = OneTimeCodes(database)
        self.restrictions = Restrictions(database)
        self.redactions = Redactions(database)
        self.retention = Retention(database)
        self.kept_originals = StoredOriginals(database)
        self.guests = Guests(database)
        self.identities = Identities(database)
        self.audit = Audit(database)

    @property
    def place(self) -> str:
        """Location of the catalogue, without its password."""
        return self._database.place

    @property
    def folder(self) -> Path | None:
        """Folder of the catalogue's file; None if a server keeps it."""
        return Path(self._database.place).parent if self._database.is_sqlite else None

    def save(self, path: Path) -> None:
        """Write everything at this moment into one new file (`flycam.catalog.snapshot`)."""
        snapshot.save_snapshot(self._database, path)

    def fill(self, path: Path) -> None:
        """Load such a file into this catalogue, which is empty: all or nothing."""
        snapshot.restore_snapshot(self._database, path)

    def is_empty(self) -> bool:
        """Check whether nothing was ever entered."""
        return snapshot.is_database_empty(self._database)

    def check(self) -> list[str]:
        """Return what the database finds wrong with its own file."""
        return snapshot.check_integrity(self._database)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_catalog(url: str, audit_key: Path | None = None, known_keys: Collection[str] = ()) -> Catalog:
    """Open the catalogue at a database address; make missing tables.

    `sqlite:///FILE` or `postgresql+psycopg://user:password@host/name`. audit_key: the file of the key that
    signs the audit log, made when it is needed; None: nothing is signed. known_keys: public keys of other
    nodes that write into it. Raises CatalogUnavailable.
    """
    return Catalog(Database(url, None if audit_key is None else AuditKey(audit_key, known_keys)))
