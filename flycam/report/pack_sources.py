"""Last annex of a briefing pack: photos by hash, and the state of the audit log."""

from __future__ import annotations

from collections.abc import Iterator

from flycam.messages import _, pgettext
from flycam.report.blocks import BlockOf, Heading, Paragraph, Table, Text
from flycam.report.pack_figures import PackFigures

_MAX_SOURCES = 300


def build_source_blocks(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield photos with their hashes, and the audit log's last line."""
    yield Heading(text=_("Annex {number}. Sources and hashes", number=len(figures.communes) + 1))
    yield Paragraph(
        text=_(
            "Each photo is named by the SHA-256 of its original, kept as it is while its term lasts."
            " The whole list: photo-sources.csv; hashes of every file of the pack:"
            " manifest.sha256 (sha256sum -c manifest.sha256 checks them)."
        )
    )
    yield from _audit(figures)
    rows = [
        (str(one.number), source.name, source.sha256) for one in figures.flights for source in one.sources
    ]
    beside = [
        (one.name, source.name, source.sha256) for one in figures.further_flights for source in one.sources
    ]
    count = len(rows) + len(beside)
    if count > _MAX_SOURCES:
        yield Paragraph(
            text=_("Photos: {count}, listed in photo-sources.csv only.", count=count), kind="small"
        )
        return
    columns = (_("Flight"), pgettext("original", "Photo"), "SHA-256")
    yield Table(head=columns, rows=tuple(rows), numeric=(0,))
    if beside:
        said = _("Photos of other flights, on which the ground before or after a change is shown:")
        yield Paragraph(text=said, kind="small")
        yield Table(head=columns, rows=tuple(beside))


def _audit(figures: PackFigures) -> Iterator[BlockOf[Text]]:
    """Yield what later proves that the log still holds these lines."""
    if not figures.audit_head:
        yield Paragraph(text=_("The audit log has no line yet."), kind="small")
        return
    number, __, digest = figures.audit_head.partition(":")
    rows = [(_("Last line, number"), number), (_("Digest of that line"), digest)]
    if figures.audit_key:
        # half a signature fits on one line
        half = len(figures.audit_signature) // 2
        rows += [
            (_("The box's key (Ed25519)"), figures.audit_key),
            (_("Signature, first half"), figures.audit_signature[:half]),
            (_("Signature, second half"), figures.audit_signature[half:]),
        ]
    yield Paragraph(
        text=_(
            "The audit log as it was then; flycam audit verify --head NUMBER:DIGEST tells if it still stands."
        ),
        kind="small",
    )
    yield Table(head=(_("Audit log"), _("Value")), rows=tuple(rows))
