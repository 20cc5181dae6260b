"""Which device works, and how precisely."""

import pytest

from bench.features.precision import Device


@pytest.mark.parametrize(("asked", "used"), [("auto", "fp32"), ("bf16", "bf16")])
def test_the_precision_of_a_cpu(asked, used):
    device = Device.of("cpu", asked)
    assert (device.torch.type, device.mixed) == ("cpu", used == "bf16")
    assert device.described()["precision"] == {"teacher": used, "training": used}
