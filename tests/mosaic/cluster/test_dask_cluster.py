"""Ingest and finish over a real scheduler and real workers: the bytes of one process, whoever dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from distributed import Client

from flycam.board.layers import register_communes
from flycam.catalog.catalog import open_catalog
from flycam.config import SchedulerAddress
from flycam.drill.photo_drill import DrillReport, write_drill
from flycam.errors import ClusterUnavailable, WorkerIncompatible
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.cluster.dask_cluster import build_security, connect_cluster
from flycam.mosaic.cluster.run import ClusterRun, Fence, choose_block_zoom
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from flycam.operations.certificate_authority import make_member_certificate
from flycam.storage import keys
from flycam.storage.stores import open_store
from flycam.workspace import Progress, Workspace, ignore_progress
from tests.clusters import RunningCluster, running_cluster
from tests.finished_house import NAME, QUICK, open_workspace, tiles_of
from tests.finishing import finish_flight

REQUEST = replace(QUICK, report=False)


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> DrillReport:
    """Twelve photos over some squares of tiles."""
    return write_drill(
        tmp_path_factory.mktemp("drill") / "flight",
        photos=(3, 4),
        size_px=(480, 360),
        gsd_m=1.0,
        truth_rasters=False,
    )


@dataclass(frozen=True)
class Alone:
    """What one process makes of the flight: live tiles, finished tiles."""

    live: dict[str, str]
    finished: dict[str, str]


@pytest.fixture(scope="module")
def alone(flight: DrillReport, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    workspace = open_workspace(tmp_path_factory.mktemp("alone"))
    mosaic_id = ingested(workspace, flight)
    live = tiles_of(workspace, mosaic_id, 0)
    finish_flight(workspace, NAME, REQUEST)
    return Alone(live, tiles_of(workspace, mosaic_id, 1))


def ingested(workspace: Workspace, flight: DrillReport, progress: Progress = ignore_progress) -> str:
    """The mosaic's id."""
    register_dem(workspace, flight.dem)
    register_communes(workspace, flight.communes)
    report = ingest(workspace, PreflightRequest(paths=(flight.photos,)), FlightLabels(name=NAME), progress)
    assert report.used == report.new == 12
    return f"{report.flight.flight_id}-colour"


@dataclass(frozen=True)
class Province:
    """A house on S3 and PostgreSQL, and its cluster, which speaks TLS."""

    workspace: Workspace
    cluster: RunningCluster


@pytest.fixture
def province(tmp_path: Path, s3_url: str, postgres_url: str) -> Iterator[Province]:
    house = {"FLYCAM_STORE": s3_url, "FLYCAM_DATABASE": postgres_url}
    with closing(open_store(s3_url)) as store, closing(open_catalog(postgres_url)) as catalog:
        workspace = Workspace(
            store=store, catalog=catalog, box="province", cache_dir=tmp_path / "cache", operator="Bưởi"
        )
        member = tmp_path / "member.pem"
        make_member_certificate(tmp_path / "authority", member)
        with running_cluster(tmp_path / "cluster", house, certificate=member) as cluster:
            yield Province(workspace, cluster)


@pytest.mark.s3
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_worker_that_is_killed_takes_nothing_with_it(
    province: Province, flight: DrillReport, alone: Alone
) -> None:
    _, first, second = province.cluster.processes
    address = province.cluster.address
    with (
        connect_cluster(province.cluster.address, province.workspace) as cluster,
        Client(str(address), security=build_security(address), set_as_default=False) as scheduler,
    ):
        workspace = replace(province.workspace, cluster=cluster)
        worker = {pid: where for where, pid in scheduler.run(os.getpid).items()}[first.pid]
        killed = ThreadPoolExecutor(1)

        def hang(stage: str, done: int, _total: int) -> None:
            """It hangs before work is given out, and dies once some was given to it."""
            if stage == "keep" and done == 1:
                os.kill(first.pid, signal.SIGSTOP)
                killed.submit(kill_with_work, scheduler, worker, first)

        mosaic_id = ingested(workspace, flight, hang)
        killed.shutdown()
        assert first.poll() == -signal.SIGKILL
        assert tiles_of(workspace, mosaic_id, 0) == alone.live
        zoom = choose_block_zoom(workspace.catalog.tiles.mosaic(mosaic_id))
        assert len(workspace.catalog.tiles.heads(mosaic_id, 0, z=zoom)) > 1  # something was shared out
        third = province.cluster.start("--threads", "1")

        blended: list[int] = []

        def kill(stage: str, done: int, _total: int) -> None:
            """Once a square is blended."""
            blended.extend([done] * (stage == "blend"))
            if len(blended) == 2:
                second.kill()
                second.wait()

        finish_flight(workspace, NAME, REQUEST, kill)
    assert second.poll() == -signal.SIGKILL
    assert third.poll() is None
    assert tiles_of(workspace, mosaic_id, 1) == alone.finished
    assert {line.origin for line in workspace.catalog.tiles.log_since(mosaic_id, 0, 10_000)} == {"province"}
    flight_id = mosaic_id.removesuffix("-colour")
    assert not list(workspace.store.list(keys.format_cluster_run_prefix(flight_id)))


