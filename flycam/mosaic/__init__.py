"""Frame to tiles: quality, merge, pyramid, the one writer; clip and export."""
