"""What peers say becomes claims with a maker; one original may be named by several frames."""

from __future__ import annotations

from alembic import op

from flycam.catalog.tables import peer_claims, peer_grants, peer_requests, unverified_footprints

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables of claims, and widen the key of `film_pictures`."""
    connection = op.get_bind()
    for table in (peer_grants, peer_claims, peer_requests, unverified_footprints):
        table.create(connection)
    for statement in (
        "ALTER TABLE film_pictures RENAME TO film_pictures_before",
        "CREATE TABLE film_pictures (source_sha256 TEXT NOT NULL, frame_id TEXT NOT NULL, "
        "PRIMARY KEY (source_sha256, frame_id))",
        "INSERT INTO film_pictures SELECT source_sha256, frame_id FROM film_pictures_before",
        "DROP TABLE film_pictures_before",
    ):
        op.execute(statement)
