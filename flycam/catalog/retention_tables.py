"""Tables of retention: terms, holds, purged originals, uploaded files, originals that were ever here.

The rules of `tables` hold here too.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from flycam.catalog.columns import make_key_column, metadata

retention_terms = Table(
    "retention_terms",
    metadata,
    make_key_column("subject"),
    make_key_column("kind"),
    Column("days", Integer),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

retention_holds = Table(
    "retention_holds",
    metadata,
    make_key_column("line_id"),
    make_key_column("subject"),
    Column("hold_id", Text, nullable=False, index=True),
    Column("step", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

purges = Table(
    "let_go",
    metadata,
    make_key_column("line_id"),
    make_key_column("flight_id"),
    Column("act_id", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("list_digest", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("box", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Index("let_go_of_flight", "flight_id"),
)

upload_files = Table(
    "upload_files",
    metadata,
    make_key_column("sha256"),
    Column("name", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("came_ns", BigInteger, nullable=False),
)


kept_originals = Table("kept_originals", metadata, make_key_column("sha256"))
