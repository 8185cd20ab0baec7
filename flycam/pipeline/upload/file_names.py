"""Validation of file names in uploads: no client's text becomes a path unchecked."""

from __future__ import annotations

import unicodedata

from flycam.errors import InputUnusable
from flycam.frame.text_normalization import is_printable, to_visible
from flycam.ingest.photo.file_kinds import detect_file_kind
from flycam.messages import Message, _

MAX_NAME_BYTES = 200
MAX_DEPTH = 8
_MAX_PATH_BYTES = 800
_SHOWN_CHARS = 60


def validate_path(text: str) -> str:
    """Validate a file's path inside its upload.

    Returns it in NFC, parts joined by "/". Raises InputUnusable for anything that could mean a place outside
    the upload, a hidden file, or a name that a disk cannot hold. Names are rejected, not corrected: two
    corrected alike would become one file.
    """
    path = unicodedata.normalize("NFC", text)
    parts = path.split("/")
    if len(parts) > MAX_DEPTH or len(path.encode("utf-8", "replace")) > _MAX_PATH_BYTES:
        raise make_name_error(text, _("is too long or too deep"))
    for part in parts:
        if not part or part.startswith(".") or part != part.strip():
            raise make_name_error(text, _("holds an empty or hidden part"))
        if len(part.encode("utf-8", "replace")) > MAX_NAME_BYTES:
            raise make_name_error(text, _("is too long"))
        if any(_is_unsafe(letter) for letter in part):
            raise make_name_error(text, _("holds a sign no file name may hold"))
    return path


def validate_card_path(text: str) -> str:
    """Validate a path as `validate_path`, and its kind by name.

    Raises InputUnusable for a file that is neither photo, video nor flight log.
    """
    path = validate_path(text)
    if detect_file_kind(path) is None:
        raise make_name_error(
            text,
            _("is no photo (JPEG, PNG, TIFF), film (MP4, MOV) or flight log (archives are not unpacked)"),
        )
    return path


def format_label(text: str) -> str:
    """Make a folder name from the flight's or a folder's name; may be empty."""
    letters = (" " if _is_unsafe(c) or c == "/" else c for c in unicodedata.normalize("NFC", text))
    whole = " ".join("".join(letters).split()).strip(". ")
    return whole.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(". ")


def make_name_error(text: str, why: Message) -> InputUnusable:
    """Make the error for an invalid name, in printable form, with reason and cure."""
    shown = to_visible(text[:_SHOWN_CHARS])
    return InputUnusable(_("{shown}: this name {why}; rename the file or leave it out", shown=shown, why=why))


def _is_unsafe(letter: str) -> bool:
    """Return True for characters that are invisible, or that Windows forbids."""
    return letter in '\\:*?"<>|' or not is_printable(letter)
