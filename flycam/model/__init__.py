"""Domain records shared by all packages.

They are frozen and keyword-only, with units in their names.
"""
