"""Files of office programs (Office Open XML): their properties, and bytes that depend on contents alone."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

from flycam.geodata.kml import make_zip_member
from flycam.model.text import to_visible
from flycam.reports.briefing.document import PackDocument


def set_office_properties(properties: Any, document: PackDocument) -> None:
    """Set title, author and time of a file, which its template has of its own."""
    made = datetime.fromtimestamp(document.made_ns // 10**9, UTC).replace(tzinfo=None)
    properties.title = to_visible(f"{document.title} – {document.about}")[:255]
    properties.author, properties.last_modified_by = "flycam", "flycam"
    properties.comments = properties.keywords = properties.subject = properties.category = ""
    properties.language, properties.revision = document.language, 1
    properties.created = properties.modified = made


def drop_thumbnail(relations: Any) -> None:
    """Take the picture of the library's own template out of a package's relations."""
    for name in [name for name, one in relations.items() if one.reltype.endswith("/thumbnail")]:
        relations.pop(name)


def pack_office_file(data: bytes) -> bytes:
    """Return the archive with the same members, in order of their names, without the time of writing."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        # a reader looks for the content types first
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            is_picture = name.endswith((".jpg", ".jpeg", ".png"))
            kind = zipfile.ZIP_STORED if is_picture else zipfile.ZIP_DEFLATED
            target.writestr(make_zip_member(name, kind), source.read(name))
    return out.getvalue()
