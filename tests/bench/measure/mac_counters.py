"""The table of docs/macs.md: MACs of six models and of single layers, by hand, by this suite and by others.

OMP_NUM_THREADS=1 uv run --with ptflops==0.7.5 --with torchinfo==1.8.0 --with thop==0.1.1.post2209072238 --with calflops==0.3.2 \
    python -m tests.bench.measure.mac_counters

The models have random weights and see one image of 224 px, or 77 tokens; the layers see 5 tokens of 8 numbers, or 3 x 8 x 8
pixels. "=" is the count by hand, to the last multiplication. The hand knows matrix products and convolutions alone.
"""

import contextlib
import importlib.metadata
import io
import warnings
from collections.abc import Callable, Iterator

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.flops import macs
from teachers import clip

VERSIONS = {
    "torch": "2.15.0",
    "timm": "1.0.31",
    "open-clip-torch": "3.3.0",
    "fvcore": "0.1.5.post20221221",
    "ptflops": "0.7.5",
    "torchinfo": "1.8.0",
    "thop": "0.1.1-2209072238",  # as its metadata spells 0.1.1.post2209072238
    "calflops": "0.3.2",
}


class Call(nn.Module):
    """A function of one tensor and the module it calls. Some counters refuse a module without parameters: it has one."""

    def __init__(self, function: Callable[[Tensor], Tensor], module: nn.Module):
        super().__init__()
        self.function, self.module = function, module
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


# What is counted


def transformer(tokens: int, width: int, blocks: int = 12) -> int:
    """A block projects to queries, keys, values and back (4 d² a token), has an MLP four times as wide (8 d²), and two
    products of attention (T d a token each)."""
    return blocks * (12 * width**2 * tokens + 2 * tokens**2 * width)


def conv(channels: int, out: int, kernel: int, side: int) -> int:
    return channels * out * kernel**2 * side**2


def resnet18() -> int:
    """He et al., 1512.03385, table 1: four stages of two blocks of two convolutions, with a 1 x 1 shortcut into the last three."""
    total = conv(3, 64, 7, 112)
    for before, width, side in ((64, 64, 56), (64, 128, 28), (128, 256, 14), (256, 512, 7)):
        total += conv(before, width, 3, side) + 3 * conv(width, width, 3, side)
        total += conv(before, width, 1, side) if width > before else 0
    return total + 512 * 1000


def densenet121() -> int:
    """Huang et al., 1608.06993, table 1: growth 32, a bottleneck of 128, transitions that halve the channels."""
    total, channels = conv(3, 64, 7, 112), 64
    for layers, side in ((6, 56), (12, 28), (24, 14), (16, 7)):
        for _ in range(layers):
            total += conv(channels, 128, 1, side) + conv(128, 32, 3, side)
            channels += 32
        if side > 7:
            total += conv(channels, channels // 2, 1, side)
            channels //= 2
    return total + channels * 1000


def models() -> Iterator[tuple[str, int, Call, Tensor]]:
    """Name, MACs by hand, model and input."""
    image = torch.zeros(1, 3, 224, 224)
    vit = transformer(197, 768) + 196 * 768**2 + 768 * 1000  # 16 x 16 x 3 numbers of a patch are 768
    towers = clip.build_full()
    for name, by_hand, module, function, given in (
        ("ViT-B/16", vit, timm.create_model("vit_base_patch16_224"), None, image),
        ("BEiT-B/16", vit, timm.create_model("beit_base_patch16_224"), None, image),
        ("CLIP image", transformer(50, 768) + 49 * 3072 * 768 + 768 * 512, towers, towers.encode_image, image),
        ("CLIP text", transformer(77, 512) + 512**2, towers, towers.encode_text, torch.zeros(1, 77, dtype=torch.long)),
        ("ResNet-18", resnet18(), timm.create_model("resnet18"), None, image),
        ("DenseNet-121", densenet121(), timm.create_model("densenet121"), None, image),
    ):
        yield name, by_hand, Call(function or module, module).eval(), given


def layers() -> Iterator[tuple[str, int, Call, Tensor]]:
    """Name, MACs by hand, layer and input: one of each kind about which the counters differ."""
    tokens, image = torch.zeros(1, 5, 8), torch.zeros(1, 3, 8, 8)
    matrix = nn.ParameterList([torch.zeros(8, 8)])
    several = nn.MultiheadAttention(8, 2, batch_first=True)
    attention = 4 * 8**2 * 5 + 2 * 5**2 * 8
    for name, by_hand, module, function, given in (
        ("nn.Linear", 8 * 8 * 5, nn.Linear(8, 8), None, tokens),
        ("F.linear(x, w)", 8 * 8 * 5, matrix, lambda x: F.linear(x, matrix[0]), tokens),
        ("x @ w", 8 * 8 * 5, matrix, lambda x: x @ matrix[0], tokens),
        ("nn.Conv2d 3 x 3", conv(3, 4, 3, 8), nn.Conv2d(3, 4, 3, padding=1), None, image),
        ("timm Attention", attention, timm.layers.Attention(8, 2, qkv_bias=True), None, tokens),
        ("nn.MultiheadAttention", attention, several, lambda x: several(x, x, x, need_weights=False)[0], tokens),
        ("nn.LayerNorm", 0, nn.LayerNorm(8), None, tokens),
        ("nn.BatchNorm2d", 0, nn.BatchNorm2d(3), None, image),
        ("nn.ReLU", 0, nn.ReLU(), None, image),
        ("nn.AdaptiveAvgPool2d(1)", 0, nn.AdaptiveAvgPool2d(1), None, image),
    ):
        yield name, by_hand, Call(function or module, module).eval(), given


# What counts


def ours(model: Call, given: Tensor) -> int:
    return macs(model, [model], given)


def of_torch(model: Call, given: Tensor, fast: bool = False) -> int:
    torch.backends.mha.set_fastpath_enabled(fast)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(given)
    torch.backends.mha.set_fastpath_enabled(True)
    return counter.get_total_flops() // 2


def of_fvcore(model: Call, given: Tensor) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, given).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(analysis.total())


