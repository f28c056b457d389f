"""The small age and gender network, in the shape of InsightFace's `genderage`."""

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from training.embedder import InvertedResidual, activated, convolution
from training.labels import SIDE_PX

MEAN: Final = 127.5
DEVIATION: Final = 64.0


class AgeGender(nn.Module):
    """(n, 3, 96, 96) RGB, 0 to 255, to (n, 3): female logit, male logit, age / 100."""

    def __init__(
        self, widths: tuple[int, int, int, int] = (24, 40, 72, 96), blocks: tuple[int, int, int] = (1, 3, 2)
    ) -> None:
        super().__init__()
        stem, *others = widths
        layers: list[nn.Module] = [activated(convolution(3, stem, 3, stride=2))]
        for before, width, count in zip(widths, others, blocks, strict=False):
            layers.append(activated(convolution(before, width, 3, stride=2)))
            layers.extend(InvertedResidual(width, 2 * width) for _ in range(count))
        head = 2 * widths[-1]
        layers.append(activated(convolution(widths[-1], head, 1)))
        layers.append(convolution(head, head, SIDE_PX // 16, groups=head))
        # Every place of the last map has its own weight, as a face's parts have theirs.
        layers[-1][0].padding = (0, 0)
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.answer = nn.Linear(head, 3)
        nn.init.constant_(self.answer.bias, 0.0)
        self.answer.bias.data[2] = 0.45

    def learn(self, images: Tensor) -> Tensor:
        """`forward` of images that were normalised already."""
        return self.answer(self.dropout(self.layers(images).flatten(1)).float())

    def forward(self, images: Tensor) -> Tensor:
        # InsightFace looks for a subtraction and a multiplication by name to see that the graph normalises by itself.
        return self.learn((images - MEAN) * torch.tensor(np.float32(1 / DEVIATION)))
