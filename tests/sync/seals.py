"""Bundles signed without a box."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flycam.sync.node_keys import BundleSeal


def sealed(head: bytes, seed: bytes = bytes(32)) -> BundleSeal:
    """The seal of a bundle that begins with these bytes, by the key of this seed."""
    bundle_id = hashlib.sha256(head).hexdigest()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return BundleSeal(
        bundle_id=bundle_id,
        key=key.public_key().public_bytes_raw().hex(),
        signature=key.sign(f"flycam bundle\n{bundle_id}\n".encode()).hex(),
    )
