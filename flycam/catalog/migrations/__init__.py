"""Migrations of the catalogue's schema, by Alembic, from one baseline.

A new catalogue is made from the tables as they are (`flycam.catalog.tables.metadata`) and stamped with
`HEAD`; one that an older flycam made runs the revisions in `versions/` in order. A change of a table is one
more file there, beside the change of the table itself.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, String, Table, insert, select

from flycam.catalog.tables import metadata

HEAD = "0002"
"""The newest revision in `versions/`."""

VERSIONS = Path(__file__).parent / "versions"

# Alembic's own table, here so that opening a catalogue of this version need not load Alembic
alembic_version = Table("alembic_version", metadata, Column("version_num", String(32), primary_key=True))


def stamp_head(connection: Connection) -> None:
    """Record that a catalogue just made has the newest schema."""
    connection.execute(insert(alembic_version).values(version_num=HEAD))


def read_revision(connection: Connection) -> str | None:
    """Return the schema revision of a catalogue; None if none is recorded."""
    return connection.execute(select(alembic_version.c.version_num)).scalar()


def upgrade_schema(connection: Connection, versions: Path = VERSIONS) -> None:
    """Run the revisions that a catalogue lacks, in the transaction of `connection`.

    Raises alembic.util.CommandError for a revision that is not in `versions`, as a newer flycam's.
    """
    from alembic.config import Config  # noqa: PLC0415  100 ms that only an older catalogue has to pay
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415  as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415  as above

    script = ScriptDirectory(str(versions.parent), version_locations=[str(versions)])
    context = EnvironmentContext(
        Config(),
        script,
        fn=lambda revision, _: script._upgrade_revs("head", revision),
    )
    with context:
        context.configure(connection=connection, target_metadata=metadata)
        context.run_migrations()
