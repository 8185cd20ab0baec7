"""The nouns that travel between the rooms: frozen, keyword-only, with units in their names."""
