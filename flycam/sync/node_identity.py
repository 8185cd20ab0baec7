"""Binding of accounts to node names, in the store, both ways, at first contact.

A node names itself in its messages, and only its token identifies it: without this, a stolen token could
act in the name of every node.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from flycam.catalog.records import Role
from flycam.errors import AccessDenied, ObjectMissing
from flycam.messages import _
from flycam.store import keys
from flycam.sync.node import Node


class NodeIdentities:
    """Bindings of node names to accounts.

    A name belongs to the account that used it first, and an account acts for one node, for as long as its
    role is that of a node. Thread-safe.
    """

    def __init__(self, house: Node) -> None:
        self._node = house
        self._lock = threading.Lock()

    def require(self, account: str, box: str) -> None:
        """Bind an account to a node's name if neither is bound.

        Raises AccessDenied where either is bound to another.
        """
        with self._lock:
            self._release_former(box)
            bound = self._read(keys.format_account_node_key(account)) or box
            if bound != box:
                raise AccessDenied(
                    _(
                        "{account}: this token belongs to the box {bound}, and not to {box}; "
                        "make an account for {box} on the server: flycam user add NAME "
                        "--role box",
                        account=account,
                        bound=bound,
                        box=box,
                    )
                )
            if self._read_or_bind(keys.format_node_account_key(box), account) != account:
                raise AccessDenied(
                    _(
                        "{box}: this name belongs to a box that comes with another account "
                        "than {account}; give this machine a name of its own with "
                        "FLYCAM_BOX, or that account's token (on the server: flycam user add "
                        "ACCOUNT --role box)",
                        box=box,
                        account=account,
                    )
                )
            self._read_or_bind(keys.format_account_node_key(account), box)

    def _read_or_bind(self, key: str, name: str) -> str:
        """Return the name under a key, set to `name` if there was none."""
        store = self._node.store
        if store.put_if_absent(key, name.encode()):
            store.flush()
        return self._read(key)

    def _read(self, key: str) -> str:
        """Return the name under a key, "" if there is none."""
        with suppress(ObjectMissing):
            return self._node.store.get(key).decode()
        return ""

    def _release_former(self, box: str) -> None:
        """Free a name whose account has another role now, or was removed."""
        account, known = self._read(keys.format_node_account_key(box)), self._node.catalog.accounts.all()
        if account and not any(one.name == account and one.role is Role.BOX for one in known):
            self._node.store.delete(keys.format_account_node_key(account))
            self._node.store.delete(keys.format_node_account_key(box))
