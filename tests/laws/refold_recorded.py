"""Lay recorded frames again in a process of its own: STORE DATABASE FRAMES LAID WITHDRAWN (JSON)."""

from __future__ import annotations

import json
import sys

from flycam.storage.stores import open_store
from tests.laws.recorded import opened, refolded


def main(store_url: str, database: str, frames: str, laid: str, withdrawn: str) -> None:
    store, catalog = open_store(store_url), opened(database)
    versions = {int(number): version for number, version in json.loads(laid).items()}
    print("ready", flush=True)
    refolded(store, catalog.tiles, range(int(frames)), versions, json.loads(withdrawn))
    catalog.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
