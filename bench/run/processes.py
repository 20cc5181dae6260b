"""Cases in worker processes: as many at a time as there are cores, or GPUs. Needs no torch.

A worker gets all cases of one training run at once, since they continue each other, and keeps to one teacher while that
has runs left: what it loaded of the teacher stays. A worker that was killed is replaced, and its case tried again once.
"""

import gc
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from bench.kit.environment import usable_cores
from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.plan.case import Case
from bench.results import record
from bench.results.record import Record
from bench.run.job import CaseError, Job, by_run, key_of

# A server imports once what all workers need, and forks them. macOS' own libraries do not survive a fork.
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
STOP_SECONDS = 30  # for an interrupted worker to write its record


@dataclass(eq=False)
class Worker:
    """A process, what it still has to do, and what it does now."""

    number: int
    process: BaseProcess
    connection: Connection
    cases: deque[Case]
    shared: tuple = ()  # teacher and dataset of its last cases
    bar: tuple[str, int, int | None] = ("starts", 0, None)


class Processes:
    """Runs ``cases``, before or while pytest asks for them."""

    def __init__(self, job: Job, cases: Sequence[Case], progress: Progress):
        self.progress = progress
        self._waiting = [*by_run(cases).values()]
        self.count = min(len(self._waiting), slots(job.device))
        self.job = replace(job, beside=self.count - 1)
        self._workers: dict[int, Worker] = {}
        self._outcomes: dict[str, tuple[str | None, bool]] = {}
        self._tried: set[str] = set()
        self._context = get_context(METHOD)
        if METHOD == "forkserver":
            files = {file.relative_to(ROOT).with_suffix("") for case in cases for file in case.files()}
            modules = sorted(".".join(file.parts) for file in files)
            self._context.set_forkserver_preload(["bench.run.worker", *modules])

    def run(self, case: Case, rounds: Callable) -> tuple[Record, bool]:
        """Wait for the record of a case, while workers do it and others; and whether another session finished it first.

        Raises :class:`CaseError` with what its worker says of a failure.
        """
        with self._bars() as show:
            while case.id not in self._outcomes:
                self._give_work()
                show()
                for connection in wait([worker.connection for worker in self._workers.values()]):
                    self._read(next(one for one in self._workers.values() if one.connection is connection))
        self._give_work()
        failure, reused = self._outcomes[case.id]
        if failure:
            raise CaseError(failure)
        return record.load(self.job.folder, case.id), reused

    def stop(self) -> None:
        """Interrupt what runs; its records say so, and what was trained is kept."""
        for worker in self._workers.values():
            worker.process.terminate()
        for worker in self._workers.values():
            worker.process.join(STOP_SECONDS)
            worker.process.kill()
        self._workers.clear()

    def _give_work(self) -> None:
        """Give each idle worker the next run, and end it where there is none."""
        for number in range(self.count):
            worker = self._workers.get(number)
            if worker is None and self._waiting:
                ours, theirs = self._context.Pipe()
                job = replace(self.job, worker=number)
                process = self._context.Process(target=_serve, args=(theirs, job), daemon=True)
                process.start()
                theirs.close()
                worker = self._workers[number] = Worker(number, process, ours, deque())
            if worker and not worker.cases:
                run = self._next(worker)
                worker.cases.extend(run)
                try:
                    worker.connection.send(run)
                except ConnectionError:
                    self._died(worker)
                    continue
                if not run:
                    worker.process.join(STOP_SECONDS)
                    del self._workers[number]

    def _next(self, worker: Worker) -> list[Case]:
        """A run of the worker's own teacher, else of one that nobody has, else any; empty where none is left."""
        taken = {other.shared for other in self._workers.values() if other is not worker}

        def rank(run: list[Case]) -> int:
            shared = key_of(run[0])
            return 0 if shared == worker.shared else 2 if shared in taken else 1

        run = min(self._waiting, key=rank, default=[])
        if run:
            self._waiting.remove(run)
            worker.shared = key_of(run[0])
        return run

    def _read(self, worker: Worker) -> None:
        try:
            what, *rest = worker.connection.recv()
        except (EOFError, ConnectionError):
            self._died(worker)
            return
        if what == "say":
            self.progress.say(*rest)
        elif what == "task":
            worker.bar = tuple(rest)
        elif what == "ended":
            name, *outcome = rest
            self._outcomes[name] = tuple(outcome)
            worker.cases.popleft()

    def _died(self, worker: Worker) -> None:
        worker.process.join()
        del self._workers[worker.number]
        cases = list(worker.cases)
        if cases and cases[0].id in self._tried:
            self._outcomes[cases.pop(0).id] = f"its worker process ended twice, {_how(worker.process.exitcode)}", False
        elif cases:
            self._tried.add(cases[0].id)
            self.progress.say(
                f"{cases[0].id}: its worker process ended, {_how(worker.process.exitcode)}; it is tried again"
            )
        if cases:
            self._waiting.insert(0, cases)

    @contextmanager
    def _bars(self) -> Iterator:
        """``show()`` brings the bars up to date, one a worker. None stays while pytest writes."""
        with ExitStack() as stack:
            bars: dict[int, object] = {}

            def show() -> None:
                for number, worker in self._workers.items():
                    if number not in bars:
                        bars[number] = stack.enter_context(self.progress.task(""))
                    text, done, total = worker.bar
                    bars[number](done, total, text)

            yield show


def slots(device: str) -> int:
    """How many cases may run at a time: one a GPU, or one a core that this process may use."""
    if device.startswith("cuda:"):
        return 1
    return (device in ("auto", "cuda") and _gpus()) or usable_cores()


def _gpus() -> int:
    if not (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        return 0  # known without torch, whose import takes seconds
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _how(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"exit status {exitcode}"
    killed = ", as systems do where memory runs out" if exitcode == -signal.SIGKILL else ""
    return f"by {signal.Signals(-exitcode).name}{killed}"


def _serve(connection: Connection, job: Job) -> None:
    gc.freeze()  # what the server imported: a collection would write to its objects, and so copy their pages
    from bench.run.worker import serve  # with torch

    serve(connection, job)
