"""Networks for pictures, tried before they are trusted: loaded, and run by the very code that will run them."""

from pathlib import Path
from typing import Any

import numpy as np

from common.contracts import Objects
from common.errors import ConfigurationError
from common.inference.ort import load_session
from common.packs import CaptioningModel, PictureFile, SegmentationModel, VocabularyFile
from common.vocabulary import load_vocabulary
from deploy.models.outline import read_outline
from workers.caption.networks import Encoder
from workers.segment.segmenter import Segmenter

_WIDTH_PX, _HEIGHT_PX = 96, 64


def try_picture_file(path: Path, file: PictureFile, *, run: bool) -> dict[str, Any]:
    """Look at one file of a pack for pictures, and run what takes a picture.

    Returns:
        The fields of `deploy.models.trial.Examined`; without a graph's, of a vocabulary.
    Raises:
        ConfigurationError: it is not what the manifest says; names the file.
    """
    if isinstance(file, VocabularyFile):
        load_vocabulary(path)
        return {"input_name": "", "input_shape": (), "outputs": (), "is_batch_open": False}
    outline = read_outline(path)
    axes = sorted(len(port.shape or ()) for port in outline.inputs)
    wanted = [4] if isinstance(file, SegmentationModel | CaptioningModel) else [2, 3]
    if axes != wanted:
        raise ConfigurationError(
            f"{path} is refused as {file.contract}: it has {len(axes)} inputs, of {axes} axes, not of {wanted}"
        )
    if run:
        _run(path, file)
    first = outline.inputs[0]
    return {
        "input_name": ", ".join(port.name for port in outline.inputs),
        "input_shape": first.shape or (),
        "outputs": [(port.name, port.shape) for port in outline.outputs],
        "is_batch_open": False,
    }


def _run(path: Path, file: PictureFile) -> None:
    session = load_session(path)
    noise = np.random.default_rng(0).integers(0, 256, (_HEIGHT_PX, _WIDTH_PX, 3)).astype(np.uint8)
    try:
        if isinstance(file, SegmentationModel):
            Segmenter(session, file).find(noise, Objects(limit=1, min_score=0.0), check=lambda: None)
        elif isinstance(file, CaptioningModel):
            Encoder(session, file).look(noise)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} is refused as {file.contract}: {error}") from None
    except Exception as error:  # ONNX Runtime has no narrower base
        raise ConfigurationError(f"{path} is refused: a picture cannot be run: {error}"[:600]) from error
