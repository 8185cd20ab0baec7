"""Report as PDF pages, A4: `report.typ` styles the blocks, Typst sets them.

Only Typst's own fonts are used and the only time in the file is the revision's, so the same report has the
same bytes on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typst

from flycam.report.blocks import Block, Document, Facts, FigureRow, Heading, Paragraph, Table

_TEMPLATE = Path(__file__).with_name("report.typ")


def to_pdf(document: Document) -> bytes:
    """Return the report as a PDF."""
    # sources by name, which its type hints do not know
    files: Any = build_report_sources(document)
    made_s = document.made_ns // 10**9
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=True, timestamp=made_s))


def build_report_sources(document: Document) -> dict[str, bytes]:
    """Return Typst's sources by file name: template, content and images."""
    content = {
        "language": document.language,
        "title": document.title,
        "subtitle": document.subtitle,
        "mark": document.mark,
        "footer": document.footer,
        "page_word": document.page_word,
        "blocks": [to_typst_block(block) for block in document.blocks],
    }
    return {
        "main.typ": _TEMPLATE.read_bytes(),
        "report.json": json.dumps(content, ensure_ascii=False).encode(),
        **{f"{name}.svg": picture for name, picture in document.pictures.items()},
    }


def to_typst_block(block: Block) -> Mapping[str, Any]:
    """Return a block as the template reads it."""
    match block:
        case Heading():
            return {"kind": "heading", "text": block.text}
        case Paragraph():
            return {"kind": "paragraph", "text": block.text, "look": block.kind}
        case Facts():
            return {"kind": "facts", "rows": block.rows}
        case Table():
            return {
                "kind": "table",
                "head": block.head,
                "rows": block.rows,
                "numeric": block.numeric,
                "wide": 2,
            }
        case FigureRow():
            figures = [
                {"picture": figure.picture, "caption": figure.caption, "legend": figure.legend}
                for figure in block.figures
            ]
            return {"kind": "plate", "columns": block.columns, "figures": figures}
