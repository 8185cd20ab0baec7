"""Photos that go over a line in one round: whether the peer lacks them, asked some at a time when due.

A question about thousands is some megabytes: asked first, it held up all that goes before photos.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flycam.sync.steps import Giver, Lacking


class PhotosAsked:
    """What a peer said of photos in one round, which may take several questions about all else.

    lacking_bytes   of photos that it is known to have lacked and that were not sent by then
    unasked_bytes   of those that it was not asked about
    is_cut_short    there was no budget to ask about the rest
    """

    def __init__(self) -> None:
        self._lacking: dict[str, bool] = {}
        self.lacking_bytes = self.unasked_bytes = 0
        self.is_cut_short = False

    def begin(self, giver: Giver) -> None:
        """Go on with what there is to give now."""
        self.is_cut_short = False
        self.lacking_bytes = giver.photo_bytes(self._lacked())
        self.unasked_bytes = giver.photo_bytes(giver.photos - self._lacking.keys())

    def lacking(
        self,
        giver: Giver,
        question: Mapping[str, object],
        ask: Callable[[Mapping[str, object]], Lacking],
        is_spent: Callable[[int], bool],
    ) -> Iterator[str]:
        """SHA-256 of photos that the peer lacks; it is asked once about each.

        question  as it was asked about all else; is_spent: whether so many bytes are more than the budget has
        """
        yield from self._lacked()
        for page in giver.questions_of_photos(question, self._lacking):
            if is_spent(len(as_body(page))):
                self.is_cut_short = True
                return
            some = frozenset(ask(page).originals)
            self._lacking.update((str(one), one in some) for one in page["originals"])
            self.lacking_bytes += giver.photo_bytes(some)
            self.unasked_bytes -= giver.photo_bytes(page["originals"])
            yield from sorted(some)

    def note_sent(self, names: Iterable[str]) -> None:
        """The peer has them now."""
        self._lacking.update((name, False) for name in names)

    def _lacked(self) -> list[str]:
        return [name for name, is_lacking in self._lacking.items() if is_lacking]


def as_body(question: Mapping[str, Any]) -> bytes:
    """A question as it goes over the line."""
    return json.dumps(question, separators=(",", ":")).encode()
