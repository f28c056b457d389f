"""Was the accelerator really used? Answered from ONNX Runtime's profile of the warm-up.

ONNX Runtime hands every node that a provider cannot take to the CPU, without a word. Nodes that only work out shapes
belong there; a convolution there makes the network many times slower than was asked for.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from common.errors import ConfigurationError
from common.inference.devices import CPU_PROVIDER

#: What computes features; never allowed on the CPU, however small.
COMPUTE: Final = frozenset(
    {
        "Attention",
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "InstanceNormalization",
        "LayerNormalization",
        "MatMul",
        "MaxPool",
        "PRelu",
        "Resize",
        "Upsample",
    }
)

#: Shapes and indices are integers, and there are never many of them.
_MAX_SHAPE_BYTES: Final = 4096

#: The factors of a Resize are worked out as a few floats.
_MAX_FACTORS_BYTES: Final = 64

_NAMED: Final = 5


def audit_profile(events: Sequence[Mapping[str, Any]], allowed: Sequence[str], *, name: str) -> None:
    """Refuse a network whose work was not done where it should be.

    Args:
        events: ONNX Runtime's profile, read from its JSON file; it must cover a run of every size that will be used.
        allowed: execution providers that may compute.
        name: the network, for the message.

    Raises:
        ConfigurationError: no kernel ran on `allowed`, or some that compute ran elsewhere; names them.
    """
    kernels = [event for event in events if event.get("cat") == "Node" and event.get("args", {}).get("provider")]
    if not any(kernel["args"]["provider"] in allowed for kernel in kernels):
        ran = ", ".join(sorted({kernel["args"]["provider"] for kernel in kernels})) or "nothing"
        raise ConfigurationError(
            f"{name}: not one kernel of the warm-up ran on {' or '.join(allowed)}, but on {ran}. "
            "Repair the driver and its libraries, or set the device to cpu"
        )
    strays = [
        kernel["args"]
        for kernel in kernels
        if kernel["args"]["provider"] not in allowed
        and not (kernel["args"]["provider"] == CPU_PROVIDER and _is_bookkeeping(kernel["args"]))
    ]
    if strays:
        raise ConfigurationError(
            f"{name}: ONNX Runtime gave kernels that compute to another device than {' or '.join(allowed)}: "
            f"{_listed(strays)}. Use a graph whose operators the device has, or set the device to cpu"
        )


def _is_bookkeeping(args: Mapping[str, Any]) -> bool:
    """Whether a kernel only works out shapes, indices or factors."""
    try:
        size = int(args["output_size"])
        dtypes = {dtype for output in args["output_type_shape"] for dtype in output}
    except (KeyError, TypeError, ValueError):
        return False
    if args.get("op_name") in COMPUTE or size < 0:
        return False
    limit = _MAX_SHAPE_BYTES if dtypes <= {"int32", "int64", "bool"} else _MAX_FACTORS_BYTES
    return size <= limit


def _listed(strays: Iterable[Mapping[str, Any]]) -> str:
    counts = Counter((str(args.get("op_name")), str(args["provider"])) for args in strays)
    named = [f"{count} x {operator} on {provider}" for (operator, provider), count in counts.most_common(_NAMED)]
    return ", ".join(named) + (", …" if len(counts) > _NAMED else "")
