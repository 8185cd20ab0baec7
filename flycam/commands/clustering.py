"""Several machines: `worker`, and the cluster that `ingest` and `finish` run over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from flycam.commands.house import Result, opened
from flycam.console import command, say
from flycam.console import language as spoken
from flycam.errors import OptionUnusable

if TYPE_CHECKING:
    from flycam.pipeline.workspace import Workspace
    from flycam.settings import Settings


@contextmanager
def clustered(workspace: Workspace, settings: Settings) -> Iterator[Workspace]:
    """The house with the cluster of FLYCAM_CLUSTER, if any. Raises ClusterUnavailable, WorkerUnfit."""
    if settings.cluster is None:
        yield workspace
        return
    from flycam.pipeline.cluster.dask_cluster import connected

    with connected(settings.cluster, workspace) as cluster:
        yield replace(workspace, cluster=cluster)


@click.command()
@click.option("--threads", type=click.IntRange(min=0), help="Photos worked on at once (default: processors).")
@click.option("--scheduler", "is_scheduler", is_flag=True, help="Also be the scheduler; on one machine only.")
@command
def worker(*, data_dir: str | None, threads: int | None, is_scheduler: bool) -> Result:
    """Work for the ingests and finishes of other machines (FLYCAM_CLUSTER) until stopped."""
    from flycam.commands.heap import keep_one_heap
    from flycam.pipeline.executor import workers_here

    keep_one_heap()
    count = workers_here() if threads is None else threads
    with opened(data_dir, begins=True) as (workspace, settings):  # it may start before what it works for
        if settings.cluster is None:
            raise OptionUnusable(
                "FLYCAM_CLUSTER: give the scheduler's address such as tcp://10.0.0.5:8786",
                vi="FLYCAM_CLUSTER: hãy ghi địa chỉ máy điều phối như tcp://10.0.0.5:8786",
            )
        from flycam.pipeline.cluster.dask_cluster import serve_worker

        address = settings.cluster
        serve_worker(
            workspace,
            address,
            threads=count,
            is_scheduler=is_scheduler,
            ready=lambda: say(_said(address, count, is_scheduler)),
        )
    return {"cluster": address, "threads": count}, []


def _said(address: str, threads: int, is_scheduler: bool) -> str:
    if spoken() == "vi":
        also = "điều phối và " if is_scheduler else ""
        return f"{address}: {also}làm việc với {threads} luồng; Ctrl-C để dừng"
    return f"{address}: {'scheduler, ' if is_scheduler else ''}working in {threads} threads; Ctrl-C ends it"
