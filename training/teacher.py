"""The reference embedder in torch, with its inner stages laid open."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional

#: The teacher's stages that a student's stages are compared with: (64, 28, 28), (128, 14, 14), (128, 7, 7).
STAGES: Final = ("_plus3_out", "_plus9_out", "_plus11_out")

Operation = Callable[[Tensor, dict[str, Tensor]], Tensor]


class Teacher:
    """`rec_mobilefacenet.onnx`, batch normalisation folded into the convolutions.

    ONNX Runtime takes ten times as long for it on a CPU as torch in bfloat16, channels last; the worst cosine between
    the two is 0.9998.
    """

    def __init__(self, path: Path, dtype: torch.dtype = torch.bfloat16, device: str = "cpu") -> None:
        graph = onnx.load(path).graph
        self._device, self._dtype = device, dtype
        self._weights = {item.name: torch.tensor(numpy_helper.to_array(item).copy()) for item in graph.initializer}
        self._steps: list[tuple[str, str, Operation]] = []
        renamed: dict[str, str] = {}
        nodes = list(graph.node)
        for node, following in zip(nodes, [*nodes[1:], None], strict=True):
            source, *rest = (renamed.get(name, name) for name in node.input)
            target = node.output[0]
            is_folded = node.op_type == "BatchNormalization" and self._folded(target, nodes)
            if is_folded or node.op_type == "Flatten":
                renamed[target] = source
            else:
                self._steps.append((source, target, self._operation(node, rest, following)))
        self._compiled = torch.compile(self._run)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embed crops.

        Args:
            images: (n, 3, 112, 112) float32 RGB, 0..255.

        Returns:
            (n, 128) float32 of unit length, and the outputs of `STAGES`.
        """
        embeddings, stages = self._compiled(images)
        return embeddings.clone(), [stage.clone() for stage in stages]

    def _run(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        values = {"data": images.contiguous(memory_format=torch.channels_last)}
        result = images
        for source, target, operation in self._steps:
            values[target] = result = operation(values[source], values)
        return functional.normalize(result, dim=1), [values[stage] for stage in STAGES]

    def _operation(self, node: Any, rest: list[str], following: Any) -> Operation:  # noqa: PLR0911 - one a kind
        given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        weights = [self._weights.get(name) for name in rest]
        match node.op_type:
            case "Sub":
                subtrahend = weights[0].item()
                return lambda value, _: value - subtrahend
            case "Mul":
                factor = weights[0].item()
                return lambda value, _: (value * factor).to(self._dtype)
            case "Conv":
                return self._convolution(node, weights[0], given, following)
            case "PRelu":
                slope = weights[0].flatten().to(self._device, self._dtype)
                return lambda value, _: functional.prelu(value, slope)
            case "Add":
                return lambda value, values: value + values[rest[0]]
            case "BatchNormalization":
                scale, shift = (part.to(self._device) for part in _affine(weights, given["epsilon"]))
                return lambda value, _: value.float() * scale + shift
            case "Gemm":
                matrix, bias = (part.to(self._device) for part in weights)
                return lambda value, _: functional.linear(value.flatten(1).float(), matrix, bias)
            case other:
                raise ValueError(f"the teacher holds {other}, which is not known here")

    def _convolution(self, node: Any, weight: Tensor, given: dict[str, Any], following: Any) -> Operation:
        bias = None
        if following is not None and following.op_type == "BatchNormalization" and following.input[0] == node.output[0]:
            parameters = [self._weights[name] for name in following.input[1:]]
            scale, bias = _affine(parameters, onnx.helper.get_attribute_value(following.attribute[0]))
            weight = weight * scale[:, None, None, None]
            bias = bias.to(self._device, self._dtype)
        kernel = weight.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)
        stride, padding, groups = given["strides"][0], given["pads"][0], given["group"]
        return lambda value, _: functional.conv2d(value, kernel, bias, stride, padding, groups=groups)

    @staticmethod
    def _folded(normalised: str, nodes: list[Any]) -> bool:
        """Whether a batch normalisation is already part of the convolution right before it."""
        position = next(index for index, node in enumerate(nodes) if node.output[0] == normalised)
        before = nodes[position - 1]
        return before.op_type == "Conv" and before.output[0] == nodes[position].input[0]


def _affine(parameters: list[Tensor], epsilon: float) -> tuple[Tensor, Tensor]:
    """Batch normalisation as a scale and a shift."""
    gamma, beta, mean, variance = parameters
    scale = gamma / torch.sqrt(variance + epsilon)
    return scale, beta - mean * scale
