"""Tiles from orthopatches: quality, merge, pyramid, writer; clips and export."""
