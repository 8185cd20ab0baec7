"""Review histories of changes: versions to share, and two nodes' merged. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flycam.catalog.change_attribution import find_note_version, format_quoted_note, select_effective_versions
from flycam.catalog.change_version import ChangeVersion
from flycam.frame.change import ChangeAction, ChangeStatus


def select_confirmed_lines(history: Sequence[ChangeVersion]) -> list[ChangeVersion]:
    """Return the versions of a change by which it was confirmed or ceased to be.

    That is what a viewer sees of it over time. The version that ends a confirmation comes without its
    note. A note that another analyst wrote before the confirmation is quoted under their name.
    """
    found: list[ChangeVersion] = []
    was_confirmed = False
    for number, line in enumerate(history, 1):
        is_confirmed = line.status is ChangeStatus.ACCEPTED
        if is_confirmed:
            found.append(_attribute_note(line, history[:number], found))
        elif was_confirmed:
            found.append(replace(line, note=""))
        was_confirmed = is_confirmed
    return found


def _attribute_note(
    line: ChangeVersion, until: Sequence[ChangeVersion], shared_lines: Sequence[ChangeVersion]
) -> ChangeVersion:
    """Return the version, its note quoted under its writer unless shared as theirs."""
    pile = select_effective_versions(until)
    writer = find_note_version(pile) if pile else line
    is_told = any((one.step_id, one.note) == (writer.step_id, line.note) for one in [*shared_lines, line])
    return line if is_told else replace(line, note=format_quoted_note(line.note, writer.author, line.author))


def merge_change_histories(
    histories: Mapping[str, Sequence[ChangeVersion]], received: Sequence[ChangeVersion]
) -> tuple[list[ChangeVersion], list[str]]:
    """Return (versions to append here, changes whose decision here holds).

    histories  versions here, by change
    received   all versions that a server sends of the same event, complete each time
    """
    there = {(line.change_id, line.step_id) for line in received}
    known = {(line.change_id, line.step_id) for lines in histories.values() for line in lines}
    own_ns = {
        change_id: max(own)
        for change_id, lines in histories.items()
        if (own := [one.at_ns for one in lines if _is_decided_here(one, there)])
    }
    last_ns: dict[str, int] = {}
    for line in received:
        last_ns[line.change_id] = max(last_ns.get(line.change_id, 0), line.at_ns)
    held = {change_id for change_id, at_ns in own_ns.items() if at_ns >= last_ns.get(change_id, at_ns + 1)}
    versions = {change_id: lines[-1].version for change_id, lines in histories.items()}
    steps: dict[tuple[int, str], list[ChangeVersion]] = {}
    for line in received:
        if (line.change_id, line.step_id) not in known:
            is_found_again = line.action is ChangeAction.FOUND and line.change_id in histories
            if not is_found_again:
                steps.setdefault((line.at_ns, line.step_id), []).append(line)
    new: list[ChangeVersion] = []
    waiting: set[str] = set()
    for _, lines in sorted(steps.items()):
        if any(line.change_id in held for line in lines):
            held.update(line.change_id for line in lines)
            waiting.update(line.change_id for line in lines)
            continue
        for line in lines:
            versions[line.change_id] = versions.get(line.change_id, 0) + 1
            new.append(replace(line, version=versions[line.change_id]))
    return new, sorted(waiting)


def _is_decided_here(line: ChangeVersion, there: set[tuple[str, str]]) -> bool:
    return line.action is not ChangeAction.FOUND and (line.change_id, line.step_id) not in there
