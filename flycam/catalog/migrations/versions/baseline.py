"""The schema of flycam 0.1.0, which new catalogues are made with."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing: catalogues begin here."""
