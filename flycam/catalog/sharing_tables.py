"""Tables of access rules: restricted areas, classifications, guest links, identities, redactions.

The rules of `tables` hold here too.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from flycam.catalog.columns import make_box_columns, make_key_column, metadata

restricted_areas = Table(
    "restricted_areas",
    metadata,
    make_key_column("area_id"),
    Column("name", Text, nullable=False, unique=True),
    Column("roles", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("added_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    *make_box_columns(),
)

classifications = Table(
    "classifications",
    metadata,
    make_key_column("subject"),
    Column("level", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

guests = Table(
    "guests",
    metadata,
    make_key_column("guest_id"),
    Column("secret_hash", Text, nullable=False, unique=True),
    Column("event_id", Text, nullable=False),
    Column("communes", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("revoked_ns", BigInteger),
    Column("made_with", Text),
)


identities = Table(
    "identities",
    metadata,
    make_key_column("issuer"),
    make_key_column("subject"),
    Column("name", Text, nullable=False, unique=True),
    Column("first_ns", BigInteger, nullable=False),
    Column("barred_ns", BigInteger),
)


redactions = Table(
    "redactions",
    metadata,
    make_key_column("line_id"),
    Column("mask_id", Text, nullable=False, index=True),
    Column("step", Text, nullable=False),
    Column("frame_id", Text, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
)

redaction_grounds = Table(
    "redaction_grounds",
    metadata,
    make_key_column("line_id"),
    make_key_column("lay"),
    Column("wkb", LargeBinary, nullable=False),
)
