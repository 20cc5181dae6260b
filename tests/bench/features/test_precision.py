"""Which device works, and how precisely."""

from bench.features.precision import Device


def test_auto_is_single_precision_on_a_cpu():
    device = Device.of("cpu", "auto")
    assert (device.torch.type, device.mixed) == ("cpu", False)
    assert device.described()["precision"] == {"teacher": "fp32", "training": "fp32"}


def test_bf16_trains_mixed_and_is_described():
    device = Device.of("cpu", "bf16")
    assert device.mixed and device.described()["precision"] == {"teacher": "bf16", "training": "bf16"}
