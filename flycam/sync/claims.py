"""Claims that a peer makes: who may make each, what outranks it, what rests on it.

`CLAIMS` is the table of docs/security.md, which is printed from it; `tests/sync/test_claims.py`
tries each row.
"""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.peers import ClaimKind


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRule:
    """One row of the table.

    kind       None: nothing of it is kept as a claim
    what       that a peer says
    may        who may say it
    outranked  what holds against it
    rests      what is decided by it
    otherwise  what becomes of it from anybody else
    """

    kind: ClaimKind | None
    what: str
    may: str
    outranked: str
    rests: str
    otherwise: str


_SPEAKER = "who brought the flight first, or was allowed"
_REQUEST = "a request to a person"

CLAIMS: tuple[ClaimRule, ...] = (
    ClaimRule(
        kind=None,
        what="event",
        may="any peer, if it is new here",
        outranked="an event of this id here",
        rests="where its flights are listed",
        otherwise="the one here stays",
    ),
    ClaimRule(
        kind=ClaimKind.FLIGHT,
        what="flight: bounds, times, GSD, warnings, state",
        may="any peer, if no photo of it is here; else " + _SPEAKER,
        outranked="name, event and terrain as here",
        rests="lists, search, the layer's extent; never access to a photo",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=ClaimKind.FRAME,
        what="frame: header, provenance, first pose",
        may=_SPEAKER,
        outranked="the frame as recorded here",
        rests="tiles, coverage, which original is served",
        otherwise=_REQUEST + "; refused if it names an original of another's frame",
    ),
    ClaimRule(
        kind=ClaimKind.PLACEMENT,
        what="placement: pose, terrain, version",
        may=_SPEAKER,
        outranked="a placement made here, whatever its version, until the peer is allowed",
        rests="the pose in force; its footprint only once computed here from pose and terrain, beside all "
        "earlier ones (until then the photo counts as everywhere); no original here is laid by it",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=ClaimKind.WITHDRAWAL,
        what="withdrawal",
        may=_SPEAKER + ", for its frames",
        outranked="nothing but undoing it (`flycam box revoke`)",
        rests="tiles are rebuilt without the frame, finished revisions retire",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=ClaimKind.CLASSIFICATION,
        what="classification",
        may=_SPEAKER + ", if it is stricter",
        outranked="the stricter one here",
        rests="who sees the flight",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=ClaimKind.MASK,
        what="mask on a photo",
        may=_SPEAKER + ", for its photos",
        outranked="an analyst here who takes it back",
        rests="what is burnt in and covered, by ground computed here; ground that a peer states is not read",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=None,
        what="mask taken back",
        may=_SPEAKER,
        outranked="the mask, until an analyst here takes it back",
        rests="nothing: it is shown beside the mask as a request",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=ClaimKind.HOLD,
        what="retention hold",
        may=_SPEAKER + "; a hold on the event holds that flight alone",
        outranked="a release here",
        rests="originals of the flight are not due",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=ClaimKind.RELEASE,
        what="release of a hold",
        may="who made the hold",
        outranked="holds made here or by another",
        rests="originals of the flight are due by their term again, and wait for a person",
        otherwise="refused, with a line in the audit log",
    ),
    ClaimRule(
        kind=ClaimKind.PURGE,
        what="original deleted there",
        may=_SPEAKER + ", in its own name",
        outranked="whoever has the bytes: they are taken from card and upload as ever",
        rests="the original stands on the list of what is due; a person confirms it",
        otherwise=_REQUEST,
    ),
    ClaimRule(
        kind=ClaimKind.LIFT,
        what="deletion lifted",
        may="who deleted it",
        outranked="deletions made here or by another",
        rests="that peer's line leaves the list of what is due",
        otherwise="refused, with a line in the audit log",
    ),
    ClaimRule(
        kind=ClaimKind.TILES,
        what="tiles, early views",
        may=_SPEAKER + ", of frames in its records",
        outranked="the merge rule, in the flight's own mosaic",
        rests="pixels of that flight",
        otherwise="skipped with the flight; a tile of frames that no record names is refused with its step",
    ),
    ClaimRule(
        kind=None,
        what="recorded terrain",
        may="any peer",
        outranked="a readable one of this id here",
        rests="heights under frames that name it",
        otherwise="the one here stays, with a line in the audit log",
    ),
    ClaimRule(
        kind=None,
        what="original",
        may="any peer: its bytes prove its name",
        outranked="a deletion confirmed here; one by the peer itself",
        rests="it is served by all frames that name it: what one withholds is withheld",
        otherwise="skipped if no flight of the peer names it",
    ),
    ClaimRule(
        kind=None,
        what="cursor, digests of its log",
        may="the peer, of its own logs",
        outranked="the cursor here",
        rests="what it has to send again",
        otherwise="refused: another's name",
    ),
    ClaimRule(
        kind=None,
        what="times and authors in all of these",
        may="the peer",
        outranked="the audit log's own clock and account",
        rests="nothing; of two withdrawals of one frame the earlier is shown",
        otherwise="-",
    ),
    ClaimRule(
        kind=None,
        what="areas, layers, communes, terrain files, changes; marks, finished revisions, accounts, audit "
        "lines",
        may="nobody, to a server",
        outranked="-",
        rests="nothing: a step holds none; a box takes the first five from the server that it was given",
        otherwise="refused: no record of this kind",
    ),
)
"""Everything that a peer says to a node, in the order of docs/security.md."""


def format_claims_table() -> str:
    """Return the table of docs/security.md as Markdown."""
    head = ("what is said", "who may say it", "what outranks it", "what rests on it", "from anybody else")
    rows = [(one.what, one.may, one.outranked, one.rests, one.otherwise) for one in CLAIMS]
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
