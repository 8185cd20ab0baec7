"""Film and log of two flights: refused before anything is laid, or doubted for ever."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from flycam.drill.flight import VideoPlan
from flycam.drill.ground_truth import read_truth
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from flycam.errors import FlightLogMismatch
from flycam.model.records import FrameStatus
from flycam.model.warning import LOG_DOUBTFUL, describe_warning
from tests.ingest.live.test_workflow import MakeHouse, codes, flown, replays


def turning(folder: Path, seed: int, strips: int) -> VideoDrillReport:
    plan = VideoPlan(seconds=40.0, fps=10, strips=strips, gsd_m=0.8)
    return write_video_drill(folder / "o", seed=seed, plan=plan, size_px=(320, 180), truth_rasters=False)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    return turning(tmp_path_factory.mktemp("long"), 2, strips=4)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    """Another flight, whose turns are at other moments."""
    return turning(tmp_path_factory.mktemp("other"), 7, strips=2)


@pytest.mark.parametrize("log", ["subtitles", "telemetry"])
def test_a_log_that_the_turns_contradict_is_refused_and_nothing_is_laid(
    long_film: VideoDrillReport, other: VideoDrillReport, make_house: MakeHouse, log: str
) -> None:
    house, wrong = make_house(long_film), getattr(other, log)
    said = f"{wrong.name}: is not the log of {long_film.video.name}"
    with pytest.raises(FlightLogMismatch, match=said) as refused:
        flown(house, long_film, telemetry=str(wrong))
    assert "--clock-offset" in str(refused.value) and "--clock-offset" in refused.value.message.in_language(
        "vi"
    )
    assert house.workspace.catalog.flights.flights() == []
    assert codes(flown(house, long_film, telemetry=str(getattr(long_film, log)))) == []


def test_subtitles_of_another_film_that_are_vouched_for_are_doubted_and_the_right_ones_mend_it(
    long_film: VideoDrillReport, other: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(long_film)
    vouched = {"telemetry": str(other.subtitles), "clock_offset_s": 0.0}
    wrong = flown(house, long_film, **vouched)
    assert codes(wrong) == [LOG_DOUBTFUL]
    assert "turns the pictures turn otherwise" in str(describe_warning(wrong.flight.warnings[0]))
    assert flown(house, long_film, **vouched).reprocessed == 0
    right = flown(house, long_film)
    assert (right.reprocessed, codes(right)) == (wrong.used, [])
    truth = read_truth(long_film.truth.parent)
    for record in house.workspace.catalog.frames.list_for_flight(right.flight.flight_id, FrameStatus.USED):
        true = truth.exteriors[record.header.provenance.source_name]
        off = np.subtract(record.exterior.projection_centre_m, true.projection_centre_m)
        assert np.linalg.norm(off) < 15.0
    assert replays(house, right.flight.flight_id)
    with pytest.raises(FlightLogMismatch, match="nothing was changed"):
        flown(house, long_film, **vouched)


@pytest.fixture(scope="module")
def alike(long_film: VideoDrillReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a flight of the same plan, one strip farther east: its turns are at the same moments."""
    log = tmp_path_factory.mktemp("alike") / "another day.srt"
    told = long_film.subtitles.read_text(encoding="utf-8")
    farther = re.sub(r"(?<=longitude: )[\d.]+", lambda lon: f"{float(lon.group()) + 0.0006:.6f}", told)
    assert farther != told
    log.write_text(farther, encoding="utf-8")
    return log


@pytest.mark.soak
def test_the_log_of_a_like_flight_is_found_out_by_the_films_own_and_laid_over_on_the_operators_word(
    long_film: VideoDrillReport, alike: Path, make_house: MakeHouse
) -> None:
    house = make_house(long_film)
    wrong = flown(house, long_film, telemetry=str(alike))
    assert codes(wrong) == []
    flight_id = wrong.flight.flight_id
    tiles = house.tiles(f"{flight_id}-colour")
    said = rf"flight\.srt: tells other places .* {wrong.used} pictures .* by 6\d m and 0°"
    with pytest.raises(FlightLogMismatch, match=said) as refused:
        flown(house, long_film)
    assert "--relay" in str(refused.value) and "--relay" in refused.value.message.in_language("vi")
    assert house.tiles(f"{flight_id}-colour") == tiles
    right = flown(house, long_film, reprocess=True)
    assert right.reprocessed == wrong.used and replays(house, flight_id)
    truth = read_truth(long_film.truth.parent)
    for record in house.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED):
        true = truth.exteriors[record.header.provenance.source_name]
        off = np.subtract(record.exterior.projection_centre_m, true.projection_centre_m)
        assert np.linalg.norm(off) < 15.0
    assert flown(house, long_film).reprocessed == 0


@pytest.mark.soak
def test_a_film_played_at_its_own_speed_is_shown_and_its_log_doubted(
    long_film: VideoDrillReport, other: VideoDrillReport, make_house: MakeHouse
) -> None:
    """Nobody can give another log to what is in the air."""
    house = make_house(long_film)
    report = flown(house, long_film, telemetry=str(other.subtitles), is_realtime=True)
    assert report.used and codes(report) == [LOG_DOUBTFUL]
    (ended,) = house.workspace.catalog.airborne.list_since(0)
    assert any("turns the pictures turn otherwise" in str(one) for one in ended.remarks)
    assert any("khác với nhật ký" in one.in_language("vi") for one in ended.remarks)
