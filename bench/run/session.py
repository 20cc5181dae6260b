"""What the cases of one pytest session share: the results folder, the device, teachers with their features, the records."""

import gc
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.data.split import Split
from bench.explain import picture
from bench.features.device import Device, advice, for_worker
from bench.features.extract import weights_of
from bench.kit.array_store import StoreError
from bench.kit.environment import load_average
from bench.kit.errors import UserError
from bench.kit.files import WriteError
from bench.kit.lock import alarm_is_set, alarm_paused, cancel_alarm, locked
from bench.kit.progress import Progress
from bench.measure.timing import PeakMemory
from bench.plan.case import Case
from bench.results import record
from bench.run.case import CaseRun, TeacherOnData, key_of, needs_of, on_data, splits_of
from bench.training import checkpoint
from teachers import Teacher, WeightsError
from teachers import load as load_teacher

# What plain RuntimeErrors say: the CPU's allocator, the CUDA driver, cuDNN, cuBLAS and cuSOLVER.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDA ran out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
)
# And what they say where there is no room for their workspace, but after other faults as well.
PERHAPS_OUT_OF_MEMORY = ("CUBLAS_STATUS_NOT_INITIALIZED", "unable to find an engine to execute this computation")
SHORT_OF_MEMORY = 0.1  # largest share of the device's memory that is free when those mean that it is full


