"""Last annex of a briefing pack: photos by hash, and the state of the audit log."""

from __future__ import annotations

from collections.abc import Iterator

from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.pack_figures import PackFigures
from flycam.report.pack_texts import format_pack_text, format_table_head

_MAX_SOURCES = 300


def build_source_blocks(figures: PackFigures, language: str) -> Iterator[Block]:
    """Yield photos with their hashes, and the audit log's last line."""
    number = str(len(figures.communes) + 1)
    yield Heading(
        text=format_pack_text("annex", language, number=number, name=format_pack_text("sources", language))
    )
    yield Paragraph(text=format_pack_text("sources_said", language))
    yield from _audit(figures, language)
    rows = [
        (str(one.number), source.name, source.sha256) for one in figures.flights for source in one.sources
    ]
    beside = [
        (one.name, source.name, source.sha256) for one in figures.further_flights for source in one.sources
    ]
    count = len(rows) + len(beside)
    if count > _MAX_SOURCES:
        yield Paragraph(text=format_pack_text("sources_many", language, count=count), kind="small")
        return
    columns = format_table_head(language, "flight", "photo", "sha256")
    yield Table(head=columns, rows=tuple(rows), numeric=(0,))
    if beside:
        yield Paragraph(text=format_pack_text("sources_beside", language), kind="small")
        yield Table(head=columns, rows=tuple(beside))


def _audit(figures: PackFigures, language: str) -> Iterator[Block]:
    """Yield what later proves that the log still holds these lines."""
    if not figures.audit_head:
        yield Paragraph(text=format_pack_text("no_audit", language), kind="small")
        return
    number, _, digest = figures.audit_head.partition(":")
    rows = [("audit_number", number), ("audit_digest", digest)]
    if figures.audit_key:
        # half a signature fits on one line
        half = len(figures.audit_signature) // 2
        rows += [
            ("audit_key", figures.audit_key),
            ("audit_signature", figures.audit_signature[:half]),
            ("audit_signature_rest", figures.audit_signature[half:]),
        ]
    yield Paragraph(text=format_pack_text("audit_said", language), kind="small")
    yield Table(
        head=format_table_head(language, "audit", "audit_value"),
        rows=tuple((format_pack_text(f"term_{term}", language), value) for term, value in rows),
    )
