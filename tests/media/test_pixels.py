"""Pixels: order and depth; what is cut off is refused; what is blurred is seen."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from flycam.board.marks import convert_mark_photo
from flycam.errors import FrameUnreadable, SourceUnreadable
from flycam.media.photo import MAX_SCANS
from flycam.media.pixels import measure_sharpness, open_pixels, read_pixel_checks
from tests.ingest.photos.handmade import ground, jpeg, segment, written

FORMATS = [("a.png", {}), ("a.tif", {}), ("b.tif", {"compression": "tiff_lzw"})]


def saved(folder: Path, name: str, picture: Image.Image, **options: object) -> Path:
    """A picture written by Pillow, the independent hand."""
    picture.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize(("name", "options"), FORMATS)
def test_lossless_pixels_come_back_in_rgb_order(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    pixels = ground(40, 50) // 2 + np.array([60, 20, 0], np.uint8)
    found = open_pixels(saved(tmp_path, name, Image.fromarray(pixels), **options))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, pixels)


def test_jpeg_decodes_as_pillow_does(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jpg", jpeg(ground(120, 160)))
    with Image.open(path) as picture:
        expected = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(open_pixels(path).astype(int) - expected).max() <= 3


def test_alpha_is_dropped_and_grey_is_repeated(tmp_path: Path) -> None:
    pixels = ground(20, 30)
    clear = Image.fromarray(np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)]))
    np.testing.assert_array_equal(open_pixels(saved(tmp_path, "a.png", clear)), pixels)
    grey = open_pixels(saved(tmp_path, "b.png", Image.fromarray(pixels[:, :, 0])))
    np.testing.assert_array_equal(grey, np.repeat(pixels[:, :, :1], 3, axis=2))


def test_sixteen_bits_of_one_band_are_stretched(tmp_path: Path) -> None:
    counts = np.linspace(7000, 8000, 64 * 64).reshape(64, 64).astype(np.uint16)
    found = open_pixels(saved(tmp_path, "a.tif", Image.fromarray(counts)))
    assert found.shape == (64, 64, 3)
    assert (found.min(), found.max()) == (0, 255)
    assert np.all(np.diff(found[:, :, 0].ravel().astype(int)) >= 0)


# -- bad files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", [open_pixels, read_pixel_checks])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_refused(tmp_path: Path, reader, share: float) -> None:
    whole = jpeg(ground(300, 400))
    path = written(tmp_path, "DJI_0007.JPG", whole[: int(len(whole) * share)])
    with pytest.raises(FrameUnreadable, match=r"DJI_0007\.JPG: the JPEG"):
        reader(path)


@pytest.mark.parametrize(
    ("data", "word"), [(b"", "empty"), (b"text " * 9, "text"), (b"\xff\xd8\xff\xe0", "JPEG")]
)
def test_what_is_no_photo_is_refused(tmp_path: Path, data: bytes, word: str) -> None:
    path = written(tmp_path, "a.jpg", data)
    with pytest.raises(FrameUnreadable, match=rf"a\.jpg: .*{word}") as caught:
        open_pixels(path)
    assert caught.value.message.in_language("vi").startswith(f"{path}: ")


def test_a_png_chunk_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(ground()).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[33:37] = b"\xff\xff\xff\xf0"
    with pytest.raises(FrameUnreadable, match="PNG"):
        open_pixels(written(tmp_path, "a.png", bytes(data)))


def _small_before(bomb: bytes) -> bytes:
    """A JPEG whose `FF 00` is a segment to those who believe lengths, and nothing to libjpeg, which looks
    into it."""
    return b"\xff\xd8\xff\x00" + struct.pack(">H", len(bomb)) + bomb[2:] + jpeg(ground())[2:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_of_two_heads(first: tuple[int, int], second: tuple[int, int]) -> bytes:
    heads = [_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)) for size in (first, second)]
    rows = zlib.compress(bytes((1 + 3 * first[0]) * first[1]))
    return b"".join([b"\x89PNG\r\n\x1a\n", heads[0], _chunk(b"IDAT", rows), heads[1], _chunk(b"IEND", b"")])


@pytest.mark.parametrize("reader", [open_pixels, read_pixel_checks])
@pytest.mark.parametrize("kind", ["zero", "second SOI", "second SOF", "two IHDR"])
def test_of_a_head_that_says_two_sizes_nothing_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader, kind: str
) -> None:
    large, small = jpeg(np.full((900, 1200, 3), 90, np.uint8)), jpeg(ground())
    frame = large.index(b"\xff\xc0")
    frame_end = frame + 2 + int.from_bytes(large[frame + 2 : frame + 4], "big")
    data = {
        "zero": _small_before(large),
        "second SOI": small[:2] + small,
        "second SOF": small[:2] + large[frame:frame_end] + small[2:],
        "two IHDR": _png_of_two_heads((400, 300), (40, 30)),
    }[kind]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was given to the decoder"))
    with pytest.raises(FrameUnreadable):
        reader(written(tmp_path, "a.jpg", data))


def _of_scans(count: int) -> bytes:
    """A grey JPEG of 64×64 pixels whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.fromarray(ground(64, 64)[..., 0]).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * (count - whole.count(b"\xff\xda")) + b"\xff\xd9"


