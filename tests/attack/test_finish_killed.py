"""A session of kill -9: at random moments of every stage of `finish`, on a local folder and on S3."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.killing import (
    STAGES,
    Revision,
    calm_run,
    completed,
    kill_and_go_on,
    kill_in_each_stage,
    with_flight,
)
from tests.servers import S3Server

MakeOperator = Callable[..., Operator]

pytestmark = pytest.mark.slow

WRITING = ("surface", "blend", "report", "communes")
MOST_AGAIN = 0.3  # of a whole run's processor time: ties alone are more


@pytest.fixture(scope="module")
def calm(drill: DrillReport, tmp_path_factory: pytest.TempPathFactory) -> tuple[Revision, dict[str, float]]:
    """What a run that nobody disturbs makes, and how long its stages take."""
    return calm_run(with_flight(Operator(tmp_path_factory.mktemp("calm"), {}), drill))


def session(
    operator: Operator,
    calm: tuple[Revision, dict[str, float]],
    seed: int,
    place: str,
    stages: Sequence[str] = STAGES,
) -> None:
    """One kill in each stage, then a run that completes it."""
    kills = 0
    for kill in kill_in_each_stage(operator, calm[1], random.Random(seed), stages):
        print(f"{place} {seed}: {kill}", flush=True)
        kills += 1
    completed(operator, calm[0])
    tiles = len(calm[0].tiles)
    print(f"{place} {seed}: {kills} kills, then completed: {tiles} tiles equal to the last byte", flush=True)


@pytest.mark.soak
def test_killed_in_every_stage(
    make_operator: MakeOperator, drill: DrillReport, calm: tuple[Revision, dict[str, float]]
) -> None:
    session(with_flight(make_operator(), drill), calm, 1, "folder")


@pytest.mark.soak
@pytest.mark.s3
def test_killed_on_s3(
    make_operator: MakeOperator,
    drill: DrillReport,
    s3_server: S3Server,
    calm: tuple[Revision, dict[str, float]],
) -> None:
    """In the stages that write what others read; in each of them in the soak below."""
    environment = {**s3_server.environment(), "FLYCAM_STORE": s3_server.url("giết-hoàn-thiện")}
    session(with_flight(make_operator(**environment), drill), calm, 2, "S3", WRITING)


@pytest.mark.soak
@pytest.mark.s3
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("place", ["folder", "S3"])
def test_killed_ten_times_in_every_stage(
    make_operator: MakeOperator,
    drill: DrillReport,
    s3_server: S3Server,
    calm: tuple[Revision, dict[str, float]],
    place: str,
) -> None:
    """Ten moments in each of nine stages. Run with `-s` to see each kill."""
    for number in range(int(os.environ.get("KILL_ROUNDS", "10"))):
        environment = {}
        if place == "S3":
            environment = {
                **s3_server.environment(),
                "FLYCAM_STORE": s3_server.url(f"lượt-{number}"),
            }
        operator = with_flight(make_operator(f"lượt {place} {number}", **environment), drill)
        session(operator, calm, 100 + number, place)
    assert len(STAGES) == 9


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_killed_at_ten_random_moments(
    make_operator: MakeOperator, drill: DrillReport, calm: tuple[Revision, dict[str, float]]
) -> None:
    """Ten moments spread over the stages of a run; after each the next run goes on and completes.

    One moment in each tenth of an undisturbed run's time, so that no ten draws leave half of it out.
    """
    revision, seconds = calm
    chance = random.Random(10)
    print("undisturbed:", ", ".join(f"{stage} {took:.1f} s" for stage, took in seconds.items()), flush=True)
    ingested, moments = with_flight(make_operator("trước"), drill), []
    for number in range(10):
        operator = make_operator(f"lần {number}")
        shutil.copytree(ingested.data, operator.data)
        moments.append(kill_and_go_on(operator, seconds, (number + chance.random()) / 10.0, revision))
        tiles = len(revision.tiles)
        print(f"{number + 1:2d}: {moments[-1]}; {tiles} tiles equal to the last byte", flush=True)
    most = max(sum(moment.spent_s.values()) for moment in moments)
    assert all(moment.again_s < MOST_AGAIN * most for moment in moments), "what was done is not done again"
    assert sum(moment.kill.stage in STAGES for moment in moments) >= 8, "runs were through before their kills"