class Session:
    """Runs cases. Features of a teacher on a dataset are computed once and kept until another pair is asked for."""

    def __init__(
        self,
        folder: Path,
        cases: tuple[Case, ...],
        selected: set[str],
        progress: Progress,
        device: str = "auto",
        restart: str | None = None,
        explain: bool = False,
        case_timeout: float | None = None,
    ):
        self.folder, self.cases, self.progress = folder, cases, progress
        self.restart, self.explain, self.case_timeout = restart, explain, case_timeout
        self.selected = [case for case in cases if case.id in selected]
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        device = for_worker(device, os.environ.get("PYTEST_XDIST_WORKER"), count)
        self.device = Device(device, cases[0].precision)
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        if workers > 1:
            # Threads of several workers on the same cores slow each other down many times over.
            torch.set_num_threads(max(1, torch.get_num_threads() // workers))
        if cases[0].weights != "pocket" and (note := advice(device, cases[0].precision)):
            progress.say(note)
        self._shared: dict[tuple, TeacherOnData] = {}
        self._data: dict[tuple, tuple[Split, Split]] = {}
        self._known: dict[tuple, Any] = {}
        self._refused: dict[tuple, str] = {}
        self._memory = PeakMemory(self.device.torch)

    def turn(self, case: Case) -> AbstractContextManager:
        """Surrounds a case: those of one run wait for each other, in whatever process they are."""
        return locked(self.folder / "checkpoints" / f"{case.run}.lock", self.progress.say)

    @contextmanager
    def recording(self, case: Case) -> Iterator[record.Record]:
        """A record that is on disk from the start and gets its status when the block ends, however it ends."""
        with alarm_paused():  # a timeout needs a record
            entry = record.Record.of(case)
            entry.environment["hardware"] |= self.device.described()
            # A finished record stays until there is a result to take its place: an interruption or a full disk is none.
            before, start = record.finished(self.folder, case.id), time.perf_counter()
            keeps = before is not None
            if before and before.fingerprint != case.fingerprint:
                self.progress.say(
                    f"{case.id}: a finished record of another configuration is replaced once this is done"
                )
        try:
            with alarm_paused():  # Python ignores what is raised while it collects garbage
                if not keeps:
                    self._write(entry)
                # Before memory is looked at: what other teachers' cases share, and what one that ran out of it left, is not its own.
                if key_of(case) not in self._shared:
                    self._release()
            start = time.perf_counter()
            yield entry
            entry.metrics["peak_memory_mb"] = self._memory.megabytes()
            entry.status, entry.message = "done", ""
            keeps = False
        except KeyboardInterrupt:
            entry.message = "the case was interrupted; it will be tried again"
            raise
        except BaseException as error:
            entry.status, entry.message, summary = describe(error, self.case_timeout)
            keeps = keeps and isinstance(error, WriteError)
            if summary is None:
                self._release()
                raise
            # pytest keeps the traceback and with it every tensor of the failed case; only the message stays. What a
            # timeout interrupted may be half changed: the next case makes it anew.
            traceback.clear_frames(error.__traceback__)
            self._release()
            raise pytest.fail.Exception(summary, pytrace=False) from None
        finally:
            cancel_alarm()
            entry.seconds = round(time.perf_counter() - start, 3)
            if not keeps:
                self._write(entry)

    def _write(self, entry: record.Record) -> None:
        try:
            record.write(entry, self.folder)
        except KeyboardInterrupt:
            record.write(entry, self.folder)  # else what stood there before would stay
            raise
        except WriteError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    def training(self, case: Case) -> CaseRun:
        """The case's training run, at the newest checkpoint that it can continue from."""
        folder = self.folder / "checkpoints" / case.run
        # Before the teacher's pass: if that is interrupted, no later session may continue from what was to be made anew.
        if self.restart:
            checkpoint.restart(folder, case.epochs, self.restart)
        lengths = {other.epochs for other in self.cases if other.run == case.run}
        # Also those of finished cases that the profile has no more.
        lengths |= {
            epoch for epoch in checkpoint.epochs(folder) if record.reusable(replace(case, epochs=epoch), self.folder)
        }
        run = CaseRun(case, self._shared_by(case), folder, lengths, self.device, self.progress)
        # From here on: what the teacher's pass took belongs to no student, and only the first would be charged with it.
        self._memory = PeakMemory(self.device.torch)
        return run

    def measure(self, case: Case, run: CaseRun, entry: record.Record) -> None:
        """Fill the record with everything that is measured of a trained student, and explain it where that is asked."""
        run.measure(entry, self._once)
        # With the costs, which cases of one run share.
        entry.environment["hardware"] |= self._once(("load", case.run_fingerprint), load_average)
        path = record.picture_of(self.folder, case.id)
        if self.explain and case.control is None:
            picture.picture(path, case, run.student, run.shared.features, run.shared.teacher)
        else:
            path.unlink(missing_ok=True)  # of the student that was here before
        # A figure that is not finite is no result: the case fails, and says which it is.
        entry.check_done()

    def _once(self, key: tuple, compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def _shared_by(self, case: Case) -> TeacherOnData:
        """Teacher and features of the case, for all cases that share them. Room for them is made by :meth:`recording`."""
        key = key_of(case)
        if key not in self._shared:
            needs, teacher = needs_of(case, self.selected), self._teacher(case)
            self._shared[key] = on_data(case, teacher, self._splits(case), needs, self.device, self.progress)
        return self._shared[key]

    def _splits(self, case: Case) -> tuple[Split, Split]:
        """The case's images, which teachers of one dataset share."""
        key = case.dataset, case.images, case.train_samples, case.test_samples
        if key not in self._data:
            self._data.clear()  # before others come: two sets of images may not fit
            self._data[key] = splits_of(case)
        return self._data[key]

    def _teacher(self, case: Case) -> Teacher:
        """The case's teacher. Weights that could not be had once are not sought again: each search waits for the hub."""
        key = key_of(case)
        if key in self._refused:
            raise WeightsError(self._refused[key])
        try:
            return load_teacher(case.teacher, weights_of(case), case.geometry, case.teacher_model)
        except WeightsError as error:
            self._refused[key] = str(error)
            raise

    def _release(self) -> None:
        """Let go of all that cases share, and give the device's memory back."""
        self._shared.clear()
        gc.collect()
        if self.device.torch.type == "cuda":
            torch.cuda.empty_cache()


def describe(error: BaseException, limit: float | None = None) -> tuple[str, str, str | None]:
    """The record's status ("oom", "timeout", "skipped" or "failed") and message for an error, and what the user reads in
    place of a traceback, None where that is needed.

    ``limit`` is that of ``--case-timeout``. Once its alarm has rung, any error is a timeout: C code may replace the
    exception that the alarm raised.
    """
    message = f"{type(error).__name__}: {error}".strip()
    if limit is not None and not alarm_is_set():
        message = f"took longer than {limit:g} s (--case-timeout)"
        return "timeout", message, f"{message}; what it had trained is kept for a longer limit"
    if _is_out_of_memory(error):
        return "oom", message, f"out of memory: {message}"
    status = "skipped" if isinstance(error, pytest.skip.Exception) else "failed"
    return status, message, str(error) if isinstance(error, WeightsError | StoreError | UserError | OSError) else None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    phrases = OUT_OF_MEMORY
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        phrases += PERHAPS_OUT_OF_MEMORY if free <= SHORT_OF_MEMORY * total else ()
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in phrases)
