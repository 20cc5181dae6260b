"""Which devices there are: ``--device`` and ``--precision``."""

import torch

from bench.kit import environment
from bench.kit.errors import UserError


class DeviceError(UserError):
    """The device or precision that was asked for is not there; the message says what is."""


def for_worker(name: str, worker: str | None, count: int) -> str:
    """The device ``name`` for one of several processes that share the work.

    ``worker`` is xdist's name of this process ("gw0", "gw1", ...; None: there is one process), ``count`` how many CUDA
    devices the caller made visible. Workers take them in turn, unless a device was named.
    """
    if worker is None or count == 0 or name not in ("auto", "cuda"):
        return name
    return f"cuda:{int(worker.removeprefix('gw')) % count}"


def find(name: str, precision: str) -> tuple[torch.device, str, str]:
    """A device, and the precisions of the teacher's pass and of training; nothing is set, and no memory taken, there.

    Raises :class:`DeviceError` where there is no such device.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name}: {str(error).splitlines()[0]}") from None
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(f"--device {name}: {count} CUDA devices are visible here; use --device cpu or auto")
        device = torch.device("cuda", device.index or 0)
    if precision == "auto":
        return device, *(("bf16", "tf32") if device.type == "cuda" else ("fp32", "fp32"))
    if precision == "tf32" and device.type == "cpu":
        raise DeviceError("--precision tf32 is for CUDA devices; on a CPU use fp32 or bf16")
    return device, precision, precision


def machine(device: torch.device) -> str:
    """What decides how long work on ``device`` takes in this process, but for its precision."""
    facts = {"device": name_of(device), "processor": environment.processor(), "threads": torch.get_num_threads()}
    return environment.machine(facts)


def name_of(device: torch.device) -> str:
    """The device as its maker calls it; "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
