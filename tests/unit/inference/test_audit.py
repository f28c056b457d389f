"""Which profiles prove that an accelerator was used; real ones are read in tests/integration/test_models_engine.py."""

from typing import Any

import pytest

from common.errors import ConfigurationError
from common.inference.audit import COMPUTE, audit_profile
from common.inference.devices import Device

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def kernel(provider: str, operator: str, dtype: str = "float", size: int = 4096) -> dict[str, Any]:
    shape = [{dtype: [1, size // 4]}]
    args = {"provider": provider, "op_name": operator, "output_size": str(size), "output_type_shape": shape}
    return {"cat": "Node", "name": f"{operator}_kernel_time", "args": args}


SESSION = {"cat": "Session", "name": "model_run", "args": {}}
CONV = kernel(CUDA, "Conv")


def audit(*events: dict[str, Any], device: str = "cuda:0") -> None:
    audit_profile(events, Device.parse(device).providers, name="some.onnx")


@pytest.mark.parametrize(
    "stray",
    [
        kernel(CPU, "Shape", "int64", 32),
        kernel(CPU, "Gather", "int64", 8),
        kernel(CPU, "Slice", "int32", 4096),
        kernel(CPU, "Equal", "bool", 16),
        kernel(CPU, "Concat", "float", 16),
        kernel(CUDA, "MemcpyFromHost"),
    ],
)
def test_shapes_and_factors_may_be_worked_out_on_the_cpu(stray: dict[str, Any]) -> None:
    audit(SESSION, CONV, stray)


@pytest.mark.parametrize("operator", sorted(COMPUTE))
def test_a_kernel_that_computes_may_not_run_on_the_cpu_however_small(operator: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"some.onnx: .*: 1 x {operator} on CPUExecutionProvider.* set the device"
    ):
        audit(SESSION, CONV, kernel(CPU, operator, "int64", 8))


@pytest.mark.parametrize(
    "stray",
    [
        kernel(CPU, "Relu", "float", 4096),
        kernel(CPU, "Gather", "int64", 5000),
        kernel(CPU, "Concat", "float", 68),
        kernel("SomeExecutionProvider", "Shape", "int64", 8),
        {"cat": "Node", "args": {"provider": CPU, "op_name": "Shape"}},
        {"cat": "Node", "args": {"provider": CPU, "op_name": "Shape", "output_size": "?", "output_type_shape": []}},
        {"cat": "Node", "args": {"provider": CPU, "op_name": "Shape", "output_size": "-1", "output_type_shape": []}},
    ],
)
def test_anything_else_on_the_cpu_is_refused(stray: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="gave kernels that compute to another device"):
        audit(SESSION, CONV, stray)


def test_the_message_counts_and_stays_short() -> None:
    strays = [kernel(CPU, operator) for operator in sorted(COMPUTE)] + [kernel(CPU, "Conv")] * 2
    with pytest.raises(ConfigurationError, match=r"3 x Conv on CPU.*, …\. Use a graph") as caught:
        audit(CONV, *strays)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("events", [(), (SESSION,), (SESSION, kernel(CPU, "Shape", "int64", 8))])
def test_a_profile_without_one_kernel_of_the_device_proves_nothing(events: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ConfigurationError, match="not one kernel of the warm-up ran on CUDAExecutionProvider"):
        audit(*events)


def test_cuda_may_take_what_tensorrt_leaves_but_not_the_other_way_round() -> None:
    audit(kernel(TENSORRT, "TRTKernel_graph_main"), kernel(CUDA, "Resize"), device="tensorrt:0")
    with pytest.raises(ConfigurationError, match="1 x TRTKernel"):
        audit(CONV, kernel(TENSORRT, "TRTKernel"), device="cuda:0")
