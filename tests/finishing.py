"""`finish` as commands run it: with quality reports."""

from __future__ import annotations

from functools import partial

from flycam.mosaic.finish import workflow
from flycam.reports.quality_report import make_reports

finish_flight = partial(workflow.finish_flight, make_reports=make_reports)