def test_a_jpeg_of_too_many_scans_is_refused(tmp_path: Path) -> None:
    assert open_pixels(written(tmp_path, "a.jpg", _of_scans(MAX_SCANS))).shape == (64, 64, 3)
    with pytest.raises(FrameUnreadable, match=str(MAX_SCANS)):
        open_pixels(written(tmp_path, "b.jpg", _of_scans(MAX_SCANS + 1)))
    hidden = _of_scans(MAX_SCANS + 1)
    at = hidden.index(b"\xff\xda", hidden.index(b"\xff\xda") + 2)
    hidden = hidden[:at] + segment(0xFE, b"\xff\xd9") + hidden[at:]  # in a comment it is no end
    with pytest.raises(FrameUnreadable, match=str(MAX_SCANS)):
        open_pixels(written(tmp_path, "c.jpg", hidden))
    with pytest.raises(SourceUnreadable):
        convert_mark_photo(_of_scans(MAX_SCANS + 1))


def test_opencv_itself_refuses_more_pixels_than_a_photo_has() -> None:
    program = (
        "import flycam, io, cv2, numpy as np; from PIL import Image\n"
        "large = io.BytesIO(); Image.new('1', (20_000, 10_000)).save(large, 'PNG')\n"
        "try: cv2.imdecode(np.frombuffer(large.getvalue(), np.uint8), cv2.IMREAD_COLOR)\n"
        "except cv2.error: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def _tiff() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(ground()).save(buffer, "TIFF", compression="tiff_lzw")
    return buffer.getvalue()


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(ground()).save(buffer, "PNG")
    return buffer.getvalue()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_photos_give_pixels_or_a_typed_error(tmp_path: Path, data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([jpeg(), _png(), _tiff()])))
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    path = written(tmp_path, "a.jpg", bytes(body))
    try:
        pixels = open_pixels(path)
    except FrameUnreadable as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


# -- judging ------------------------------------------------------------------------------------


def scene(height: int = 480, width: int = 640) -> np.ndarray:
    """A grey scene with detail at every scale."""
    rng = np.random.default_rng(7)
    grey = sum(
        cv2.resize(rng.normal(0, 20, (height // step, width // step)), (width, height))
        for step in (1, 4, 16, 64)
    )
    return np.clip(np.asarray(grey) + 120, 0, 255).astype(np.uint8)


KERNELS = [np.ones((1, 7)) / 7, np.ones((7, 1)) / 7, np.ones((7, 7)) / 49, np.eye(7) / 7, np.eye(7)[::-1] / 7]


@pytest.mark.parametrize("kernel", KERNELS)
def test_motion_and_focus_blur_lower_the_sharpness(kernel: np.ndarray) -> None:
    sharp = scene()
    assert measure_sharpness(cv2.filter2D(sharp, -1, kernel)) < 0.5 * measure_sharpness(sharp)


@given(st.floats(0.3, 1.0), st.integers(0, 40))
@settings(max_examples=20)
def test_sharpness_does_not_depend_on_contrast_or_brightness(gain: float, offset: int) -> None:
    plain = scene()
    other = np.clip(np.rint(plain * gain) + offset * gain, 0, 255).astype(np.uint8)
    assert measure_sharpness(other) == pytest.approx(measure_sharpness(plain), rel=0.1)
