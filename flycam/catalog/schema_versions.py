"""Schema versions of the catalogue: older catalogues are migrated when they are opened."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Table

from flycam.catalog.access_tables import one_time_codes, tokens
from flycam.catalog.board_tables import (
    briefings,
    changes,
    comparisons,
    layer_features,
    layers,
    marks,
    packs,
    settlements,
)
from flycam.catalog.boundary_validity import separate_exercise_communes
from flycam.catalog.original_frames import migrate_video_frames
from flycam.catalog.retention_tables import (
    kept_originals,
    purges,
    retention_holds,
    retention_terms,
    upload_files,
)
from flycam.catalog.sharing_tables import (
    classifications,
    guests,
    identities,
    redaction_grounds,
    redactions,
    restricted_areas,
)
from flycam.catalog.tables import (
    airborne,
    audit_signatures,
    dem_sigmas,
    film_pictures,
    placements,
    recordings,
    revision_frames,
    revisions,
)

SCHEMA_VERSION = 27

TABLES_ADDED: dict[int, tuple[Table, ...]] = {
    2: (revisions, revision_frames),
    3: (placements,),
    4: (dem_sigmas,),
    5: (airborne,),
    6: (recordings,),
    7: (layers, layer_features, marks),
    8: (changes,),
    9: (briefings,),
    10: (restricted_areas, classifications, guests),
    11: (settlements,),
    12: (audit_signatures,),
    13: (identities,),
    14: (redactions, redaction_grounds),
    15: (retention_terms, retention_holds, purges, upload_files),
    16: (tokens, one_time_codes),
    17: (comparisons,),
    18: (packs,),
    19: (),
    20: (),
    21: (),
    22: (),
    23: (kept_originals,),
    24: (),
    25: (film_pictures,),
    26: (),
    27: (),
}
"""Tables by the schema version that added them."""

COLUMNS_ADDED: dict[int, tuple[str, str, tuple[str, ...]]] = {
    4: (
        "placements",
        "layer",
        (
            "ALTER TABLE placements ADD COLUMN layer TEXT NOT NULL DEFAULT 'colour'",
            "UPDATE placements SET layer = (SELECT frames.layer FROM frames WHERE frames.frame_id = "
            "placements.frame_id) WHERE EXISTS (SELECT 1 FROM frames WHERE frames.frame_id = "
            "placements.frame_id)",
        ),
    ),
    10: ("accounts", "communes", ("ALTER TABLE accounts ADD COLUMN communes TEXT NOT NULL DEFAULT ''",)),
    17: ("changes", "error_m", ("ALTER TABLE changes ADD COLUMN error_m DOUBLE PRECISION",)),
    19: (
        "packs",
        "flights_beside",
        ("ALTER TABLE packs ADD COLUMN flights_beside TEXT NOT NULL DEFAULT ''",),
    ),
    20: (
        "comparisons",
        "warnings",
        (
            "ALTER TABLE comparisons ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]'",
            "ALTER TABLE comparisons ADD COLUMN doubts TEXT NOT NULL DEFAULT '[]'",
        ),
    ),
    21: (
        "changes",
        "scored_as",
        (
            "ALTER TABLE changes ADD COLUMN scored_as TEXT NOT NULL DEFAULT ''",
            # the kind that it began with
            "UPDATE changes SET scored_as = COALESCE((SELECT begun.kind FROM changes AS begun WHERE "
            "begun.change_id = changes.change_id AND begun.version = 1 AND begun.action = 'found'), '') "
            "WHERE score IS NOT NULL",
            "UPDATE changes SET scored_as = '' WHERE scored_as = kind",
        ),
    ),
    22: ("packs", "withheld", ("ALTER TABLE packs ADD COLUMN withheld TEXT NOT NULL DEFAULT ''",)),
    26: ("tokens", "made_with", ("ALTER TABLE tokens ADD COLUMN made_with TEXT",)),
    27: ("guests", "made_with", ("ALTER TABLE guests ADD COLUMN made_with TEXT",)),
}
"""Table, added column and the statements that fill its rows, by schema version."""

TABLE_BACKFILLS: dict[int, tuple[str, ...]] = {
    16: (
        "INSERT INTO tokens (token_id, account, label, scope, secret_hash, made_by, made_ns) "
        "SELECT 'token-' || substr(token_hash, 1, 12), name, '', 'all', token_hash, name, created_ns "
        "FROM accounts WHERE NOT EXISTS "
        "(SELECT 1 FROM tokens WHERE tokens.secret_hash = accounts.token_hash)",
    ),
}
"""Statements that fill added tables from older ones, by schema version."""

DATA_MIGRATIONS: dict[int, Callable[[Connection], None]] = {
    24: separate_exercise_communes,
    25: migrate_video_frames,
}
"""Functions that derive stored data anew, once, after a rule changed, by schema version."""
