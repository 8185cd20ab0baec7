"""Merge recorded patches in a process of its own: STORE DATABASE FLUSH_EVERY NUMBER…"""

from __future__ import annotations

import sys
import time

from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.stores import open_store
from tests.laws.recorded import MOSAIC, opened, patch


def main(store_url: str, database: str, flush_every: int, numbers: list[int]) -> None:
    store, catalog = open_store(store_url), opened(database)
    writer = MosaicWriter(
        store, catalog.tiles, MOSAIC, origin="box", clock_ns=time.time_ns, cache_tiles=4, workers=2
    )
    print("ready", flush=True)
    with writer:
        for count, number in enumerate(numbers, start=1):
            writer.add(patch(number))
            if count % flush_every == 0:
                writer.flush()
    catalog.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(n) for n in sys.argv[4:]])
