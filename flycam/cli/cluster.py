"""Clusters: `worker`, and the cluster that `ingest` and `finish` run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.cli.output import FILE_PATH, Output, open_workspace, print_line, wrap_command
from flycam.config import read_settings
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, ngettext

if TYPE_CHECKING:
    from flycam.config import Settings
    from flycam.workspace import Workspace

_AUTHORITY = "cluster"  # folder under DATA


@contextmanager
def open_cluster(workspace: Workspace, settings: Settings) -> Iterator[Workspace]:
    """Yield the workspace with the cluster of FLYCAM_CLUSTER, if any.

    Raises ClusterUnavailable, WorkerIncompatible.
    """
    if settings.cluster is None:
        yield workspace
        return
    from flycam.mosaic.cluster.dask_cluster import connect_cluster

    with connect_cluster(settings.cluster, workspace) as cluster:
        yield replace(workspace, cluster=cluster)


@click.command()
@click.option("--threads", type=click.IntRange(min=0), help="Photos worked on at once (default: processors).")
@click.option("--scheduler", "is_scheduler", is_flag=True, help="Also be the scheduler; on one machine only.")
@click.option(
    "--make-certificate",
    "file",
    type=FILE_PATH,
    help="Write the file that lets machines into a cluster, and end.",
)
@wrap_command
def worker_command(
    *, data_dir: str | None, threads: int | None, is_scheduler: bool, file: Path | None
) -> Output:
    """Work for the ingests and finishes of other machines (FLYCAM_CLUSTER) until stopped."""
    from flycam.cli.output import limit_to_one_arena
    from flycam.concurrency import count_workers

    if file is not None:
        # Write the file that lets machines into the cluster.
        # The authority stays here, under DATA; the file goes to every machine.
        from flycam.operations.certificate_authority import make_member_certificate
        from flycam.operations.node import create_private_folder

        folder = read_settings(os.environ, data_dir).data_dir
        create_private_folder(folder)
        fingerprint = make_member_certificate(folder / _AUTHORITY, file)
        line = _(
            "{path}: copy it to every machine of the cluster and name it in "
            "FLYCAM_CLUSTER_CERTIFICATE; anyone who has it can run any program on all of them",
            path=file,
        )
        return {"certificate": str(file), "authority": fingerprint}, [line]
    limit_to_one_arena()
    count = count_workers() if threads is None else threads
    address = read_settings(os.environ, data_dir).cluster
    if address is None:
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER: give the scheduler's address such as tls://10.0.0.5:8786, or "
                "on one machine tcp://127.0.0.1:8786"
            )
        )
    from flycam.mosaic.cluster.dask_cluster import serve_worker

    with ExitStack() as stack:
        # a scheduler alone needs no data folder, nor its keys
        workspace = None
        # a worker may start before the commands that it works for
        if count > 0:
            workspace, __ = stack.enter_context(open_workspace(data_dir, creates=True))
        serve_worker(
            workspace,
            address,
            threads=count,
            is_scheduler=is_scheduler,
            ready=lambda: print_line(_describe_worker(str(address), count, is_scheduler)),
        )
    return {"cluster": str(address), "threads": count}, []


def _describe_worker(address: str, threads: int, is_scheduler: bool) -> Message:
    if is_scheduler:
        return ngettext(
            "{address}: scheduler, working in {count} thread; Ctrl-C ends it",
            "{address}: scheduler, working in {count} threads; Ctrl-C ends it",
            threads,
            address=address,
        )
    return ngettext(
        "{address}: working in {count} thread; Ctrl-C ends it",
        "{address}: working in {count} threads; Ctrl-C ends it",
        threads,
        address=address,
    )
