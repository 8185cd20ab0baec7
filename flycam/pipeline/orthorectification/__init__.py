"""How frames come to lie on the map, and lie there again: what ingest, live, finish and sync share."""
