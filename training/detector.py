"""The small face detector: a feature pyramid with SCRFD's outputs, and how it takes over an older one's weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from training.embedder import convolution
from training.targets import ANCHORS_PX, STRIDES

#: Names of the outputs, in SCRFD's order.
OUTPUTS: Final = tuple(f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES)

#: What the parts are called in the file that training starts from.
_OLDER_NAMES: Final[Mapping[str, str]] = {
    "stages.0.": "s4.",
    "stages.1.": "s8.",
    "stages.2.": "s16.",
    "stages.3.": "s32.",
    "laterals.": "lat.",
    "mixers.": "mix.",
    "downs.": "down.",
    "towers.": "tower.",
    "scores.": "cls.",
    "boxes.": "box.",
    "landmarks.": "kps.",
}


def activated(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU."""
    return nn.Sequential(*convolution(inputs, outputs, size, stride=stride, groups=groups), nn.ReLU(inplace=True))


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 depthwise, then 1x1, both with ReLU."""
    return nn.Sequential(activated(inputs, inputs, 3, groups=inputs), activated(inputs, outputs, 1))


class Refinement(nn.Module):
    """1x1 up, 3x3 depthwise, 1x1 down, added to the input; begins as the identity, so it may follow learnt layers."""

    def __init__(self, channels: int, expanded: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            activated(channels, expanded, 1),
            activated(expanded, expanded, 3, groups=expanded),
            convolution(expanded, channels, 1),
        )
        nn.init.zeros_(self.layers[-1][1].weight)

    def forward(self, value: Tensor) -> Tensor:
        return value + self.layers(value)


class SmallDetector(nn.Module):
    """(n, 3, height, width) RGB, (value - 127.5) / 128, sides multiples of 32, to `OUTPUTS`.

    For stride s there are 2 * (height / s) * (width / s) places, row by row, two anchors each: scores (n, places, 1),
    distances to the left, top, right and bottom sides (n, places, 4), landmark offsets (n, places, 10), the last two in
    strides from (x * s, y * s). Stages are halved by dense convolutions: on a CPU the backward pass of a strided
    depthwise convolution in bfloat16 is pathologically slow.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (16, 24, 48, 64, 96),
        neck: int = 48,
        refinements: tuple[int, int, int, int] = (0, 0, 1, 3),
    ) -> None:
        super().__init__()
        stem, quarter, eighth, sixteenth, last = widths
        self.stages = nn.ModuleList(
            [
                nn.Sequential(
                    activated(3, stem, 3, stride=2), activated(stem, quarter, 3, stride=2), separable(quarter, quarter)
                ),
                nn.Sequential(activated(quarter, eighth, 3, stride=2), *(separable(eighth, eighth) for _ in range(2))),
                nn.Sequential(
                    activated(eighth, sixteenth, 3, stride=2), *(separable(sixteenth, sixteenth) for _ in range(3))
                ),
                nn.Sequential(activated(sixteenth, last, 3, stride=2), *(separable(last, last) for _ in range(3))),
            ]
        )
        self.refinements = nn.ModuleList(
            nn.Sequential(*(Refinement(width, 2 * width) for _ in range(count)))
            for width, count in zip(widths[1:], refinements, strict=True)
        )
        self.laterals = nn.ModuleList(activated(width, neck, 1) for width in widths[2:])
        self.mixers = nn.ModuleList(separable(neck, neck) for _ in STRIDES)
        self.downs = nn.ModuleList(activated(neck, neck, 3, stride=2) for _ in STRIDES[1:])
        self.towers = nn.ModuleList(nn.Sequential(separable(neck, neck), separable(neck, neck)) for _ in STRIDES)
        # Landmarks need finer features than scores and boxes; the finest stride is the dearest and gets the narrowest.
        self.landmark_towers = nn.ModuleList(Refinement(neck, width) for width in (neck // 2, 2 * neck, 2 * neck))
        self.scores = nn.ModuleList(nn.Conv2d(neck, 2, 1) for _ in STRIDES)
        self.boxes = nn.ModuleList(nn.Conv2d(neck, 8, 1) for _ in STRIDES)
        self.landmarks = nn.ModuleList(nn.Conv2d(neck, 20, 1) for _ in STRIDES)
        for head in self.scores:
            nn.init.constant_(head.bias, -4.6)
            nn.init.normal_(head.weight, std=0.01)
        for head in (*self.boxes, *self.landmarks):
            nn.init.zeros_(head.bias)
            nn.init.normal_(head.weight, std=0.01)
        for level, (stride, sides) in enumerate(zip(STRIDES, ANCHORS_PX, strict=True)):
            unit = torch.tensor([side / 2 / stride for side in sides], dtype=torch.float32).view(1, 2, 1, 1)
            self.register_buffer(f"box_unit_{level}", unit.repeat_interleave(4, dim=1), persistent=False)
            self.register_buffer(f"landmark_unit_{level}", unit.repeat_interleave(10, dim=1), persistent=False)

    def learn(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Strides joined: scores before the sigmoid (n, places), distances (n, places, 4), offsets (n, places, 10)."""
        levels = self._predict(images)
        scores, distances, offsets = (torch.cat([level[part] for level in levels], 1) for part in range(3))
        return scores.squeeze(-1), distances, offsets

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        levels = self._predict(images)
        return (
            *(torch.sigmoid(scores) for scores, _, _ in levels),
            *(distances for _, distances, _ in levels),
            *(offsets for _, _, offsets in levels),
        )

    def _predict(self, images: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        value = images
        stages = []
        for stage, refinement in zip(self.stages, self.refinements, strict=True):
            value = refinement(stage(value))
            stages.append(value)
        fine, middle, coarse = (lateral(stage) for lateral, stage in zip(self.laterals, stages[1:], strict=True))
        middle = middle + functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = fine + functional.interpolate(middle, scale_factor=2.0, mode="nearest")
        fine, middle, coarse = (mixer(level) for mixer, level in zip(self.mixers, (fine, middle, coarse), strict=True))
        middle = middle + self.downs[0](fine)
        coarse = coarse + self.downs[1](middle)
        return [self._read(level, value) for level, value in enumerate((fine, middle, coarse))]

    def _read(self, level: int, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        value = self.towers[level](value)
        scores = self.scores[level](value).float()
        distances = self.boxes[level](value).float().clamp(-4, 4).exp() * getattr(self, f"box_unit_{level}")
        offsets = self.landmarks[level](self.landmark_towers[level](value)).float()
        offsets = offsets * getattr(self, f"landmark_unit_{level}")
        return _by_place(scores, 1), _by_place(distances, 4), _by_place(offsets, 10)


def _by_place(value: Tensor, numbers: int) -> Tensor:
    return value.permute(0, 2, 3, 1).reshape(value.shape[0], -1, numbers)


def take_over(network: SmallDetector, older: Path, samples: Tensor) -> None:
    """Begin with the weights of an exported detector.

    Its batch normalisation was folded into the convolutions and has to be put back, or the network would no longer
    train well: each layer's statistics are measured on samples, and its scale and shift set so that on these samples
    it gives what the folded convolution gives. Layers the older detector did not have stay the identity.

    Args:
        network: as constructed.
        older: `det_mini.onnx` with float32 weights.
        samples: (n, 3, height, width), inputs as in training.

    Raises:
        KeyError: the file lacks a layer.
    """
    weights = {
        tensor.name: torch.tensor(numpy_helper.to_array(tensor).copy()) for tensor in onnx.load(older).graph.initializer
    }
    handles = []
    for name, module in network.named_modules():
        if name.startswith(("refinements.", "landmark_towers.")) or not isinstance(module, nn.Conv2d):
            continue
        former = _older_name(name)
        weight, bias = weights[f"{former}.weight"], weights[f"{former}.bias"]
        if module.bias is not None:
            module.weight.data.copy_(weight)
            module.bias.data.copy_(bias)
            continue
        # The scale of a normalised convolution's weights changes nothing but how fast they learn.
        size = weight.flatten(1).norm(dim=1).clamp(min=1e-8)
        module.weight.data.copy_(weight / size[:, None, None, None])
        follower = network.get_submodule(f"{name.rpartition('.')[0]}.1")
        handles.append(follower.register_forward_pre_hook(_Calibration(size, bias)))
    network.train()
    with torch.no_grad():
        network(samples)
    for handle in handles:
        handle.remove()


class _Calibration:
    """Sets a batch normalisation from the first value it is given."""

    def __init__(self, size: Tensor, bias: Tensor) -> None:
        self._size = size
        self._bias = bias

    def __call__(self, module: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(given[0], dim=(0, 2, 3), correction=0)
        module.weight.data.copy_(self._size * torch.sqrt(variance + module.eps))
        module.bias.data.copy_(self._bias + self._size * mean)
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)


def _older_name(name: str) -> str:
    for prefix, older in _OLDER_NAMES.items():
        if name.startswith(prefix):
            return older + name.removeprefix(prefix)
    raise KeyError(name)