def kill_with_work(scheduler: Client, address: str, process: subprocess.Popen[bytes]) -> None:
    """Once the scheduler has given it work."""
    while not scheduler.processing().get(address):
        time.sleep(0.02)
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_workers_of_another_house_are_refused_before_anything_is_done(
    flight: DrillReport, tmp_path: Path
) -> None:
    workspace = open_workspace(tmp_path / "house")
    house = {
        "FLYCAM_STORE": (tmp_path / "house" / "store").as_uri(),
        "FLYCAM_DATABASE": f"sqlite:///{tmp_path / 'house' / 'catalog.sqlite'}",
    }
    with running_cluster(tmp_path / "cluster", house, workers=0) as running:
        with (
            pytest.raises(ClusterUnavailable, match="no worker"),
            connect_cluster(running.address, workspace, timeout_s=1.0),
        ):
            pass
        stranger = running.start("--threads", "1", FLYCAM_STORE=(tmp_path / "other").as_uri())
        with (
            pytest.raises(WorkerIncompatible, match="FLYCAM_STORE"),
            connect_cluster(running.address, workspace),
        ):
            pass
        stranger.kill()
        stranger.wait()
        running.start("--threads", "1")

        def part(stage: str, _done: int, _total: int) -> None:
            if stage == "keep" and running.processes[0].poll() is None:
                running.processes[0].kill()
                running.processes[0].wait()

        with (
            pytest.raises(ClusterUnavailable, match="no scheduler"),
            connect_cluster(running.address, workspace) as cluster,
        ):
            ingested(replace(workspace, cluster=cluster), flight, part)
    assert ingested(workspace, flight)  # goes on without a cluster


def fatal(_workspace: Workspace, _given: object) -> Callable[[int, Fence], None]:
    """A job that ends whoever works at it."""

    def work(_number: int, _fence: Fence) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return work


@pytest.fixture
def small_house(tmp_path: Path, flight: DrillReport) -> tuple[Workspace, str, dict[str, str]]:
    """With a flight, its id, and what a worker's environment says of the house."""
    (tmp_path / "house").mkdir()
    workspace = open_workspace(tmp_path / "house")
    flight_id = ingested(workspace, flight).removesuffix("-colour")
    house = {
        "FLYCAM_STORE": (tmp_path / "house" / "store").as_uri(),
        "FLYCAM_DATABASE": f"sqlite:///{tmp_path / 'house' / 'catalog.sqlite'}",
        "PYTHONPATH": str(Path(__file__).parents[3]),  # the jobs are this module's
    }
    return workspace, flight_id, house


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_work_that_ends_its_workers_ends_the_run_and_is_said(
    small_house: tuple[Workspace, str, dict[str, str]], tmp_path: Path
) -> None:
    workspace, flight_id, house = small_house
    with (
        running_cluster(tmp_path / "cluster", house, workers=4) as running,
        connect_cluster(running.address, workspace) as cluster,
    ):
        spread = ClusterRun(workspace=workspace, cluster=cluster, flight_id=flight_id, run="ingest-test")
        with pytest.raises(ClusterUnavailable, match="4 workers"):
            list(spread.run_tasks(fatal, None, [0]))
        assert [one.wait(60) for one in running.processes[1:]] == [-signal.SIGKILL] * 4


def test_no_scheduler_is_said_with_the_cure(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = SchedulerAddress(host="127.0.0.1", port=nobody.getsockname()[1])
        with (
            pytest.raises(ClusterUnavailable, match="--scheduler"),
            connect_cluster(address, open_workspace(tmp_path), connect_timeout_s=1.0),
        ):
            pass
