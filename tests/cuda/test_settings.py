"""What makes CUDA fast, and what keeps figures exact there, is set: looked at on the pretended device."""

import pytest
import torch

from bench.kit.device import Device
from tests.bench.training import runs
from tests.cuda.pretended import CUDA, pretended
from tests.cuda.test_waits import on_cuda

CNNS = ["scenes-blip-resnet-5ep", "shapes-dino-densenet-5ep"]


@pytest.fixture
def flags():
    """What a device sets for the whole process is put back after the test."""
    backends = torch.backends
    before = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark
    yield
    backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark = before


def run_on_cuda(folder, name="scenes-clip-attention-5ep", **options):
    case = runs.case(name)
    return runs.run(folder, case, data=on_cuda(runs.features(case.kind == "captions")), **options)


def kernels(module):
    """The weights of convolutions whose order of channels can be told."""
    return [weight for weight in module.parameters() if weight.ndim == 4 and min(weight.shape[1], weight.shape[2]) > 1]


def is_channels_last(tensor):
    """By its strides: values of one pixel's channels lie side by side, though there are several pixels."""
    return tensor.stride(1) == 1 and tensor.stride(3) == tensor.shape[1]


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_the_optimiser_is_fused_on_cuda_only(tmp_path, precision):
    case = runs.case()
    here = runs.run(tmp_path / "cpu", case)
    with pretended():
        there = run_on_cuda(tmp_path / "cuda", mixed=precision == "bf16")
        kernels_run = []
        with pytest.MonkeyPatch.context() as patch:
            fused = torch._fused_adamw_
            patch.setattr(torch, "_fused_adamw_", lambda *them, **words: kernels_run.append(1) or fused(*them, **words))
            there.epoch()
    assert all(group["fused"] for group in there.optimiser.param_groups) and kernels_run
    assert not any(group["fused"] for group in here.optimiser.param_groups)


@pytest.mark.parametrize("name", CNNS)
def test_kernels_their_states_and_the_images_are_channels_last_on_cuda_also_after_a_restart(tmp_path, name):
    with pretended():
        run_on_cuda(tmp_path, name).epoch()
        run = run_on_cuda(tmp_path, name)
        run.epoch()
        seen = []
        trunk = run.student.image_tower.trunk
        trunk.register_forward_pre_hook(lambda _, inputs: seen.append(is_channels_last(inputs[0])))
        run.epoch()
        assert run.epochs_done == 2 and seen and all(seen)
        assert len(kernels(run.student)) > 8 and next(trunk.parameters()).device == CUDA
        assert all(is_channels_last(weight) for weight in kernels(run.student))
        states = [run.optimiser.state[weight] for weight in kernels(run.student)]
        assert all(is_channels_last(state[key]) for state in states for key in ("exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize(("precision", "fast"), [("auto", True), ("tf32", True), ("bf16", True), ("fp32", False)])
def test_float32_matrices_are_multiplied_in_tf32_unless_all_is_fp32(flags, precision, fast):
    """Whatever another device of this process has set before."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not fast
    torch.backends.cudnn.benchmark = False
    with pretended():
        Device.of("cuda", precision)
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == fast
    assert torch.get_float32_matmul_precision() == ("high" if fast else "highest")
    assert torch.backends.cudnn.benchmark


@pytest.mark.parametrize("name", ["scenes-clip-attention-5ep", *CNNS])
def test_bf16_is_for_forward_passes_weights_gradients_and_the_optimiser_stay_in_float32(tmp_path, name):
    with pretended():
        mixed = Device.of("auto", "bf16").mixed
        run = run_on_cuda(tmp_path, name, mixed=mixed)
        passes = []
        for module in run.student.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                module.register_forward_hook(lambda _, inputs, output: passes.append(output.dtype))
        run.epoch()
        assert set(passes) == {torch.bfloat16}
        parameters = [*run.student.parameters(), *run.criterion.parameters()]
        states = [value for state in run.optimiser.state.values() for value in state.values()]
        assert len(states) == 3 * len(run.optimiser.state) > 0
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        assert {value.dtype for value in [*parameters, *gradients, *states]} == {torch.float32}
