"""Catalogue: flights, frames, tile heads and the tile log, boundaries, withdrawals, accounts."""
