"""Text with a secret in it, which is shown once."""

from __future__ import annotations


class SecretText(str):
    """Text for a person; left out where the answer is printed as JSON.

    The JSON has the secret too.
    """

    __slots__ = ()
