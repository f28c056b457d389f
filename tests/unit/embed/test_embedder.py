"""What the embedder makes of a network's numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from common.errors import ConfigurationError
from common.packs import EmbeddingModel, ImageInput
from workers.embed.embedder import Embedder

SPEC = EmbeddingModel(
    name="rec.onnx",
    sha256="0" * 64,
    bytes=1,
    origin="made up",
    input=ImageInput(side_px=112, mean=0, std=1),
    task="embedding",
    contract="arcface",
    dim=3,
    model_id="made-up",
    min_similarity={"1e-3": 0.4},
)


class MeanColour:
    """Gives the mean colour of a crop; of a white one numbers that are not finite."""

    def __init__(self, *, output: tuple[int | str | None, ...] = ("n", 3)) -> None:
        self.inputs = (("x", ("n", 3, 112, 112)),)
        self.outputs = (("y", output),)

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        colours = feeds["x"].mean(axis=(2, 3))
        colours[(colours == 255).all(axis=1)] = np.inf
        return [colours]


def crops(*colours: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    return np.tile(np.array(colours, np.uint8)[:, None, None], (1, 112, 112, 1))


def embed(*colours: tuple[int, int, int], colour: str = "rgb") -> npt.NDArray[np.float32]:
    spec = SPEC.model_copy(update={"input": SPEC.input.model_copy(update={"colour": colour})})
    return Embedder(MeanColour(), spec).embed(crops(*colours), batch_size=2, check=lambda: None)


@pytest.mark.parametrize(("colour", "expected"), [("rgb", [0.6, 0, 0.8]), ("bgr", [0.8, 0, 0.6])])
def test_embeddings_have_unit_length_and_planes_the_order_of_the_manifest(colour: str, expected: list[float]) -> None:
    assert embed((60, 0, 80), colour=colour)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("bad", "named"), [((0, 0, 0), "1"), ((255, 255, 255), "1")], ids=["no direction", "not finite"]
)
def test_a_crop_without_a_direction_is_named(bad: tuple[int, int, int], named: str) -> None:
    good = (60, 0, 80)
    with pytest.raises(ConfigurationError, match=rf"rec.onnx gave no direction for crops {named} of 3; verify"):
        embed(good, bad, good)
    with pytest.raises(ConfigurationError, match=r"for crops 0, 2, 3 of 4"):
        embed(bad, good, bad, bad)
    assert len(embed(good, good, good)) == 3


@pytest.mark.parametrize("output", [("n", 4), (3,), ("n", 3, 1), ()])
def test_an_output_that_is_no_embedding_is_refused(output: tuple[int | str | None, ...]) -> None:
    with pytest.raises(ConfigurationError, match="its manifest says 3"):
        Embedder(MeanColour(output=output), SPEC)
