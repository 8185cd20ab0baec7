"""The card of a learned model: what it is, what it was learnt from, what it is fed; docs/formats/networks.md.

Without a card nobody knows what a network is for, and without its hash not whether it is the one that was
measured: neither is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flycam.errors import NetworkUnusable, NotFound
from flycam.geodata.models_path import models_dir

PLANES: Mapping[str, int] = {"before": 3, "after": 3, "slope": 1}
"""What a network may be fed with, and how many channels each has: the pictures as red, green, blue of 0 to 1
as they are coded, and the tangent of the steepest slope."""

KINDS = ("landslide", "flood", "other")
TILE_PX = (32, 1024)

_FOLDER = "networks"
_ENDINGS = (".yaml", ".yml")
_MOST_BYTES = 1 << 18
_GPL = re.compile(r"\bA?GPL|\bAffero\b|(?<!Lesser )(?<!Library )\bGeneral Public Licen[cs]e", re.IGNORECASE)
_EITHER = re.compile(r"\s+OR\s+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GSD_M = (0.01, 10.0)
_WEIGHT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCard:
    """What a card says.

    file          the ONNX beside the card; sha256: of its bytes, hex
    planes        of PLANES, in the order of the channels; mean, spread: taken off each channel, and by which
                  it is divided then
    gsd_m         side of a pixel that it was trained on, metres
    tile_px       side of the square that it is given; margin_px: of its rim, whose answer is not used
    kinds         what its output channels are; is_logit: as ln(p / (1 - p)), else as probabilities
    weight        of its word in a score, above 0 to 1; the rest is that of flycam's own evidence
    licence, trained_on, figures  as written, for who reads
    """

    name: str
    file: Path
    sha256: str
    planes: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    gsd_m: float
    tile_px: int
    margin_px: int
    kinds: tuple[str, ...]
    is_logit: bool
    weight: float
    licence: str
    trained_on: str
    figures: str

    @property
    def channels(self) -> int:
        return sum(PLANES[one] for one in self.planes)

    @property
    def told(self) -> str:
        """As it is recorded: name, and the beginning of its hash."""
        return f"{self.name} (sha256 {self.sha256[:12]})"


def find_card(ref: str) -> Path:
    """The card called NAME in `models/networks`, or at a path that ends in .yaml. Raises NotFound."""
    folder = models_dir() / _FOLDER
    is_path = ref.lower().endswith(_ENDINGS)
    path = Path(ref) if is_path else folder / f"{ref}{_ENDINGS[0]}"
    if (is_path or path.parent == folder) and path.is_file():
        return path
    known = ", ".join(sorted(one.stem for one in folder.glob(f"*{_ENDINGS[0]}"))) or "-"
    raise NotFound(
        f"{ref[:200]}: there is no card of such a network; give a card's path, or a name of "
        f"models/networks ({known})",
        vi=f"{ref[:200]}: không có thẻ mô tả của mạng này; hãy ghi đường dẫn tới thẻ .yaml, hoặc tên có "
        f"trong models/networks ({known})",
    )


def read_card(path: Path) -> NetworkCard:
    """Raises NetworkUnusable for a card that cannot be read, does not say enough, or has a licence that
    models/networks/README.md does not allow."""
    values = _values(path)
    inputs, outputs = _mapping(path, values, "inputs"), _mapping(path, values, "outputs")
    planes = _names(path, inputs, "inputs.planes", tuple(PLANES))
    channels = sum(PLANES[one] for one in planes)
    tile_px = _whole(path, inputs, "inputs.tile_px", TILE_PX)
    sha256 = values.get("sha256")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
        raise _unfit(
            path,
            "sha256",
            "the SHA-256 of the network, 64 hex digits in quotes, as sha256sum prints it",
            "mã SHA-256 của tệp mạng, 64 chữ số hex trong dấu nháy, như sha256sum in ra",
        )
    form = _text(path, outputs, "outputs.as")
    if form not in ("probability", "logit"):
        raise _unfit(path, "outputs.as", "probability or logit", "probability hoặc logit")
    file = Path(_text(path, values, "file"))
    if file.name != str(file):
        raise _unfit(path, "file", "the name of a file beside the card", "tên tệp nằm cạnh thẻ")
    return NetworkCard(
        name=_text(path, values, "name"),
        file=path.parent / file,
        sha256=sha256.lower(),
        planes=planes,
        mean=_numbers(path, inputs, "inputs.mean", channels),
        spread=_numbers(path, inputs, "inputs.spread", channels, least=1e-6),
        gsd_m=_within(path, inputs, "inputs.gsd_m", _GSD_M),
        tile_px=tile_px,
        margin_px=_whole(path, inputs, "inputs.margin_px", (0, tile_px // 3)),
        kinds=_names(path, outputs, "outputs.kinds", KINDS),
        is_logit=form == "logit",
        weight=_within(path, {"weight": _WEIGHT} | values, "weight", (0.01, 1.0)),
        licence=_licence(path, values),
        trained_on=_text(path, values, "trained_on"),
        figures=_text(path, values, "figures"),
    )


def _values(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        if not isinstance(values, dict):
            raise ValueError("no named values")
    except Exception as error:  # YAML's own makers of values raise whatever an odd one makes Python raise
        raise NetworkUnusable(
            f"{path.name}: is no card of a network: give YAML as models/networks/README.md has it",
            vi=f"{path.name}: không phải thẻ mô tả mạng; hãy viết YAML theo models/networks/README.md",
        ) from error
    return values


def _mapping(path: Path, values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    if not isinstance(found, dict):
        raise _unfit(path, key, "named values", "các giá trị có tên")
    return found


def _text(path: Path, values: Mapping[str, Any], key: str) -> str:
    found = values.get(key.rpartition(".")[2])
    if not isinstance(found, str) or not found.strip():
        raise _unfit(path, key, "words", "bằng chữ")
    return " ".join(found.split())


def _licence(path: Path, values: Mapping[str, Any]) -> str:
    """Raises NetworkUnusable where there is no choice ("MIT OR GPL-3.0-only") but AGPL or GPL."""
    licence = _text(path, values, "licence")
    if all(_GPL.search(one) for one in _EITHER.split(licence)):
        raise NetworkUnusable(
            f"{path.name}: licence: {licence[:80]}: no network under AGPL or GPL is run here; take one under "
            "another licence, see models/networks/README.md",
            vi=f"{path.name}: licence: {licence[:80]}: không chạy mạng theo giấy phép AGPL hoặc GPL; hãy "
            "dùng mạng có giấy phép khác, xem models/networks/README.md",
        )
    return licence


def _names(path: Path, values: Mapping[str, Any], key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    found = values.get(key.rpartition(".")[2])
    is_list = isinstance(found, list) and all(isinstance(one, str) for one in found)
    if not is_list or not found or len(set(found)) < len(found) or not set(found) <= set(known):
        listed = ", ".join(known)
        raise _unfit(path, key, f"a list of {listed}, each once", f"danh sách gồm {listed}, mỗi tên một lần")
    return tuple(found)


def _numbers(
    path: Path, values: Mapping[str, Any], key: str, count: int, least: float = -math.inf
) -> tuple[float, ...]:
    found = values.get(key.rpartition(".")[2])
    if not isinstance(found, list) or len(found) != count or not all(_is_number(one, least) for one in found):
        raise _unfit(path, key, f"{count} numbers, one a channel", f"{count} số, mỗi kênh một số")
    return tuple(float(one) for one in found)


def _within(path: Path, values: Mapping[str, Any], key: str, limits: tuple[float, float]) -> float:
    found: Any = values.get(key.rpartition(".")[2])
    low, high = limits
    if not _is_number(found, low) or found > high:
        raise _unfit(path, key, f"a number of {low:g} to {high:g}", f"một số từ {low:g} đến {high:g}")
    return float(found)


def _whole(path: Path, values: Mapping[str, Any], key: str, limits: tuple[int, int]) -> int:
    found = _within(path, values, key, limits)
    if found != int(found):
        raise _unfit(path, key, "a whole number of pixels", "số điểm ảnh nguyên")
    return int(found)


def _is_number(value: Any, least: float) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= least


def _unfit(path: Path, key: str, wanted: str, wanted_vi: str) -> NetworkUnusable:
    return NetworkUnusable(
        f"{path.name}: {key}: write {wanted}; see models/networks/README.md",
        vi=f"{path.name}: {key}: hãy ghi {wanted_vi}; xem models/networks/README.md",
    )
