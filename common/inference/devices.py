"""Where networks run: `cpu`, `cuda:N` or `tensorrt:N`."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self, cast

from common.errors import ConfigurationError

Kind = Literal["cpu", "cuda", "tensorrt"]

#: ONNX Runtime's names of what runs the nodes of a graph.
CPU_PROVIDER: Final = "CPUExecutionProvider"
CUDA_PROVIDER: Final = "CUDAExecutionProvider"
TENSORRT_PROVIDER: Final = "TensorrtExecutionProvider"

_PROVIDERS: Final[dict[Kind, tuple[str, ...]]] = {
    "cpu": (CPU_PROVIDER,),
    "cuda": (CUDA_PROVIDER,),
    # What TensorRT cannot take, CUDA does.
    "tensorrt": (TENSORRT_PROVIDER, CUDA_PROVIDER),
}


@dataclass(frozen=True, slots=True)
class Device:
    """One processor.

    Attributes:
        kind: what it is, and by which library it is used.
        index: which of them; 0 for `cpu`.
    """

    kind: Kind
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a setting.

        Raises:
            ConfigurationError: it names no device.
        """
        if text == "cpu":
            return cls("cpu")
        match = re.fullmatch(r"(cuda|tensorrt):(\d{1,3})", text)
        if match is None:
            raise ConfigurationError(f"{text!r} is not a device; say cpu, cuda:0 or tensorrt:0")
        return cls(cast(Kind, match[1]), int(match[2]))

    def __str__(self) -> str:
        return self.kind if self.is_cpu else f"{self.kind}:{self.index}"

    @property
    def is_cpu(self) -> bool:
        """Whether it is the processor itself, and no accelerator."""
        return self.kind == "cpu"

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers that may compute here; the first must be active, or the device is not in use."""
        return _PROVIDERS[self.kind]
