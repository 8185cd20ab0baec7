"""A card with photos, films and logs becomes one flight; what a film lacks is said of that film."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flycam.cli.sync import format_photos_result, format_upload_preview, format_videos_result
from flycam.drill.photo_drill import DrillReport
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import SourceUnreadable, VideoUnpositioned
from flycam.ingest.live.frame_pipeline import FramePipeline
from flycam.ingest.upload.memory_card import UploadFile
from flycam.ingest.upload.processing import (
    MAX_MOTION_BLUR_PX,
    orthorectify_photos,
    orthorectify_videos,
    preview_upload,
)
from flycam.ingest.upload.registry import UploadRegistry
from flycam.ingest.upload.upload import Upload
from flycam.ingest.video.video_frames import is_video_frame, select_video_frames
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.model.flight import UNNAMED_EVENTS
from flycam.model.records import FrameStatus
from flycam.storage.files import compute_sha256
from tests.houses import House, drilled
from tests.texts import pair

MakeHouse = Callable[..., House]


@pytest.fixture(scope="module")
def photos() -> DrillReport:
    """Six photos of the valley that the film shows."""
    return drilled(seed=2, photos=(2, 3), size_px=(480, 360), gsd_m=0.5, truth_rasters=False)


@pytest.fixture
def card(photos: DrillReport, film: VideoDrillReport, tmp_path: Path) -> Path:
    """As an aircraft leaves it: photos, a film with its subtitles, another with nothing."""
    folder = tmp_path / "Bản Lầu"
    shutil.copytree(photos.photos, folder / "DCIM")
    shutil.copy(film.video, folder / "DCIM" / "DJI_0001.MP4")
    shutil.copy(film.subtitles, folder / "DCIM" / "DJI_0001.SRT")
    shutil.copy(film.video, folder / "DCIM" / "DJI_0002.MP4")
    with (folder / "DCIM" / "DJI_0002.MP4").open("ab") as file:
        file.write(b"\0\0\0\x08free")  # else it were the same film
    return folder


def received(tmp_path: Path, card: Path, *, but: str = "") -> Upload:
    """A card as it lies on the server when every byte has come."""
    files = [
        UploadFile(path=str(path.relative_to(card)), size=path.stat().st_size, modified_ms=1)
        for path in sorted(card.rglob("*"))
        if path.is_file() and path.name != but
    ]
    uploads = UploadRegistry(tmp_path / "uploads")
    upload = uploads.open("Lan", files, folder=card.name)
    for number, one in enumerate(upload.manifest.files):
        writer = upload.writer(number, 0)
        assert writer is not None and writer.write((card / one.path).read_bytes())
        writer.close()
    uploads.close()
    return upload


def test_photos_and_film_of_a_card_are_one_flight(
    film: VideoDrillReport, card: Path, make_house: MakeHouse, tmp_path: Path
) -> None:
    workspace = make_house(film).workspace
    upload = received(tmp_path, card)
    seen = format_upload_preview(preview_upload(workspace, upload.folder), MAX_MOTION_BLUR_PX)
    assert (seen["frames"], seen["usable"]) == (6, 6)
    by_name = {one["name"]: one for one in seen["films"]}
    assert by_name["DCIM/DJI_0001.MP4"]["log"] == "DCIM/DJI_0001.SRT"
    assert ".SRT" in by_name["DCIM/DJI_0002.MP4"]["sentence_vi"]

    of_photos = format_photos_result(orthorectify_photos(workspace, upload.folder), workspace.catalog)
    flight_id = of_photos["flight_id"]
    assert of_photos["frames"]["used"] == 6 and of_photos["event"] == UNNAMED_EVENTS[True]
    done = orthorectify_videos(workspace, upload.folder, flight_id)
    answer = format_videos_result(done, of_photos, workspace.catalog)
    first, second = answer["films"]
    assert first["log"] == "DCIM/DJI_0001.SRT" and first["frames"] == first["new"] >= 8
    assert second["frames"] == 0 and isinstance(done.videos[1].error, VideoUnpositioned)
    assert "error" not in answer and "flight_id" not in answer  # the photos' flight stands

    (flight,) = workspace.catalog.flights.flights()
    assert (flight.flight_id, flight.name) == (flight_id, of_photos["name"])
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    assert len(used) == 6 + first["frames"]
    film_id = compute_sha256(card / "DCIM" / "DJI_0001.MP4")
    assert select_video_frames(used, film_id) == [one for one in used if is_video_frame(one)]
    assert flight.operator == "Lan"


def test_a_film_without_a_log_is_named_with_the_cure(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    workspace = make_house().workspace
    card = tmp_path / "c"
    card.mkdir()
    shutil.copy(film.video, card / "a.mp4")
    alone = format_videos_result(
        orthorectify_videos(workspace, received(tmp_path, card).folder, None), None, workspace.catalog
    )
    assert alone["error"] == "VideoUnpositioned" and alone["sentence"] == alone["films"][0]["sentence"]
    (card / "x.tlog").write_bytes(b"no log at all")
    result = orthorectify_videos(workspace, received(tmp_path, card).folder, None)
    assert isinstance(result.videos[0].error, SourceUnreadable) and "x.tlog" in str(result.videos[0].error)
    assert not workspace.catalog.flights.flights()


def breaking_off(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Films that end with an error after 150 pictures, once they are being laid; the pictures of each run."""
    pictures, run, runs = VideoSource.frames, FramePipeline.run, list[int]()

    def begun(flow: FramePipeline, *given: Any) -> None:
        runs.append(0)
        run(flow, *given)

    def broken(source: VideoSource) -> Iterator[VideoFrame]:
        for picture in pictures(source):
            yield picture
            if runs:  # before that its lens and its clock are looked for
                runs[-1] += 1
                if runs[-1] == 150:
                    raise SourceUnreadable(pair("another size: start again", "khác cỡ: hãy chạy lại"))

    monkeypatch.setattr(FramePipeline, "run", begun)
    monkeypatch.setattr(VideoSource, "frames", broken)
    return runs