def of_ptflops(model: Call, given: Tensor, backend: str = "pytorch") -> int:
    from ptflops import get_model_complexity_info

    return get_model_complexity_info(
        model,
        tuple(given.shape[1:]),
        print_per_layer_stat=False,
        as_strings=False,
        input_constructor=lambda _: given,
        backend=backend,
    )[0]


def of_thop(model: Call, given: Tensor) -> int:
    from thop import profile

    return int(profile(model, (given,), verbose=False)[0])


def of_torchinfo(model: Call, given: Tensor) -> int:
    from torchinfo import summary

    return int(summary(model, input_data=(given,), verbose=0).total_mult_adds)


def of_calflops(model: Call, given: Tensor) -> int:
    from calflops import calculate_flops

    return calculate_flops(model, args=[given], kwargs={}, print_results=False, output_as_string=False)[1]


COUNTERS: dict[str, Callable[[Call, Tensor], int]] = {
    "this suite": ours,
    "torch": of_torch,
    "torch, fast path": lambda model, given: of_torch(model, given, fast=True),
    "fvcore": of_fvcore,
    "ptflops": of_ptflops,
    "ptflops, aten": lambda model, given: of_ptflops(model, given, "aten"),
    "thop": of_thop,
    "torchinfo": of_torchinfo,
    "calflops": of_calflops,
}


def row(by_hand: int, model: Call, given: Tensor, unit: float, digits: int) -> list[str]:
    """The count by hand in this unit, and each counter's: "=" where it is the same."""
    cells = [f"{by_hand / unit:.{digits}f}"]
    for count in COUNTERS.values():
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            counted = count(model, given)
        cells.append("=" if counted == by_hand else f"{counted / unit:.{digits}f}")
    return cells


def main() -> None:
    """Print both tables. Raises :class:`SystemExit` where a package has another version than the page names."""
    for name, version in VERSIONS.items():
        if (installed := importlib.metadata.version(name)) != version:
            raise SystemExit(f"{name} {installed} is installed, the table is of {version}: run the command above it")
    torch.set_num_threads(1)
    columns = {name: row(by_hand, model, given, 1e9, 3) for name, by_hand, model, given in models()}
    print(f"| G | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for at, counter in enumerate(["by hand", *COUNTERS]):
        print(f"| {counter} | {' | '.join(cells[at] for cells in columns.values())} |")
    print(f"\n| layer | {' | '.join(['by hand', *COUNTERS])} |\n|---|{'--:|' * (len(COUNTERS) + 1)}")
    for name, by_hand, model, given in layers():
        print(f"| `{name}` | {' | '.join(row(by_hand, model, given, 1, 0))} |")


if __name__ == "__main__":
    main()
