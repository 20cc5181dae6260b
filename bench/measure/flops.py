"""Multiply-accumulates (MACs), which the field often calls FLOPs; FLOPs proper are about twice that.

Cases are counted with fvcore. Full-size models are counted on the meta device, where fvcore cannot trace, with
PyTorch's own counter; a test holds the two together. They differ by convention: fvcore adds normalisation layers and
adaptive pooling (ResNet-18: 1.819 G against 1.814 G); neither counts activations and softmax.

Three traps are handled here. fvcore knows no ``scaled_dot_product_attention``: a handle counts its two products. It knows
no recurrent layers, nor does PyTorch's counter: of a case a handle counts them. And PyTorch's attention fast path hides a
whole attention from any counter: it is switched off while counting.
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


class _Calls(nn.Module):
    """A function as a module, so that it can be traced with all modules it uses counted by their parameters."""

    def __init__(self, function: Callable[..., Tensor], modules: list[nn.Module]):
        super().__init__()
        self.function, self.used = function, nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


@torch.no_grad()
def macs(function: Callable[..., Tensor], modules: list[nn.Module], *inputs: Tensor) -> int:
    """MACs of one call ``function(*inputs)``, which may use ``modules`` and nothing else with parameters.

    Inputs should hold a single sample. The modules are put into eval mode.
    """
    from fvcore.nn import FlopCountAnalysis

    call = _Calls(function, modules).eval()
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with warnings.catch_warnings(), _without_fast_path():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(call, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
        analysis.set_op_handle(*chain.from_iterable((f"aten::{name}", _recurrent_macs) for name in RECURRENT))
        return int(analysis.total())


@torch.no_grad()
def macs_without_weights(function: Callable[..., Tensor], *inputs: Tensor) -> int:
    """MACs of one call on the meta device: modules in eval mode and inputs without data."""
    from torch.utils.flop_counter import FlopCounterMode

    with _without_fast_path(), FlopCounterMode(display=False) as counter:
        function(*inputs)
    return counter.get_total_flops() // 2


@contextmanager
def _without_fast_path() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _attention_macs(inputs: list, outputs: list) -> int:
    """Q K^T and the product with V, for queries ``[..., L, D]``, keys ``[..., S, D]`` and values ``[..., S, V]``."""
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
    *batch, length, width = query
    return math.prod(batch) * length * key[-2] * (width + value[-1])


def _recurrent_macs(inputs: list, outputs: list) -> int:
    """Every weight of a recurrent layer meets each time step of each sequence once: ``[B, T, I]`` or ``[T, B, I]``."""
    first, second, _ = inputs[0].type().sizes()
    weights = (value.type().sizes() for value in inputs[2].node().inputs())
    return first * second * sum(math.prod(shape) for shape in weights if len(shape) > 1)
