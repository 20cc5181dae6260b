"""Runs pytest many times for the price of one start: imports everything, then forks a process for each run.

Reads a JSON list of :class:`Order` a line and answers with a list of :class:`Ran`. It computes nothing itself: threads of
libraries would not survive a fork.
"""

import gc
import json
import os
import resource
import runpy
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from _pytest.config import default_plugins

ROOT = Path(__file__).resolve().parent.parent
# Imported before the first fork: all that a run would import itself.
MODULES = (
    "fvcore.nn", "matplotlib.backends.backend_svg", "open_clip", "rich.console", "rich.table", "scipy.optimize", "timm",
    "torch._dynamo", "torchvision.transforms.v2", "transformers.models.blip.modeling_blip",
    *(f"_pytest.{name}" for name in default_plugins), "pytest_benchmark.storage.file", "pytest_benchmark.hookspec", "pdb", "tomllib",
    "xdist.looponfail", "xdist.newhooks", "hypothesis", "matplotlib.figure", "students.cbam",
    "bench.pytest_plugin", "bench.run.session", "bench.run.selection", "bench.run.serial", "bench.run.worker",
    "bench.report.plots", "bench.data.shapes", "bench.data.scenes", "students.projection", "teachers.blip", "teachers.dino",
)  # fmt: skip
# What is measured of a student, where that is not what is tested: one call of what is timed, one regularisation of a probe.
LITTLE = (
    ("bench.measure.timing", "ENOUGH_SECONDS", 1e-9),
    ("bench.measure.timing", "THROUGHPUT_SECONDS", 1e-9),
    ("bench.measure.probe", "REGULARISATIONS", (0.1,)),
    ("bench.run.processes", "METHOD", "fork"),  # workers that need import nothing
)
# The same, for processes that nobody forks: what they import first.
LITTLE_MEASURED = """
from importlib import import_module

from tests.forking import LITTLE

for module, name, value in LITTLE:
    setattr(import_module(module), name, value)
"""
# What Python tells its audit hooks of changes to files.
OPERATIONS = ("open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir")
LONGEST_SECONDS = 1800  # of a run; one that hangs is aborted


@dataclass(frozen=True)
class Order:
    """One run: what follows ``python``, the working folder, environment variables, and what befalls it.

    In another folder than this checkout the suite is imported afresh: from there, or from PYTHONPATH. The report has no
    plots unless they are asked for.

    It gets ``signal`` after ``seconds``, or just before its ``operation``-th change to a file in ``watched`` folders; files
    longer than ``largest_bytes`` cannot be written. What is None does not happen.
    """

    words: list[str]
    folder: str = str(ROOT)
    env: dict[str, str] = field(default_factory=dict)
    plots: bool = False
    watched: list[str] = field(default_factory=list)
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
        enter(order)
        if order.largest_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest_bytes, order.largest_bytes))
        if order.operation is not None:
            strike_at(order.operation, order.signal, tuple(order.watched))
        status = python(order.words)
        sys.stdout.flush()
    finally:
        # Not through the end of the parent, whose code this is.
        os._exit(status)


def enter(order: Order) -> None:
    """Be as a new process in the order's folder and environment."""
    os.environ.update(order.env)
    os.chdir(order.folder)
    sys.path[:1] = [order.folder, *filter(None, order.env.get("PYTHONPATH", "").split(os.pathsep))]
    if order.folder != str(ROOT):
        for name in [name for name in sys.modules if name.partition(".")[0] in ("bench", "students", "teachers")]:
            del sys.modules[name]
    if order.words[0] == "-c":  # code that need not know of the suite
        return
    for module, name, value in LITTLE:
        setattr(import_module(module), name, value)
    if not order.plots:
        import_module("bench.report.redraw").PLOTS.clear()


def python(words: list[str]) -> int:
    """The exit status of ``python -m MODULE ...`` or ``python -c CODE``."""
    option, what, *rest = words
    try:
        if option == "-m":
            sys.argv = [what, *rest]
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(what, {"__name__": "__main__"})  # noqa: S102
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


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
    sys.path[0] = str(ROOT)
    for name in MODULES:
        import_module(name)
    matrix = import_module("bench.plan.matrix")
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for case in matrix.cases(matrix.load(), "pocket"):
        assert case.fingerprint  # the checkout's files are read once for all runs
    gc.freeze()  # what is here already need not be looked through again and again
    print("ready", file=answers)
    for line in sys.stdin:
        orders = [Order(**each) for each in json.loads(line)]
        begun = [fork(order) for order in orders]
        ran = [asdict(wait(*each, order)) for each, order in zip(begun, orders, strict=True)]
        print(json.dumps(ran), file=answers)


if __name__ == "__main__":
    serve()