@pytest.mark.soak
def test_a_film_that_breaks_off_is_cut_short_and_what_is_on_the_map_stays(
    film: VideoDrillReport, card: Path, make_house: MakeHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_house(film).workspace
    shutil.copy(film.telemetry, card / "DCIM" / "00000012.BIN")  # another log that would place it
    upload = received(tmp_path, card, but="DJI_0002.MP4")
    of_photos = format_photos_result(orthorectify_photos(workspace, upload.folder), workspace.catalog)
    runs = breaking_off(monkeypatch)
    answer = format_videos_result(
        orthorectify_videos(workspace, upload.folder, of_photos["flight_id"]), of_photos, workspace.catalog
    )
    (one,) = answer["films"]
    assert one["frames"] >= 4 and len(runs) == 1, "it is not laid by the next log beside what is there"
    assert "another size" in one["sentence"] and "khác cỡ" in one["sentence_vi"]
    assert "error" not in answer
    films = workspace.catalog.frames.list_for_flight(of_photos["flight_id"], FrameStatus.USED)
    assert len(films) == 6 + one["frames"]
    again = format_videos_result(
        orthorectify_videos(workspace, upload.folder, of_photos["flight_id"]), of_photos, workspace.catalog
    )["films"][0]
    assert again["frames"] == one["frames"]
    monkeypatch.undo()
    whole = format_videos_result(
        orthorectify_videos(workspace, upload.folder, of_photos["flight_id"]), of_photos, workspace.catalog
    )["films"][0]
    assert whole["frames"] > one["frames"] and "another size" not in whole["sentence"]


def test_a_card_whose_only_film_breaks_off_is_a_flight_all_the_same(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_house(film).workspace
    alone = tmp_path / "Nậm Lúc"
    alone.mkdir()
    shutil.copy(film.video, alone / "a.mp4")
    shutil.copy(film.subtitles, alone / "a.srt")
    breaking_off(monkeypatch)
    answer = format_videos_result(
        orthorectify_videos(workspace, received(tmp_path, alone).folder, None), None, workspace.catalog
    )
    assert answer["name"] == "Nậm Lúc" and "error" not in answer and answer["films"][0]["frames"] >= 4
