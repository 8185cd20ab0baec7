"""Films that hold their own telemetry: laid by it, without another word."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shapely import from_wkb

from flycam.drill.ground_truth import read_truth
from flycam.drill.video_drill import VideoDrillReport
from flycam.drill.video_encoder import PROGRAM
from flycam.geodata.crs import to_lonlat
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.telemetry.klv_video import PTS_HZ, read_pes_packets
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.video.video_source import read_creation_ns
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from tests.houses import House
from tests.ingest.live.test_bad_input import flown
from tests.ingest.live.test_bad_logs import klv_packet
from tests.ingest.telemetry.made_streams import METADATA, PRIVATE, cells, packets, pes

MakeHouse = Callable[..., House]


def with_metadata(film: VideoDrillReport, path: Path) -> Path:
    """The film as a transport stream, with its log as synchronous metadata; a second stream says nothing."""
    line = f"filesrc location={film.video} ! qtdemux ! h264parse ! mpegtsmux ! filesink location={path}"
    subprocess.run([PROGRAM, "-q", *line.split()], check=True, timeout=60)
    first_pts = next(one.pts for one in read_pes_packets(path) if one.is_picture) or 0
    created_ns, truth = read_creation_ns(film.video) or 0, read_truth(film.truth.parent)
    began_ns = created_ns + round(truth.facts["clock_offset_s"] * 1e9)
    told = []
    for k, one in enumerate(read_flight_log(film.telemetry).track.samples):
        pts = first_pts + round((one.t_utc_ns - began_ns) / 1e9 * PTS_HZ)
        told += packets(400, pes(METADATA, cells([klv_packet(one)]), pts), k)
        told += packets(401, pes(PRIVATE, b"nothing"), k)
    plain = path.read_bytes()
    share = -(-len(plain) // 188 // len(told)) * 188
    path.write_bytes(b"".join(plain[k * share : (k + 1) * share] + one for k, one in enumerate(told)))
    return path


def laid(house: House, film: Path, **more: object) -> VideoReport:
    request = LiveRequest(video=str(film), telemetry=str(film), **more)  # type: ignore[arg-type]
    return orthorectify_video(house.workspace, request, FlightLabels())


def test_a_transport_stream_is_laid_by_the_metadata_in_it_as_by_its_log_with_the_true_clock(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    path = with_metadata(film, tmp_path / "flight.ts")
    report = laid(make_house(film, "own"), path, camera=film.camera)
    offset_s = read_truth(film.truth.parent).facts["clock_offset_s"]
    whole = flown(make_house(film, "log"), film, film.telemetry, clock_offset_s=offset_s)
    assert report.clock.is_known and report.clock.sigma_s <= 0.02
    assert abs(report.used - whole.used) <= 1 and report.used >= 8
    began = read_flight_log(path).video_zero_ns or 0
    created_ns = read_creation_ns(film.video) or 0
    assert abs(began - created_ns - offset_s * 1e9) < 5e6
    assert abs(report.flight.first_ns - began) < 5e6  # its pictures bear the metadata's UTC


@pytest.mark.real
def test_of_a_real_film_that_holds_the_horizon_the_ground_nearby_is_laid_and_no_sky(
    make_house: MakeHouse, shared_data: Path
) -> None:
    house = make_house(None)
    report = laid(house, shared_data / "video" / "karma.mp4", hfov_deg=86.0)
    # the metadata end before the film: what comes after lies nowhere; a clock that was known better than the
    # horizon's motion tells it is kept
    assert report.used >= 3
    assert (report.clock.offset_s, report.clock.is_known) == (0.0, True)
    for record in house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED):
        assert record.exterior is not None and record.footprint_wkb is not None
        lon, lat = to_lonlat(np.array([record.exterior.projection_centre_m[:2]]), report.flight.work_crs)[0]
        west, south, east, north = from_wkb(record.footprint_wkb).bounds
        reach_m = (
            max(abs(west - lon), abs(east - lon)) * 93_000.0,
            max(abs(south - lat), abs(north - lat)) * 111_000.0,
        )
        assert max(reach_m) < 40.0  # from two metres up; the sea's horizon is 14 km away
    said = " ".join(str(one) for one in report.remarks)
    assert "accelerometer" in said
