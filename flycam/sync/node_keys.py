"""Keys of nodes: which key signs bundles here, and which key a node's name belongs to.

A node signs with the key of its audit log (`AuditKey`). Its name belongs to the first key that came with it,
on a stick or over a line; over a line its account, which is the stronger proof, may bring another. Formats:
docs/formats/bundle.md, docs/formats/sync.md.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flycam.access.audit import record_audit_entry
from flycam.catalog.audit_key import Signer, is_message_signed
from flycam.errors import DataDamaged, NotFound, ObjectMissing, StoreConflict
from flycam.messages import _
from flycam.mosaic.tiles.peers import verify_peer_object
from flycam.storage import keys
from flycam.storage.keys import ObjectStore
from flycam.workspace import Workspace

_FORGOTTEN = ""
"""In place of a key that somebody here forgot: the next one is believed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleSeal:
    """Name of a bundle, and proof that the holder of a key wrote it; all in hex.

    bundle_id  SHA-256 of its manifest, which names all its objects
    key        public key, Ed25519 (RFC 8032)
    """

    bundle_id: str
    key: str
    signature: str

    @property
    def is_valid(self) -> bool:
        """True if the key's holder signed this very bundle."""
        return is_message_signed(self.key, encode_signed_bundle(self.bundle_id), self.signature)


def encode_signed_bundle(bundle_id: str) -> bytes:
    """Return the bytes that are signed for a bundle.

    They begin with words that no other signed data begin with.
    """
    return f"flycam bundle\n{bundle_id}\n".encode()


def seal_bundle(node: Workspace, bundle_id: str) -> BundleSeal:
    """Sign a bundle with this node's key.

    Raises DiskFull, StorageFailed; ValueError if the catalogue was opened without a key.
    """
    signer = _get_or_create_signer(node)
    if signer is None:
        raise ValueError("a catalogue without a key signs no bundle")
    signature = signer.sign_message(encode_signed_bundle(bundle_id))
    return BundleSeal(bundle_id=bundle_id, key=signer.public, signature=signature)


def get_own_key(node: Workspace) -> str:
    """Return this node's public key; "" if the catalogue was opened without one.

    Raises DiskFull, StorageFailed.
    """
    signer = _get_or_create_signer(node)
    return "" if signer is None else signer.public


def _get_or_create_signer(node: Workspace) -> Signer | None:
    """Return the key, made now if nothing was signed here yet; None if the catalogue has none."""
    audit = node.catalog.audit
    if audit.has_key and audit.signer() is None:
        # a key is made with the line that it signs first: it pins the log that it finds
        record_audit_entry(node, "key", node.box)
    return audit.signer()


def require_node_key(node: Workspace, box: str, key: str, place: Path) -> bool:
    """Require that a node's name belongs to this key; a new name, or a forgotten one, does from now on.

    A name that is known by its account alone is not new: what a stick says proves nothing of it.

    place  what came in that name, for the error

    Returns True for a new name. Raises StoreConflict for a name that belongs to another key, DataDamaged.
    """
    name = keys.format_node_key(box)
    known = _read_node_key(node.store, box) if node.store.exists(name) else None
    is_known_by_account = node.store.exists(keys.format_node_account_key(box))
    is_new = known == _FORGOTTEN or (known is None and not is_known_by_account)
    if is_new:
        # the line first: no key is believed without one
        record_audit_entry(node, "box key", box, f"{key}, by its first bundle")
        node.store.put(name, _encode_node_key(box, key), durable=True)
    elif known != key:
        raise StoreConflict(
            _(
                "{place}: is signed by another key than the one known of {box}: another machine has this "
                "name, or {box} was restored or installed anew; give the other machine a name of its own "
                "with FLYCAM_BOX, or let {box} sync once over a line with its account, or run 'flycam box "
                "forget NAME' here, and read again",
                place=place,
                box=box,
            )
        )
    return is_new


def bind_node_key(node: Workspace, box: str, key: str, account: str, *, replaces: bool) -> None:
    """Note the key that a node states over a line.

    account   that sent it, for the audit log
    replaces  whether this counts for more than a key known before
    """
    known = _FORGOTTEN
    try:
        known = _read_node_key(node.store, box)
    except DataDamaged:
        # no reason to believe another, but by the account
        if not replaces:
            return
    except ObjectMissing:
        pass
    if known == key or (known and not replaces):
        return
    node.catalog.audit.append(account, "box key", box, f"{key}, over a line", at_ns=node.clock_ns())
    node.store.put(keys.format_node_key(box), _encode_node_key(box, key), durable=True)


def find_node_key(node: Workspace, box: str) -> str:
    """Return the key that a name belongs to; "" if none is known, or it was forgotten. Raises DataDamaged."""
    with suppress(ObjectMissing):
        return _read_node_key(node.store, box)
    return ""


def is_known_node(node: Workspace, box: str) -> bool:
    """Return True if a name belongs to a key or an account: nobody else speaks in it."""
    return any(map(node.store.exists, (keys.format_node_key(box), keys.format_node_account_key(box))))


def forget_node_key(node: Workspace, box: str) -> str:
    """Forget the key of a node; its next one is believed. Return it, "" if damaged.

    Raises NotFound.
    """
    try:
        key = _read_node_key(node.store, box)
        if key == _FORGOTTEN:
            raise ObjectMissing(keys.format_node_key(box))
    except DataDamaged:
        key = ""
    except ObjectMissing as error:
        raise NotFound(
            _(
                "{box}: no key of a node of this name is known here; write the name as its bundles show it",
                box=box,
            )
        ) from error
    record_audit_entry(node, "box forget", box, key)
    node.store.put(keys.format_node_key(box), _encode_node_key(box, _FORGOTTEN), durable=True)
    return key


def _encode_node_key(box: str, key: str) -> bytes:
    return f"{key} {box}".encode()


def _read_node_key(store: ObjectStore, box: str) -> str:
    """Return the key that a node's name belongs to. Raises ObjectMissing, DataDamaged."""
    name = keys.format_node_key(box)
    data = store.get(name)
    if not verify_peer_object(name, data):
        raise DataDamaged(
            _(
                "{name}: the key known of {box} is damaged; put it back from a backup (flycam verify --from "
                "BACKUP), or run 'flycam box forget NAME' and believe its next bundle",
                name=name,
                box=box,
            )
        )
    return data.decode().partition(" ")[0]
