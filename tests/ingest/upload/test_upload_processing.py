"""What heads say of smear, how far the work is, and one hand at a time."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flycam.errors import NotFound
from flycam.ingest.upload.processing import estimate_motion_blur
from flycam.ingest.upload.upload import lock_upload, write_result_file


def shot(number: int, t_s: float, x_m: float, gsd_m: float = 0.05) -> Any:
    pose = SimpleNamespace(projection_centre_m=(x_m, 0.0, 100.0))
    header = SimpleNamespace(frame_id=f"f{number}", captured_ns=int(t_s * 1e9), exterior_prior=pose)
    return SimpleNamespace(header=header, footprint=SimpleNamespace(gsd_m=gsd_m))


def photo(exposure_s: float | None, speed: tuple[float, float, float] | None = None) -> Any:
    return SimpleNamespace(exposure_s=exposure_s, speed_mps=speed)


def test_smear_is_speed_by_exposure_by_gsd() -> None:
    shots = [shot(0, 0, 0), shot(1, 2, 20), shot(2, 3, 25), shot(3, 300, 30)]
    photos = [photo(1 / 100), photo(1 / 200, (3.0, 4.0, 9.0)), photo(1 / 100), photo(1 / 100)]
    found = estimate_motion_blur(shots, photos)
    assert found["f0"] == pytest.approx(10.0 / 100 / 0.05)  # the way to the next by the time it took
    assert found["f1"] == pytest.approx(5.0 / 200 / 0.05)  # as stated; climbing does not smear
    assert set(found) == {"f0", "f1"}  # a pause, and the last, say no speed
    assert estimate_motion_blur(shots[:1], [photo(None, (1.0, 1.0, 0.0))]) == {}
    assert estimate_motion_blur([], []) == {}


def test_answers_do_not_tell_where_the_server_keeps_things(tmp_path: Path) -> None:
    write_result_file(
        tmp_path / "look.json", {"sentence": f"{tmp_path}/card/Bản Lầu/a.jpg: the file is empty"}
    )
    written = json.loads((tmp_path / "look.json").read_text(encoding="utf-8"))
    assert written == {"sentence": "Bản Lầu/a.jpg: the file is empty"}


def test_one_hand_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(NotFound), lock_upload(tmp_path):
        pass
    (tmp_path / "manifest.json").write_text("{}")
    order: list[str] = []

    def second() -> None:
        with lock_upload(tmp_path):
            order.append("second")

    with lock_upload(tmp_path):
        thread = threading.Thread(daemon=True, target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
