"""Domain records shared by all packages: frozen, keyword-only, with units in their names."""
