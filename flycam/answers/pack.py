"""Answer of `pack`: the content of a briefing pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flycam.answers.output import Output, format_warnings
from flycam.frame.warning import describe_warning
from flycam.messages import _, join

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.pipeline.briefing_pack.workflow import PackReport


def format_pack(made: PackReport) -> Output:
    """Return the content of a briefing pack.

    Keys: files[] (paths, the manifest last), out, flights[], flights_seen[], communes[], drill, draft, …
    """
    answer = {
        "files": [str(path) for path in made.files],
        "out": str(made.out),
        "flights": list(made.flights),
        "flights_seen": list(made.flights_seen),
        "communes": list(made.communes),
        "drill": made.is_drill,
        "draft": made.is_draft,
        "classification": made.classification.value,
        "manifest_sha256": made.manifest_sha256,
        "content_sha256": made.content_sha256,
        "seconds": round(made.seconds, 3),
        **format_warnings(made.notes),
    }
    said = [
        _(
            "{folder}: files: {file_count}, communes: {commune_count}; open {page}",
            folder=made.out,
            file_count=len(made.files),
            commune_count=len(made.communes),
            page=made.out / "index.html",
        )
    ]
    if made.is_draft:
        said.append(_("  a draft: once a leader has approved it, run again with --approved-by 'NAME'"))
    notes = [join(("  !", describe_warning(one))) for one in made.notes]
    return answer, [*said, *notes]
