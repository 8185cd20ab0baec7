"""Tiles from orthopatches: quality, merge, pyramid, the one writer; clip and export."""
