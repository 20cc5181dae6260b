"""A CUDA device that is not there: its tensors are computed on the CPU, and handled as strictly as CUDA's.

A tensor that is brought to :data:`CUDA` says that it is there. Operations on it are computed with the CPU's kernels; one
whose tensors lie on both sides is refused, as on a real device, and what would make the host wait for the device is noted:
reading a value, a result whose shape depends on values, a solver's status, a copy that is not from or to pinned memory,
rows that are picked by numbers on the CPU.

Kernels, memory, random numbers and the order of streams are not pretended; autocast has the CPU's lists; a number without
dimensions may always come from the CPU, which CUDA allows in arithmetic only; a gradient never flows back to the CPU.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda", 0)
COPIES = ("_to_copy", "copy_")
SHAPED_BY_VALUES = (
    "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave",
)  # fmt: skip
SOLVERS = ("_linalg_eigh", "_linalg_svd", "_linalg_solve_ex", "linalg_lstsq")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class There(Tensor):
    """A tensor on :data:`CUDA`; ``held`` has its values."""

    @staticmethod
    def __new__(cls, held: Tensor) -> "There":
        # To C++ it lies on the CPU, so that autograd's engine asks no driver; Python is told otherwise.
        facts = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = Tensor._make_wrapper_subclass(cls, held.shape, **facts, device="cpu")
        made.held = held
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self, **_) -> str:
        return f"There({self.held!r})"

    def pin_memory(self, *_) -> Tensor:
        raise RuntimeError("cannot pin a tensor of CUDA: only dense CPU tensors can be pinned")

    def to(self, *args, copy: bool = False, **kwargs) -> Tensor:
        device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        if device is None or device.type == "cuda":
            layout = {} if memory_format is None else {"memory_format": memory_format}
            return super().to(dtype=dtype or self.dtype, copy=copy, **layout)
        return torch.ops.aten._to_copy(self, dtype=dtype, device=device, non_blocking=non_blocking)

    def quantile(self, *args, **kwargs) -> Tensor:
        # It makes tensors of its own, which C++ would put where it believes this one to be.
        return There(self.held.quantile(*args, **kwargs))

    def new_tensor(self, values, **kwargs) -> Tensor:
        return torch.tensor(values, **kwargs).to(CUDA)

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def record_stream(self, stream) -> None:
        pass

    def tolist(self) -> list:
        return self.cpu().tolist()

    def numpy(self, **_):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        raise RuntimeError(f"{operation} outside of pretended()")


class Device(TorchDispatchMode):
    """Computes what happens on :data:`CUDA`, and notes in ``waits`` what the host would wait for."""

    def __init__(self, waits: list[str]):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).index not in (None, CUDA.index):
            raise RuntimeError(f"CUDA error: invalid device ordinal: {kwargs['device']}")
        name = operation.overloadpacket.__name__
        if torch._C._current_graph_task_id() != -1:
            args, kwargs = _in_backward(name, args, kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, There)]
        asked = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
        if not there and (asked is None or asked.type == "cpu"):
            pinned = kwargs.pop("pin_memory", False)
            result = operation(*args, **kwargs)
            return _marked(result) if pinned else result
        self._check(operation, name, tensors, there, args)
        self._note(name, args, kwargs, asked)
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        if kwargs.pop("pin_memory", False):
            raise RuntimeError("only dense CPU tensors can be pinned")
        held = {id(tensor.held): tensor for tensor in there}
        plain_args, plain_kwargs = tree_map_only(There, lambda tensor: tensor.held, (args, kwargs))
        result = operation(*plain_args, **plain_kwargs)
        if name == "copy_":
            return args[0]
        if asked is not None and asked.type == "cpu":
            return result
        return tree_map_only(Tensor, lambda tensor: held[id(tensor)] if id(tensor) in held else There(tensor), result)

    def _check(self, operation, name: str, tensors: list[Tensor], there: list[Tensor], args: tuple) -> None:
        """Raise as PyTorch does where tensors lie apart. Numbers without dimensions may come from the CPU."""
        if name in COPIES or not there:
            return
        apart = [tensor for tensor in tensors if not isinstance(tensor, There) and tensor.ndim]
        if name in INDEXING and isinstance(args[0], There):
            apart = [tensor for tensor in apart if any(tensor is value for value in args[2:])]
        if apart:
            raise RuntimeError(f"{operation}: expected all tensors to be on the same device, but found cuda:0 and cpu")

    def _note(self, name: str, args: tuple, kwargs: dict, asked) -> None:
        if name in ("_local_scalar_dense", "equal"):
            self.waits.append("a value is read")
        elif name in SOLVERS:
            self.waits.append(f"{name}: its status is read")
        elif name in SHAPED_BY_VALUES:
            self.waits.append(f"{name}: the result's shape depends on values")
        elif name in INDEXING:
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                self.waits.append(f"{name}: the result's shape depends on values")
            elif any(not isinstance(index, There) for index in indices):
                self.waits.append(f"{name} by numbers on the CPU")
        elif name in ("_to_copy", "copy_"):
            self._note_copy(name, args, kwargs, asked)

    def _note_copy(self, name: str, args: tuple, kwargs: dict, asked) -> None:
        source = args[1] if name == "copy_" else args[0]
        if name == "copy_":
            target = args[0].device
            waits_not = (args[2:] and args[2]) or kwargs.get("non_blocking", False)
            ours = source if target.type == "cuda" else args[0]
        else:
            target, waits_not, ours = asked or source.device, kwargs.get("non_blocking", False), source
        if source.device.type == target.type:
            return
        if not (waits_not and getattr(ours, "is_pretended_pinned", False)):
            self.waits.append(f"a copy of {list(source.shape)} from {source.device.type} to {target.type}")


def _in_backward(name: str, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments as on a real device: C++ makes some gradients anew, and where it believes what they are of.

    Those of conversions, of picked rows and of weights in another memory format than they.
    """
    if name in ("_to_copy", "new_empty_strided") and isinstance(args[0], There):
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
    if name == "index_put" and isinstance(args[2], There) and not isinstance(args[0], There):
        args = There(args[0]), *args[1:]
    return args, kwargs


