"""Names of devices."""

import pytest

from common.errors import ConfigurationError
from common.inference.devices import Device


@pytest.mark.parametrize(
    ("text", "device", "first"),
    [
        ("cpu", Device("cpu"), "CPUExecutionProvider"),
        ("cuda:0", Device("cuda", 0), "CUDAExecutionProvider"),
        ("cuda:12", Device("cuda", 12), "CUDAExecutionProvider"),
        ("tensorrt:1", Device("tensorrt", 1), "TensorrtExecutionProvider"),
    ],
)
def test_a_device_is_read_and_written(text: str, device: Device, first: str) -> None:
    assert Device.parse(text) == device
    assert str(device) == text
    assert device.providers[0] == first
    assert device.is_cpu == (text == "cpu")


@pytest.mark.parametrize(
    "text", ["", "gpu", "cuda", "cuda:", "cuda:x", "cpu:0", "tensorrt", "cuda:-1", " cuda:0", "cuda:0000"]
)
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a device; say cpu, cuda:0 or tensorrt:0"):
        Device.parse(text)
