"""Several machines: `worker`, and the cluster that `ingest` and `finish` run over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.commands.house import FILE, Result, make_private_folder, opened
from flycam.console import command, say
from flycam.console import language as spoken
from flycam.errors import OptionUnusable
from flycam.messages import _
from flycam.settings import read_settings

if TYPE_CHECKING:
    from flycam.pipeline.workspace import Workspace
    from flycam.settings import Settings

_AUTHORITY = "cluster"  # folder under DATA


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
@click.option(
    "--make-certificate", "file", type=FILE, help="Write the file that lets machines into a cluster, and end."
)
@command
def worker(*, data_dir: str | None, threads: int | None, is_scheduler: bool, file: Path | None) -> Result:
    """Work for the ingests and finishes of other machines (FLYCAM_CLUSTER) until stopped."""
    from flycam.commands.heap import keep_one_heap
    from flycam.pipeline.executor import workers_here

    if file is not None:
        return _make_certificate(data_dir, file)
    keep_one_heap()
    count = workers_here() if threads is None else threads
    address = read_settings(os.environ, data_dir).cluster
    if address is None:
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER: give the scheduler's address such as tls://10.0.0.5:8786, or "
                "on one machine tcp://127.0.0.1:8786"
            )
        )
    from flycam.pipeline.cluster.dask_cluster import serve_worker

    with ExitStack() as stack:
        workspace = None  # who only shares out needs no house, nor its keys
        if count > 0:  # it may start before what it works for
            workspace, __ = stack.enter_context(opened(data_dir, begins=True))
        serve_worker(
            workspace,
            address,
            threads=count,
            is_scheduler=is_scheduler,
            ready=lambda: say(_said(str(address), count, is_scheduler)),
        )
    return {"cluster": str(address), "threads": count}, []


def _make_certificate(data_dir: str | None, file: Path) -> Result:
    """The authority stays here, under DATA; the file goes to every machine."""
    from flycam.pipeline.authority import make_member_certificate

    folder = read_settings(os.environ, data_dir).data_dir
    make_private_folder(folder)
    fingerprint = make_member_certificate(folder / _AUTHORITY, file)
    line = (
        f"{file}: copy it to every machine of the cluster and name it in FLYCAM_CLUSTER_CERTIFICATE; whoever "
    )
    line += "has it can run any program on all of them"
    if spoken() == "vi":
        line = f"{file}: hãy chép sang mọi máy của cụm và ghi vào FLYCAM_CLUSTER_CERTIFICATE; ai có tệp này "
        line += "cũng chạy được mọi chương trình trên các máy đó"
    return {"certificate": str(file), "authority": fingerprint}, [line]


def _said(address: str, threads: int, is_scheduler: bool) -> str:
    if spoken() == "vi":
        also = "điều phối và " if is_scheduler else ""
        return f"{address}: {also}làm việc với {threads} luồng; Ctrl-C để dừng"
    return f"{address}: {'scheduler, ' if is_scheduler else ''}working in {threads} threads; Ctrl-C ends it"
