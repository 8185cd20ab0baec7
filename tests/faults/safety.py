"""What must be so of a house whose program died at some moment, however it died."""

from __future__ import annotations

from pathlib import Path

from tests.faults.works import Held, Work, house_in


def require_whole(work: Work, root: Path, held: Held, *, acknowledged: bool, answers: int) -> None:
    """flycam finds its house whole, and what was acknowledged is there.

    held  by a run that nothing disturbed; answers: how many a server had given
    """
    if not (root / "data" / "catalog.sqlite").exists():
        assert not acknowledged, "it died before the house was begun"
        return
    read = house_in(root, work.box)("verify", "--dry-run")
    damaged = read.json["damaged"]
    if acknowledged or not damaged or not work.may_miss(damaged):
        assert read.exit_code == 0, read
    work.keeps(root, answers)
    if acknowledged:
        assert not (differing := _differing(work.held(root), held)), (
            f"acknowledged, and not there: {differing}"
        )


def require_completed(work: Work, root: Path, held: Held) -> int:
    """The same command completes the work as if nothing had been; how much was sent once more."""
    sent_again = work.again(root)
    assert not (differing := _differing(work.held(root), held)), f"other than undisturbed: {differing}"
    read = house_in(root, work.box)("verify", "--dry-run")
    assert read.exit_code == 0, read
    return sent_again


def _differing(found: Held, wanted: Held) -> list[str]:
    """Names of what is missing, too much or other than it should be."""
    names = sorted({*found, *wanted})
    return [
        f"{'-' if name not in found else '+' if name not in wanted else '!'} {name}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]