def _pin(tensor: Tensor, *_) -> Tensor:
    return _marked(tensor.clone())


def _marked(tensor: Tensor) -> Tensor:
    tensor.is_pretended_pinned = True
    return tensor


def _grouped(lists: list, *args, group=torch._C._group_tensors_by_device_and_dtype) -> dict:
    """What C++ groups, under the devices that the tensors say they are on."""
    return {(found[0][0][0].device, dtype): found for (_, dtype), found in group(lists, *args).items()}


class _Queue:
    """Stands for streams and events: everything is done at once, so each wait is over."""

    def __init__(self, *_, **__):
        self.device = CUDA

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def record_event(self, event=None):
        return _Queue()

    def wait_event(self, event):
        assert isinstance(event, _Queue)

    def wait_stream(self, stream):
        assert isinstance(stream, _Queue)

    def synchronize(self):
        pass

    def is_capturing(self):
        return False


@contextmanager
def pretended() -> Iterator[Device]:
    """Inside, one CUDA device can be seen and used."""
    replaced = {
        "_lazy_init": lambda: None, "is_available": lambda: True, "device_count": lambda: 1, "set_device": lambda device: None,
        "current_device": lambda: 0, "get_device_name": lambda *_: "pretended CUDA", "synchronize": lambda *_: None,
        "empty_cache": lambda: None, "mem_get_info": lambda *_: (2**34, 2**34), "memory_reserved": lambda *_: 0,
        "memory_allocated": lambda *_: 0, "max_memory_allocated": lambda *_: 2**20,
        "reset_peak_memory_stats": lambda *_: None, "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None, "Stream": _Queue, "Event": _Queue, "stream": lambda stream: stream,
        "current_stream": lambda *_: _Queue(), "is_bf16_supported": lambda *_: True, "manual_seed_all": lambda *_: None,
        "is_current_stream_capturing": lambda: False, "get_device_properties": lambda *_: None,
    }  # fmt: skip
    autocast = torch.autocast

    def on_cpu(device_type: str, *args, **kwargs):
        return autocast("cpu", *args, **kwargs)

    waits: list[str] = []
    run = threading.Thread.run

    def run_inside(thread: threading.Thread) -> None:
        with Device(waits):  # modes are each thread's own
            run(thread)

    with ExitStack() as stack:
        stack.enter_context(patch.object(threading.Thread, "run", run_inside))
        for name, value in replaced.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        stack.enter_context(patch.object(torch.accelerator, "current_stream", replaced["current_stream"]))
        stack.enter_context(patch.object(torch._C, "_group_tensors_by_device_and_dtype", _grouped))
        stack.enter_context(patch.object(Tensor, "pin_memory", _pin))
        stack.enter_context(patch.object(torch, "autocast", on_cpu))
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, False)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        yield stack.enter_context(Device(waits))
