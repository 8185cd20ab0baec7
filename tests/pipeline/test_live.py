"""A film becomes a flight like any other: recorded, replayed, withdrawn, exported, completed after a cut."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flycam.answers.filmed import of_live
from flycam.catalog.records import FrameStatus
from flycam.drill.truth import read_truth
from flycam.drill.video import VideoDrillReport, write_video_drill
from flycam.drill.video_course import VideoPlan
from flycam.errors import (
    CalibrationMissing,
    Cancelled,
    NotFound,
    OptionUnusable,
    OutsideTerrain,
    StorageTrouble,
)
from flycam.frame.flight import FlightState
from flycam.ingest.pixels import open_pixels
from flycam.mosaic.tilelog import read_tile
from flycam.pipeline.evidence import local_copy
from flycam.pipeline.export import export_flight
from flycam.pipeline.live import LiveReport, LiveRequest, live
from flycam.pipeline.live_laying import LiveLaying
from flycam.pipeline.opening import Labels
from flycam.pipeline.refolding import live_mosaics, refold_mosaic
from flycam.pipeline.withdraw import withdraw
from flycam.pipeline.workspace import silent
from tests.houses import House

MakeHouse = Callable[..., House]


def flown(house: House, film: VideoDrillReport, **changes: object) -> LiveReport:
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    return live(house.workspace, replace(request, **changes), Labels(), silent)


def test_a_film_is_a_flight_like_any_other(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(film)
    report = flown(house, film)
    catalog, flight = house.workspace.catalog, report.flight
    assert (flight.state, flight.name, report.decoded) == (FlightState.READY, "flight", 200)
    assert catalog.flights.event(flight.event_id).is_drill
    records = catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
    assert len(records) == report.used == report.new >= 8
    truth = read_truth(film.truth.parent)
    for record in records:
        provenance, true = record.header.provenance, truth.exteriors[record.header.provenance.source_name]
        kept = local_copy(house.workspace, provenance.source_sha256, provenance.source_name)
        assert open_pixels(kept).shape == (180, 320, 3)
        off = np.subtract(record.exterior.projection_centre_m, true.projection_centre_m)
        assert np.linalg.norm(off) < 15.0  # noise of the drill, and its home's height from the terrain
    assert flight.bounds_lonlat_deg is not None and flight.first_ns < flight.last_ns
    assert catalog.boundaries.coverage(flight.flight_id)
    exported = export_flight(house.workspace, flight.flight_id, tmp_path / "out.tif")
    assert exported.path.stat().st_size > 10_000
    answer, _ = of_live(report)
    assert json.loads(json.dumps(answer))["frames"] == report.used
    assert set(answer["latency_ms"]) == {"p50", "p95"} and answer["latency_ms"]["p50"] > 0
    assert (answer["clock_offset_s"], answer["clock_sigma_s"]) == (0.0, 0.02)  # subtitles share the clock


def test_run_again_it_changes_nothing_and_replay_gives_the_same_tiles(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(film)
    first = flown(house, film)
    flight_id = first.flight.flight_id
    before = house.tiles(f"{flight_id}-colour")
    again = flown(house, film)
    assert (again.used, again.new, again.flight.flight_id) == (first.used, 0, flight_id)
    assert house.tiles(f"{flight_id}-colour") == before
    (mosaic,) = live_mosaics(house.workspace, flight_id)
    everywhere = [record.tiles for record in house.workspace.catalog.frames.of_flight(flight_id)]
    refolded = refold_mosaic(house.workspace, mosaic, silent, also=everywhere, check=True)
    assert refolded.lines == 0 and house.tiles(f"{flight_id}-colour") == before


def test_a_frame_of_a_film_is_withdrawn_like_a_photo(film: VideoDrillReport, make_house: MakeHouse) -> None:
    house = make_house(film)
    flight_id = flown(house, film).flight.flight_id
    record = house.workspace.catalog.frames.of_flight(flight_id)[3]
    withdraw(house.workspace, record.header.provenance.source_name, "nhà dân", "UBND")
    heads = house.workspace.catalog.tiles.heads(f"{flight_id}-colour", 0)
    tiles = [read_tile(house.workspace.store, head) for head in heads]
    assert tiles and all(record.frame_id not in tile.frames for tile in tiles)
    assert flown(house, film).new == 0  # and it does not come back


def test_a_run_cut_half_way_is_completed_by_the_same_command(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = make_house(film, "whole"), make_house(film, "cut")
    flight_id = flown(whole, film).flight.flight_id
    merge, count = LiveLaying._merge, iter(range(100))

    def failing(self: LiveLaying, *arguments: object) -> None:
        if next(count) == 4:
            raise StorageTrouble("the disk went away: run again")
        merge(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LiveLaying, "_merge", failing)
        with pytest.raises(StorageTrouble, match="disk"):
            flown(cut, film)
    assert cut.workspace.catalog.flights.flight(flight_id).state is FlightState.INGESTING
    completed = flown(cut, film)
    assert completed.flight.state is FlightState.READY
    assert cut.tiles(f"{flight_id}-colour") == whole.tiles(f"{flight_id}-colour")


def test_the_clock_of_a_log_is_found_and_a_given_one_is_believed(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    true_s = read_truth(film.truth.parent).facts["clock_offset_s"]
    found = flown(make_house(film, "found"), film, telemetry=str(film.telemetry))
    assert abs(found.clock.offset_s - true_s) <= 3.0 * found.clock.sigma_s
    given = flown(make_house(film, "given"), film, telemetry=str(film.telemetry), clock_offset_s=true_s)
    assert given.clock.offset_s == true_s and given.clock.is_known and not given.flight.warnings


def test_a_clock_that_cannot_be_seen_is_not_made_up(tmp_path: Path, make_house: MakeHouse) -> None:
    plan = VideoPlan(seconds=12.0, fps=10, strips=1, gsd_m=0.8, is_steady=True)
    straight = write_video_drill(tmp_path / "d", seed=2, plan=plan, size_px=(320, 180), truth_rasters=False)
    report = flown(make_house(straight), straight, telemetry=str(straight.telemetry))
    answer, lines = of_live(report)
    assert answer["clock_offset_s"] is None and answer["clock_sigma_s"] > 1.0
    assert report.flight.warnings[-1].startswith("clock_unknown")
    assert "--clock-offset" in answer["warnings"][-1] and any("--clock-offset" in line for line in lines)
    pose = house_pose(make_house(straight, "given"), straight)
    assert pose < 3.0  # with the clock given the doubt is gone from the poses too


def house_pose(house: House, straight: VideoDrillReport) -> float:
    true_s = read_truth(straight.truth.parent).facts["clock_offset_s"]
    report = flown(house, straight, telemetry=str(straight.telemetry), clock_offset_s=true_s)
    records = house.workspace.catalog.frames.of_flight(report.flight.flight_id, FrameStatus.USED)
    return max(record.exterior.sigma_position_m[0] for record in records)


@pytest.mark.slow
def test_at_its_own_speed_every_picture_is_laid_or_counted(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    report = flown(make_house(film), film, is_realtime=True)
    assert report.seconds > 19.0 and report.used >= 6
    assert report.decoded + report.dropped.get("overrun", 0) >= 200
    half, most = report.latency_ms
    assert 0.0 < half <= most


def test_a_stop_ends_the_flight_where_it_is_and_the_same_command_goes_on(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    house, count = make_house(film), iter(range(1000))
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    report = live(house.workspace, request, Labels(), silent, lambda: next(count) >= 100)
    assert report.flight.state is FlightState.READY and report.used >= 3 and report.decoded == 101
    whole = flown(house, film)
    assert whole.used > report.used and whole.new == whole.used - report.used
    with pytest.raises(Cancelled):
        live(house.workspace, replace(request, telemetry=str(film.telemetry)), Labels(), silent, lambda: True)


def test_ctrl_c_on_the_command_shows_what_was_laid(film: VideoDrillReport, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flycam", "live", "--data", str(tmp_path / "data"), "--realtime"]
    command += ["--video", str(film.video), "--telemetry", str(film.subtitles), "--camera", str(film.camera)]
    with subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until_s = time.monotonic() + 60.0
        while not _kept(tmp_path):
            assert time.monotonic() < until_s and process.poll() is None
            time.sleep(0.2)
        time.sleep(4.0)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    answer = json.loads(told.splitlines()[-1])
    assert process.returncode == 0 and answer["frames"] >= 1 and answer["decoded"] < 190


def _kept(folder: Path) -> bool:
    """Whether anything was kept in the store."""
    return any(path.stat().st_size > 0 for path in folder.glob("data/store/**/*") if path.is_file())


def test_what_cannot_be_used_is_said_and_leaves_no_flight(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(film)
    with pytest.raises(CalibrationMissing, match="--hfov"):
        flown(house, film, camera=None)
    square = tmp_path / "square.json"
    square.write_text(json.dumps({"width": 300, "height": 300, "fx": 200.0}))
    with pytest.raises(CalibrationMissing, match=r"square\.json"):
        flown(house, film, camera=square)
    with pytest.raises(OptionUnusable, match="links"):
        flown(house, film, video="rtsp://10.0.0.9/live")
    with pytest.raises(OptionUnusable, match="hfov"):
        flown(house, film, camera=None, hfov_deg=200.0)
    with pytest.raises(OutsideTerrain, match="telemetry_gap"):
        flown(house, film, telemetry=str(film.telemetry), clock_offset_s=5000.0)
    assert house.workspace.catalog.flights.flights() == []
    with pytest.raises(NotFound):
        house.workspace.catalog.flights.flight("flight")


def test_the_lens_may_be_said_in_degrees_and_for_another_size(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    degrees = flown(make_house(film, "degrees"), film, camera=None, hfov_deg=79.0)
    assert degrees.used >= 8
    camera = json.loads(film.camera.read_text())
    double = {
        k: (2 * v if k in ("width", "height", "fx", "fy", "cx", "cy") else v) for k, v in camera.items()
    }
    (tmp_path / "double.json").write_text(json.dumps(double))
    scaled = flown(make_house(film, "scaled"), film, camera=tmp_path / "double.json")
    assert scaled.used >= 8


def test_without_terrain_a_film_lies_on_a_plane_and_says_so(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    report = flown(make_house(None), film)
    assert report.used >= 8 and "no_terrain" in report.flight.warnings
