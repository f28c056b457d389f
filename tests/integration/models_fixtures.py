"""Packs, photographs and networks that the model tests share."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import insightface
import numpy as np
import onnx
import pytest

from common.inference.ort import load_session
from common.packs import Pack, find_pack
from common.types import Uint8s
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.embed.embedder import Embedder

MODELS = Path(__file__).parents[2] / "models"
PHOTOGRAPH = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"

#: People in the photograph.
PEOPLE = 6


def no_check() -> None:
    """Never stops the work."""


def read_photograph() -> Uint8s:
    """Six people side by side, (886, 1280, 3) RGB; it comes with the insightface wheel."""
    return np.asarray(cv2.imread(str(PHOTOGRAPH), cv2.IMREAD_COLOR_RGB), np.uint8)


def find_reference(shared: Path) -> Pack:
    """The reference pack; skips where its weights are absent."""
    if not (shared / "models" / "reference").is_dir():
        pytest.skip("the reference weights are absent: no models/reference in the shared folder")
    return find_pack("reference", [shared / "models", MODELS])


def load_detector(pack: Pack, *, file: int = 0, side_px: int | None = None) -> Detector:
    """One of a pack's detectors on one thread."""
    spec = pack.manifest.detectors[file]
    return Detector(load_session(pack.path(spec)), spec, size=InputSize.square(side_px or spec.input.side_px))


def load_embedder(pack: Pack) -> Embedder:
    """A pack's embedder on one thread."""
    return Embedder(load_session(pack.path(pack.embedder)), pack.embedder)


def rebuild(source: Path, target: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A changed copy of a network."""
    model = onnx.load(str(source))
    change(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return target


def fix_axis(value: onnx.ValueInfoProto, axis: int, size: int) -> None:
    """Give an open axis of an input or output a size."""
    value.type.tensor_type.shape.dim[axis].ClearField("dim_param")
    value.type.tensor_type.shape.dim[axis].dim_value = size


def install_pack(folder: Path, name: str, detector: Path, embedder: Path, *, dim: int, model_id: str) -> Path:
    """A pack of these two files below a folder, as if it were installed; gives its own folder."""
    target = folder / name
    target.mkdir(parents=True)
    mini = find_pack("mini", [MODELS])
    specs: list[dict[str, Any]] = [
        mini.detector.model_dump(mode="json"),
        {**mini.embedder.model_dump(mode="json"), "dim": dim, "model_id": model_id},
    ]
    for spec, source in zip(specs, (detector, embedder), strict=True):
        data = source.read_bytes()
        (target / source.name).write_bytes(data)
        spec.update(name=source.name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    manifest = {**mini.manifest.model_dump(mode="json"), "name": name, "files": specs}
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target
