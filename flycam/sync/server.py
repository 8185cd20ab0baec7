"""The receiving end of a connection: answers to queries, import of whole steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flycam.catalog.retention_records import select_active_purges
from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.mosaic.peer_tiles import read_peer_cursors
from flycam.mosaic.previews import list_previewed_tiles
from flycam.store import keys
from flycam.sync.capabilities import CAPABILITIES
from flycam.sync.deduplication import HEAD_DIGITS, find_missing_heads
from flycam.sync.delta_expansion import expand_deltas
from flycam.sync.exchange_import import import_exchange
from flycam.sync.exchange_merge import ApplyHooks, ApplyReport
from flycam.sync.log_digest import DIGEST_PREFIX_DIGITS
from flycam.sync.manifest import ObjectKind
from flycam.sync.name_checks import require_hex_digits, require_key_segment, require_text
from flycam.sync.node import Node
from flycam.sync.source import iterate_objects
from flycam.sync.step import read_step_manifest
from flycam.sync.step_planner import STEP_FORMAT
from flycam.sync.unreadable_records import UnreadableFlight

NodeNameCheck = Callable[[str], None]
"""Raises AccessDenied if the account does not act for the node of this name."""

_BLOCK = 1 << 20
_MAX_QUERY_NAMES = 1 << 16
_MAX_HEAD_MOSAICS = 16
"""In one query: nodes ask about one, and each is a read of all its tiles."""
_SHA256_DIGITS = 64


def answer_inventory_query(
    node: Node, question: Mapping[str, Any], version: str, check_node_name: NodeNameCheck = lambda _box: None
) -> dict[str, Any]:
    """Return the queried objects missing here, and the cursors in the node's logs.

    version  of flycam here

    Raises SourceUnreadable for a node of another version, or with this one's name, and what
    `check_node_name` raises.
    """
    if question.get("format") != STEP_FORMAT:
        raise SourceUnreadable(
            _(
                "{box}: speaks another language over the line ({step_format}, flycam "
                "{version}) than this box ({value!r:.20}); bring both to the same version",
                box=node.box,
                step_format=STEP_FORMAT,
                version=version,
                value=question.get("format"),
            )
        )
    try:
        box = require_text(question["box"])
        # a query about heads names no records: none that are stored here are deleted by it
        records = (
            None
            if "heads" in question
            else [require_hex_digits(one) for one in _require_bounded_list(question["records"])]
        )
        originals = [require_hex_digits(one) for one in _require_bounded_list(question["originals"])]
        terrain, mosaics = (
            [require_key_segment(one) for one in _require_bounded_list(question[name])]
            for name in ("terrain", "mosaics")
        )
        heads = {
            require_key_segment(one): [
                require_hex_digits(each, HEAD_DIGITS) for each in _require_bounded_list(some)
            ]
            for one, some in _require_bounded_list(
                list(dict(question.get("heads", {})).items()), _MAX_HEAD_MOSAICS
            )
        }
    except (KeyError, TypeError, ValueError) as error:
        raise SourceUnreadable(
            _("what the box asks does not read ({error}); bring both boxes to the same version", error=error)
        ) from error
    if box == node.box:
        raise SourceUnreadable(
            _("{box}: both boxes carry this name; give one a name of its own with FLYCAM_BOX", box=box)
        )
    check_node_name(box)
    taken, logs = read_peer_cursors(node.store, box), {keys.derive_log_id(box, one) for one in mosaics}
    return {
        "box": node.box,
        "format": STEP_FORMAT,
        "taken": {one: [taken[one].seq, taken[one].digest] for one in mosaics if one in taken},
        "records": [] if records is None else _list_missing_records(node, box, records),
        "terrain": [one for one in terrain if not node.store.exists(keys.format_terrain_key(one))],
        "originals": _list_missing_originals(node, originals),
        "heads": {one: find_missing_heads(node, one, some) for one, some in heads.items()},
        "views": [digest[:DIGEST_PREFIX_DIGITS] for digest in list_previewed_tiles(node.store, logs)],
        "knows": list(CAPABILITIES),
    }


def import_step(
    node: Node,
    path: Path,
    hooks: ApplyHooks,
    account: str = "",
    check_node_name: NodeNameCheck = lambda _box: None,
) -> ApplyReport:
    """Import a complete step from a file; importing it again changes nothing.

    account  that sent it, for the audit log

    Raises SourceUnreadable, RecordsMissing, StoreConflict (nodes of one name), FlightBusy, StorageFailed,
    and what `check_node_name` raises.
    """
    manifest, start = read_step_manifest(path, "line")
    check_node_name(manifest.box)
    source, manifest = expand_deltas(node, _StepFile(path, manifest.box), manifest, start)
    taken = import_exchange(
        node, source, manifest, start, hooks, lambda _stage, _done, _total: None, account=account
    )
    unread = {one.sha256 for one in taken.conflicts if isinstance(one, UnreadableFlight)}
    for item, at in iterate_objects(manifest, start):
        if item.kind is ObjectKind.RECORDS and item.sha256 not in unread:
            node.store.put(
                keys.format_peer_records_key(manifest.box, item.sha256), source.read(at, item.size_bytes)
            )
    return taken


def _require_bounded_list(names: list[Any], max_count: int = _MAX_QUERY_NAMES) -> list[Any]:
    """Return the queried names; ValueError if too many, for no answer is partial."""
    if len(names) > max_count:
        raise ValueError(f"{len(names)} at once")
    return names


def _list_missing_records(node: Node, box: str, names: list[str]) -> list[str]:
    """Return the records missing here; delete those that are no longer named."""
    prefix = keys.format_peer_records_prefix(box)
    here = {key.removeprefix(prefix): key for key in node.store.list(prefix)}
    for sha256 in here.keys() - set(names):
        node.store.delete(here[sha256])
    return [one for one in names if one not in here and len(one) == _SHA256_DIGITS]


def _list_missing_originals(node: Node, names: list[str]) -> list[str]:
    """Return the originals that are missing here and were not purged."""
    gone = select_active_purges(node.catalog.retention.list_for_originals(names))
    return [one for one in names if one not in gone and not node.store.exists(keys.format_original_key(one))]


class _StepFile:
    """Bytes of a step; path: the node they are from, which errors name."""

    def __init__(self, file: Path, box: str) -> None:
        self._file = file
        self._size = file.stat().st_size
        self.path = Path(box)

    def read(self, start: int, length: int) -> bytes:
        return b"".join(self.blocks(start, length))

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        if start + length > self._size:
            raise self._build_truncated_error()
        with self._file.open("rb") as file:
            file.seek(start)
            while length:
                data = file.read(min(length, _BLOCK))
                if not data:  # cut short while it is read
                    raise self._build_truncated_error()
                yield data
                length -= len(data)

    def _build_truncated_error(self) -> SourceUnreadable:
        return SourceUnreadable(
            _("{path}: what came over the line ends early; it is sent again", path=self.path)
        )
