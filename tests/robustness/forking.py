"""Runs the benchmark many times for the price of one start: imports everything, then forks a process for each run.

Reads a JSON list of :class:`Order` a line and answers with a list of :class:`Ran`. It computes nothing itself: threads of
libraries would not survive a fork.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

# Imported before the first fork: all that a run would import itself.
MODULES = (
    "fvcore.nn", "matplotlib.backends.backend_svg", "open_clip", "rich.console", "rich.table", "scipy.optimize", "timm",
    "torch._dynamo", "torchvision.transforms.v2", "transformers.models.blip.modeling_blip", "hypothesis",
    "_hypothesis_pytestplugin", "pytest_benchmark.plugin", "xdist.plugin", "bench.run.session", "bench.run.selection",
    "bench.report.plots", "bench.data.shapes", "bench.data.scenes", "students.projection", "teachers.blip", "teachers.dino",
)  # fmt: skip
# What Python tells its audit hooks of changes to files.
OPERATIONS = ("open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir")
LONGEST_SECONDS = 1800  # of a run; one that hangs is aborted


@dataclass(frozen=True)
class Order:
    """One run: pytest's arguments, the folders that it writes to, and what befalls it.

    It gets ``signal`` after ``seconds``, or just before its ``operation``-th change to a file in its folders; files longer
    than ``largest_bytes`` cannot be written. What is None does not happen.
    """

    words: list[str]
    folders: list[str]
    signal: int = signal.SIGKILL
    seconds: float | None = None
    operation: int | None = None
    largest_bytes: int | None = None


@dataclass(frozen=True)
class Ran:
    """How it ended: the exit status (negative: the signal that ended it), the seconds it took, and what it printed."""

    status: int
    seconds: float
    output: str


def fork(order: Order) -> tuple[int, int]:
    """Start the run; returns its process and where its output can be read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.set_blocking(reading, False)
        return child, reading
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 1
    try:
        if order.largest_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest_bytes, order.largest_bytes))
        if order.operation is not None:
            strike_at(order.operation, order.signal, tuple(order.folders))
        import pytest

        status = int(pytest.main(order.words))
        sys.stdout.flush()
    finally:
        # Not through the end of the parent, whose code this is.
        os._exit(status)


def strike_at(operation: int, number: int, folders: tuple[str, ...]) -> None:
    """Send this process a signal just before its n-th change to a file in ``folders``."""
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event not in OPERATIONS or not isinstance(arguments[0], str | os.PathLike):
            return
        writes = event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes and os.fspath(arguments[0]).startswith(folders):
            seen += 1
            if seen == operation:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def wait(child: int, reading: int, order: Order) -> Ran:
    """Strike when it is time to, and wait for the end."""
    start, output = time.monotonic(), b""
    strikes = [(LONGEST_SECONDS, signal.SIGABRT)]
    if order.seconds is not None:
        strikes.insert(0, (order.seconds, order.signal))
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        output += _ready(reading)
        spent = time.monotonic() - start
        if ended:
            os.close(reading)
            return Ran(os.waitstatus_to_exitcode(status), spent, output.decode(errors="replace"))
        if strikes and spent >= strikes[0][0]:
            os.kill(child, strikes.pop(0)[1])
        time.sleep(0.002)


def _ready(reading: int) -> bytes:
    try:
        return os.read(reading, 2**20)
    except BlockingIOError:
        return b""


def serve() -> None:
    """Answer orders until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.path.insert(0, str(Path.cwd()))
    for name in MODULES:
        import_module(name)
    # Timings are compared nowhere: one call of what is timed is enough.
    timing = sys.modules["bench.measure.timing"]
    timing.ENOUGH_SECONDS = timing.THROUGHPUT_SECONDS = 1e-9
    gc.freeze()  # what is here already need not be looked through again and again
    print("ready", file=answers)
    for line in sys.stdin:
        orders = [Order(**each) for each in json.loads(line)]
        begun = [fork(order) for order in orders]
        ran = [asdict(wait(*each, order)) for each, order in zip(begun, orders, strict=True)]
        print(json.dumps(ran), file=answers)


if __name__ == "__main__":
    serve()
