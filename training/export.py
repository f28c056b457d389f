"""Write the trained networks as ONNX files, and check that these give what the networks give.

Batch normalisation is folded into the convolutions before it, and weights are stored as float16, see `storage`.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.attributes import AgeGender
from training.detector import OUTPUTS, SmallDetector
from training.embedder import Embedder
from training.storage import difference, run_onnx, store_half

OPSET: Final = 13

#: How far the float32 file may be from torch, in shares of the largest output; it is rounding only.
MAX_DIFFERENCE: Final = 1e-4

#: The same of the stored file against the float32 one: eleven bits of each weight are kept.
MAX_ROUNDING: Final = 2e-2


@dataclass(frozen=True)
class Product:
    """One file to write.

    Attributes:
        name: file name.
        checkpoint: name of the checkpoint in the working folder.
        make: constructs the network.
        inputs: name and shape of the input; None is open.
        outputs: name and shape of each output; None is open.
        scale: inputs of the check are spread so far.
    """

    name: str
    checkpoint: str
    make: Callable[[], nn.Module]
    inputs: tuple[str, tuple[int | None, ...]]
    outputs: dict[str, tuple[int | None, ...]]
    scale: float


PRODUCTS: Final = {
    "detector": Product(
        "det_mini.onnx",
        "detector.pt",
        SmallDetector,
        ("input", (None, 3, None, None)),
        {name: (None, None, {"score": 1, "bbox": 4, "kps": 10}[name.split("_")[0]]) for name in OUTPUTS},
        1.0,
    ),
    "embedder": Product(
        "rec_mini.onnx",
        "embedder.pt",
        Embedder,
        ("input", (None, 3, 112, 112)),
        {"embedding": (None, 512)},
        1.0,
    ),
    "attributes": Product(
        "attr_mini.onnx",
        "attributes.pt",
        AgeGender,
        ("data", (None, 3, 96, 96)),
        {"fc1": (None, 3)},
        255.0,
    ),
}


def fold(module: nn.Module) -> nn.Module:
    """Merge each batch normalisation into the convolution before it, in place; the network must be in eval mode."""
    for name, child in list(module.named_children()):
        fold(child)
        if not isinstance(child, nn.Sequential):
            continue
        layers: list[nn.Module] = []
        for layer in child:
            if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
                layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
            else:
                layers.append(layer)
        setattr(module, name, nn.Sequential(*layers))
    return module


def to_onnx(network: nn.Module, product: Product, path: Path) -> onnx.ModelProto:
    """Trace the folded network and write it with float32 weights."""
    name, shape = product.inputs
    example = torch.rand([side or (2 if axis == 0 else 320) for axis, side in enumerate(shape)]) * product.scale
    axes = {name: _open_axes(shape)} | {
        output: _open_axes(sides, suffix=f"_{output.rpartition('_')[2]}") for output, sides in product.outputs.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=[name],
            output_names=list(product.outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    for output in model.graph.output:
        for axis, side in zip(output.type.tensor_type.shape.dim, product.outputs[output.name], strict=True):
            if side is not None:
                axis.ClearField("dim_param")
                axis.dim_value = side
    for node in model.graph.node:
        if node.op_type == "Conv":
            break
        # InsightFace tells by the names of the first nodes whether a graph normalises its input itself.
        node.name = node.name.removeprefix("/")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return model


def _open_axes(shape: Sequence[int | None], *, suffix: str = "") -> dict[int, str]:
    names = (
        ("batch", f"places{suffix}", "height", "width") if len(shape) == 3 else ("batch", "channels", "height", "width")
    )
    return {axis: names[axis] for axis, side in enumerate(shape) if side is None}


def check(network: nn.Module, exact: onnx.ModelProto, stored: onnx.ModelProto, product: Product) -> dict[str, float]:
    """Compare torch, the float32 file and the stored file, in batches and singly.

    Raises:
        ValueError: they differ by more than rounding.
    """
    rng = np.random.default_rng(0)
    worst = {"export": 0.0, "storage": 0.0, "batch": 0.0}
    for batch, height, width in ((1, 320, 320), (3, 256, 448)):
        given = (batch, height, width)
        sides = [side or {0: given[0], 2: given[1], 3: given[2]}[axis] for axis, side in enumerate(product.inputs[1])]
        images = (rng.random(sides) * product.scale).astype(np.float32)
        with torch.no_grad():
            outputs = network(torch.from_numpy(images))
        torch_outputs = [value.numpy() for value in (outputs if isinstance(outputs, tuple) else (outputs,))]
        exact_outputs, stored_outputs = run_onnx(exact, images), run_onnx(stored, images)
        singles = [run_onnx(stored, images[row : row + 1]) for row in range(batch)]
        joined = [np.concatenate(parts) for parts in zip(*singles, strict=True)]
        worst["export"] = max(worst["export"], difference(exact_outputs, torch_outputs))
        worst["storage"] = max(worst["storage"], difference(stored_outputs, exact_outputs))
        worst["batch"] = max(worst["batch"], difference(joined, stored_outputs))
    if worst["export"] > MAX_DIFFERENCE or worst["batch"] > MAX_DIFFERENCE or worst["storage"] > MAX_ROUNDING:
        raise ValueError(f"{product.name} does not give what was trained: {worst}")
    return worst


def export(product: Product, work: Path, out: Path) -> dict[str, float]:
    """Write one file from its checkpoint's running average.

    Returns:
        `bytes`, and the differences `check` found.
    """
    state = torch.load(work / product.checkpoint, weights_only=True, map_location="cpu")
    network = product.make()
    network.load_state_dict(state["averaged"])
    network = fold(network.eval()).to(memory_format=torch.contiguous_format)
    unfinished = out / f"{product.name}.unfinished"
    exact = to_onnx(network, product, unfinished)
    stored = store_half(exact)
    figures = check(network, exact, stored, product)
    onnx.save(stored, unfinished)
    unfinished.replace(out / product.name)
    return {"bytes": float((out / product.name).stat().st_size), **figures}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="+", choices=sorted(PRODUCTS))
    parser.add_argument("--work", type=Path, required=True, help="folder with the checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.networks:
        print(PRODUCTS[name].name, json.dumps(export(PRODUCTS[name], arguments.work, arguments.out)), flush=True)


if __name__ == "__main__":
    main()
