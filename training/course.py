"""A training that a kill does not undo: the network, its running average, the optimiser, and how far they have come."""

import math
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

WARM_UP_STEPS: Final = 200


class Course:
    """Everything that changes while a network learns.

    Args:
        network: what learns, in training mode.
        averaged: another one of its kind, for the running average of its weights.
        checkpoint: file that everything is kept in.
        learning_rate: at the top of the cosine.
        weight_decay: of kernels; scales, shifts and biases have none.
        averaged_steps: about how many steps the average reaches back.
        max_norm: longest gradient.
        last_rate: share of the learning rate that is left at the end.
    """

    def __init__(
        self,
        network: nn.Module,
        averaged: nn.Module,
        checkpoint: Path,
        *,
        learning_rate: float,
        weight_decay: float,
        averaged_steps: int,
        max_norm: float = 5.0,
        last_rate: float = 0.01,
    ) -> None:
        self.network = network.train()
        self.averaged = averaged.eval()
        self.elapsed_s = 0.0
        self.step = 0
        self._checkpoint = checkpoint
        self._learning_rate = learning_rate
        self._averaged_steps = averaged_steps
        self._max_norm = max_norm
        self._last_rate = last_rate
        self._parameters = list(network.parameters())
        self._optimiser = torch.optim.AdamW(
            [
                {"params": [value for value in self._parameters if value.ndim > 1], "weight_decay": weight_decay},
                {"params": [value for value in self._parameters if value.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=learning_rate,
        )

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one; else the average begins where the network is."""
        if not self._checkpoint.exists():
            self.averaged.load_state_dict(self.network.state_dict())
            return False
        state = torch.load(self._checkpoint, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.elapsed_s, self.step = state["elapsed_s"], state["step"]
        return True

    def learn(self, loss: torch.Tensor, progress: float) -> None:
        """One step down the loss.

        Args:
            loss: scalar.
            progress: share of the training that is over, 0 to 1; the learning rate follows a cosine over it.
        """
        warm = min(1, (self.step + 1) / WARM_UP_STEPS)
        share = self._last_rate + (1 - self._last_rate) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate * warm * share
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, self._max_norm)
        self._optimiser.step()
        keep = min(1 - 1 / self._averaged_steps, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            for slow, fast in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
                slow.lerp_(fast, 1 - keep) if slow.dtype.is_floating_point else slow.copy_(fast)
        self.step += 1

    def save(self) -> None:
        """Keep everything; a kill while writing leaves the former checkpoint."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "elapsed_s": self.elapsed_s,
            "step": self.step,
        }
        unfinished = self._checkpoint.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(self._checkpoint)
