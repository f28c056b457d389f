"""The small embedder: a MobileFaceNet whose stages end where the teacher's end, and that ONNX Runtime runs fast."""

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

DIM: Final = 128
OUTPUT_DIM: Final = 512
_LEAK: Final = 0.1
_LIFT_SEED: Final = 7


def convolution(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation, no activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


def activated(*layers: nn.Module) -> nn.Sequential:
    """Layers, then a leaky ReLU: ONNX Runtime fuses it into the convolution before it, which it does not with PReLU."""
    return nn.Sequential(*layers, nn.LeakyReLU(_LEAK, inplace=True))


class InvertedResidual(nn.Module):
    """1x1 up, 3x3 depthwise, 1x1 down, added to the input (Sandler et al., MobileNetV2, 2018)."""

    def __init__(self, channels: int, expanded: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            activated(convolution(channels, expanded, 1)),
            activated(convolution(expanded, expanded, 3, groups=expanded)),
            convolution(expanded, channels, 1),
        )

    def forward(self, value: Tensor) -> Tensor:
        return value + self.layers(value)


class Embedder(nn.Module):
    """(n, 3, 112, 112) RGB, (value - 127.5) / 127.5, to (n, 512).

    Stages are halved by dense convolutions: on a CPU the backward pass of a strided depthwise convolution in bfloat16
    is pathologically slow. The 128 numbers that are learnt are lifted to 512 by a fixed orthonormal matrix, which
    changes no cosine.
    """

    def __init__(self, blocks: tuple[int, int, int] = (2, 4, 2), expansion: int = 2, head: int = 512) -> None:
        super().__init__()
        widths = (64, 128, 128)
        self.stem = activated(convolution(3, 32, 3, stride=2))
        before = (32, *widths)
        self.stages = nn.ModuleList(
            nn.Sequential(
                convolution(before[index], width, 3, stride=2),
                *(InvertedResidual(width, expansion * width) for _ in range(count)),
            )
            for index, (width, count) in enumerate(zip(widths, blocks, strict=True))
        )
        self.head = activated(convolution(widths[-1], head, 1))
        self.pool = nn.Sequential(nn.Conv2d(head, head, 7, groups=head, bias=False), nn.BatchNorm2d(head))
        self.project = nn.Linear(head, DIM)
        lift, _ = np.linalg.qr(np.random.default_rng(_LIFT_SEED).standard_normal((OUTPUT_DIM, DIM)))
        self.register_buffer("lift", torch.tensor(lift, dtype=torch.float32))

    def learn(self, images: Tensor, guides: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """The 128 numbers, and the output of every stage.

        Args:
            images: (n, 3, 112, 112).
            guides: the teacher's stages, each of which takes the place of this network's own as the next one's input.
        """
        value = self.stem(images)
        outputs = []
        for index, stage in enumerate(self.stages):
            output = stage(value)
            outputs.append(output)
            value = output if guides is None else guides[index]
        return self.project(self.pool(self.head(value)).flatten(1)), outputs

    def forward(self, images: Tensor) -> Tensor:
        return functional.linear(self.learn(images)[0], self.lift)
