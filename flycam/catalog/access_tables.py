"""Tables of tokens and one-time codes. The rules of `tables` hold here too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Table, Text

from flycam.catalog.columns import make_key_column, metadata

tokens = Table(
    "tokens",
    metadata,
    make_key_column("token_id"),
    Column("account", Text, nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("secret_hash", Text, nullable=False, unique=True),
    Column("made_by", Text, nullable=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),
    Column("used_ns", BigInteger),
    Column("revoked_ns", BigInteger),
    Column("made_with", Text),
)

one_time_codes = Table(
    "one_time_codes",
    metadata,
    make_key_column("code_hash"),
    Column("account", Text, nullable=False, index=True),
    Column("token_id", Text, nullable=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("is_used", Boolean, nullable=False),
)
