"""A line for people that holds what opens a door: it is shown once."""

from __future__ import annotations


class SecretText(str):
    """Said to a person; where the answer is printed as JSON, which has the secret too, it is not said."""

    __slots__ = ()
